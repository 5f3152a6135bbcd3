/** The leader's side of rollouts when things go wrong: leaders change, agents fall silent, steps come twice. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DEFAULT_ROLLOUT_POLICY, type Deployment, type ModelVersion, type Rollout, StaleEpochError } from '#domain';
import { followAlias } from '../../apps/control-plane/src/deployments/follow-alias.ts';
import { CountedFederation } from '../../apps/control-plane/src/federation/metrics.ts';
import { OutcomesMemory } from '../../apps/control-plane/src/federation/outcomes-memory.ts';
import { LeaderService } from '../../apps/control-plane/src/leader/leader.service.ts';
import { RolloutLoop } from '../../apps/control-plane/src/rollouts/rollout-loop.ts';
import { changeVersion } from '../../apps/control-plane/src/rollouts/version-change.ts';
import { writeStep } from '../../apps/control-plane/src/rollouts/write-step.ts';
import {
  type Centre,
  makeCluster,
  makeDeployment,
  makeVersion,
  type Servers,
  startCentre,
  startServers,
  TravellingClock,
  until,
  WireAgent,
} from './federation.fixture.ts';

const SPEC_MS = 120_000;
const PATIENCE_MS = 30_000;
let servers: Servers;
let centre: Centre;
let regions = 0;
const agents: WireAgent[] = [];

beforeAll(async () => {
  servers = await startServers();
  centre = await startCentre(servers, { leads: true });
  await until('a leader', async () => epochNow(), PATIENCE_MS);
}, SPEC_MS);
afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.stop()));
  await centre?.stop();
  await servers?.stop();
}, SPEC_MS);

const epochNow = () => centre.app.get(LeaderService).epoch();

interface Scene {
  readonly deployment: Deployment;
  readonly members: readonly WireAgent[];
  readonly names: readonly string[];
  readonly next: ModelVersion;
}

/** A deployment that serves in every cluster of a region of its own, each wave one cluster. */
async function scene(count: number): Promise<Scene> {
  regions += 1;
  const region = `region-${regions}`;
  const members: WireAgent[] = [];
  const names: string[] = [];
  for (let index = 1; index <= count; index += 1) {
    const cluster = await makeCluster(servers.store, { region, name: `${region}-edge-${index}` });
    const agent = await WireAgent.connect(servers, cluster.id);
    agents.push(agent);
    members.push(agent);
    names.push(cluster.name);
    await agent.live();
    // Or all replicas would go to the one that was heard of first.
    await until('its devices', () => servers.store.read.observations.find(cluster.id), PATIENCE_MS);
  }
  const version = await makeVersion(servers.store);
  const next = await makeVersion(servers.store, version.modelId);
  const waves = names.map((name) => ({ clusterNames: [name], soakSeconds: 0, pauseAfter: false }));
  const rollout = { ...DEFAULT_ROLLOUT_POLICY, waves };
  const selector = { regions: [region] };
  const deployment = await makeDeployment(servers.store, version, { selector, replicas: count, rollout });
  await runs(deployment, version, count);
  return { deployment, members, names, next };
}

/** Waits until so many assigned replicas run a version, and are Ready. */
async function runs({ id }: Deployment, version: ModelVersion, count: number): Promise<void> {
  await until(
    `${count} replicas of version ${version.number}`,
    async () => {
      const ready = new Set<string>();
      for (const { report } of await servers.store.read.observations.all()) {
        for (const { replicaId, phase } of report.replicas) if (phase === 'Ready') ready.add(replicaId);
      }
      const live = await servers.store.read.placements.live({ deploymentId: id });
      const there = live.filter(({ phase, versionId }) => phase === 'Assigned' && versionId === version.id);
      return there.length === count && there.every((placement) => ready.has(placement.id));
    },
    PATIENCE_MS,
  );
}

/** As the admin API does. */
async function change({ id }: Deployment, next: ModelVersion): Promise<void> {
  await servers.store.transaction(async (rows) => {
    const deployment = (await rows.deployments.find({ id }, true))!;
    const ending = { phase: 'Superseded', reason: 'changed' } as const;
    await changeVersion(rows, deployment, { toVersionId: next.id, policy: deployment.rollout, ending });
    await rows.deployments.update(id, deployment.revision, { versionId: next.id });
  });
}

const newest = async ({ id }: Deployment) => (await servers.store.read.rollouts.ofDeployment(id, 1))[0];

async function sees(deployment: Deployment, what: string, isSo: (rollout: Rollout) => boolean): Promise<Rollout> {
  let last: Rollout | undefined;
  const look = async () => {
    last = await newest(deployment);
    return last !== undefined && isSo(last) ? last : null;
  };
  return until(what, look, PATIENCE_MS).catch((error: Error) => {
    throw new Error(`${error.message}; last seen: ${JSON.stringify(last)}`);
  });
}

/** The replicas of these versions get no further than Starting. */
function hold(agent: WireAgent, ...versions: readonly ModelVersion[]): void {
  const digests = versions.map(({ digest }) => digest);
  agent.phaseOf = (replicaId, isDraining) => {
    const replica = agent.state?.replicas.find((each) => each.replicaId === replicaId);
    if (isDraining) return null;
    return replica !== undefined && digests.includes(replica.versionDigest) ? 'Starting' : 'Ready';
  };
  agent.report();
}

function letGo(agent: WireAgent): void {
  agent.phaseOf = (_id, isDraining) => (isDraining ? null : 'Ready');
  agent.report();
}

describe('agents that fall silent', () => {
  it(
    'hold their wave up, named, until they are back',
    async () => {
      const { deployment, members, names, next } = await scene(2);
      hold(members[0]!, next);
      await change(deployment, next);
      await sees(deployment, 'the first wave to wait', ({ reason }) =>
        reason.includes(`waits for ${names[0]}: 0 of 1`),
      );
      members[0]!.pause();
      await sees(deployment, 'the silence to be told', ({ reason }) => reason.includes(`${names[0]}: out of contact`));
      const silent = await newest(deployment);
      expect([silent!.wave, silent!.phase]).toEqual([0, 'Progressing']);
      await members[0]!.live();
      letGo(members[0]!);
      await sees(deployment, 'the end', ({ phase }) => phase === 'Completed');
      await runs(deployment, next, 2);
    },
    SPEC_MS,
  );
});

describe('steps', () => {
  it(
    'R1 that two leaders compute at once are written once',
    async () => {
      const { deployment, members, next } = await scene(2);
      hold(members[0]!, next);
      await change(deployment, next);
      await sees(deployment, 'the first wave', ({ wave }) => wave === 0);
      const memory = new OutcomesMemory(new TravellingClock());
      const twin = new RolloutLoop(servers.store, epochNow()!, memory, new CountedFederation(), { nowMs: Date.now });
      letGo(members[0]!);
      await until(
        'the end',
        async () => {
          await Promise.all([twin.run(), twin.run()]);
          return (await newest(deployment))?.phase === 'Completed';
        },
        PATIENCE_MS,
      );
      const steps = (await servers.store.read.audit.list({ tenantId: deployment.tenantId, after: null, limit: 200 }))
        .filter(({ targetId, actor }) => targetId === deployment.id && actor === 'controller:rollouts')
        .map(({ action }) => action);
      expect(steps.reverse()).toEqual(['rollouts.open-wave', 'rollouts.open-wave', 'rollouts.complete']);
    },
    SPEC_MS,
  );

  it(
    'are not written by an older epoch, nor once what they were decided from has changed',
    async () => {
      const { deployment, members, next } = await scene(1);
      hold(members[0]!, next);
      await change(deployment, next);
      const rollout = await sees(deployment, 'who is waited for', ({ reason }) => reason.includes('waits for'));
      const present = (await servers.store.read.deployments.find({ id: deployment.id }))!;
      const decided = { rollout, deployment: present, step: { step: 'complete', reason: 'late' } as const, nowMs: 0 };
      const write = (epoch: number, other: { rollout?: Rollout; deployment?: Deployment } = {}) =>
        servers.store.transaction((rows) => writeStep(rows, epoch, { ...decided, ...other }), { epoch });
      const epoch = epochNow()!;
      await expect(write(epoch - 1)).rejects.toThrow(StaleEpochError);
      expect(await write(epoch, { rollout: { ...rollout, wave: -1 } })).toBe(false);
      expect(await write(epoch, { rollout: { ...rollout, phase: 'Paused' } })).toBe(false);
      expect(await write(epoch, { deployment: { ...present, revision: present.revision - 1 } })).toBe(false);
      expect((await newest(deployment))?.phase).toBe('Progressing');
      expect(await write(epoch)).toBe(true);
      expect(await write(epoch)).toBe(false);
    },
    SPEC_MS,
  );

  it(
    'end when somebody changed the deployment past its rollout',
    async () => {
      const { deployment, members, next } = await scene(1);
      hold(members[0]!, next);
      await change(deployment, next);
      const present = (await servers.store.read.deployments.find({ id: deployment.id }))!;
      const { versionId } = deployment;
      await servers.store.transaction((rows) => rows.deployments.update(present.id, present.revision, { versionId }));
      await sees(deployment, 'its end', ({ phase }) => phase === 'Superseded');
    },
    SPEC_MS,
  );
});

describe('an alias that moves to and fro', () => {
  it(
    'R1 begins one rollout a move, also when two moves come at once',
    async () => {
      const { deployment, members, next } = await scene(1);
      const third = await makeVersion(servers.store, next.modelId);
      // Whichever move comes last, its rollout must still be active when it is looked at.
      hold(members[0]!, next, third);
      const { id, modelId } = deployment;
      await servers.store.transaction((rows) => rows.deployments.update(id, deployment.revision, { alias: 'stable' }));
      const alias = { tenantId: deployment.tenantId, modelId, name: 'stable' };
      const move = ({ id: to }: ModelVersion) =>
        servers.store.transaction(async (rows) => {
          await rows.aliases.move(alias, to, 'key:spec');
          return followAlias(rows, modelId, 'stable', to, 'key:spec');
        });
      expect(await Promise.all([move(next), move(third)])).toEqual([[deployment.name], [deployment.name]]);
      const [target, present] = [
        await servers.store.read.aliases.find(modelId, 'stable'),
        await servers.store.read.deployments.find({ id }),
      ];
      expect(present!.versionId).toBe(target!.versionId);
      const active = await servers.store.read.rollouts.active(id);
      expect(active.map(({ toVersionId }) => toVersionId)).toEqual([target!.versionId]);
      expect(await servers.store.read.rollouts.ofDeployment(id, 10)).toHaveLength(2);
      expect(await move((await servers.store.read.versions.find({ id: target!.versionId }))!)).toEqual([]);
    },
    SPEC_MS,
  );
});

describe('another leader', () => {
  it(
    'R11 goes on where the one before stopped',
    async () => {
      const { deployment, members, names, next } = await scene(3);
      hold(members[1]!, next);
      await change(deployment, next);
      await sees(deployment, 'the second wave', ({ reason }) => reason.includes(`waits for ${names[1]}`));
      const before = await newest(deployment);
      const epoch = epochNow()!;
      const second = await startCentre(servers, { leads: true });
      await centre.stop();
      centre = second;
      expect(await until('the new leader', async () => epochNow(), PATIENCE_MS)).toBeGreaterThan(epoch);
      letGo(members[1]!);
      const after = await sees(deployment, 'the end', ({ phase }) => phase === 'Completed');
      expect([after.id, after.wave]).toEqual([before!.id, 2]);
      await runs(deployment, next, 3);
    },
    SPEC_MS,
  );
});
