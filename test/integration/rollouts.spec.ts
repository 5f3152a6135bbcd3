/** Rollouts end to end over the admin API: waves, pause and resume, aborts, roll back, aliases, strict switches. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { SUBJECTS } from '#contracts';
import { DEFAULT_TENANT_ID } from '#domain';
import { subscribeJson } from '#messaging';
import { ControlPlaneNats } from '../../apps/control-plane/src/nats/control-plane-nats.ts';
import { until } from './federation.fixture.ts';
import { entry, holdAt, letGo, PATIENCE_MS, RolloutWorld, type Scene } from './rollouts.fixture.ts';

const SPEC_MS = 120_000;
const HOUR = 3_600;
let world: RolloutWorld;

beforeAll(async () => {
  world = await RolloutWorld.start();
}, SPEC_MS);
afterEach(() => world.clear(), SPEC_MS);
afterAll(async () => {
  await world?.stop();
}, SPEC_MS);

/** A canary that soaks for an hour, then everywhere. */
const canaryOf = (region: string, rest: object = {}) => ({
  waves: [{ clusterNames: [`${region}-edge-1`], soakSeconds: HOUR }, { percent: 100 }],
  ...rest,
});

/** Begins a rollout to version 2 whose canary serves and soaks. */
async function withCanary(clusters: number, rest: object = {}): Promise<Scene> {
  const scene = await world.scene(clusters);
  await world.patch(scene, { version: 2, rollout: canaryOf(scene.region, rest) });
  await world.sees(scene, 'the canary to soak', ({ rollout }) => rollout?.reason.includes('soaks') === true);
  return scene;
}

const phaseIs = (phase: string) => (deployment: { rollout: { phase: string } | null }) =>
  deployment.rollout?.phase === phase;

async function audited(action: string, name: string): Promise<string[]> {
  const entries = await world.store.read.audit.list({ tenantId: DEFAULT_TENANT_ID, after: null, limit: 200 });
  return entries.filter((each) => each.action === action && each.detail.name === name).map(({ actor }) => actor);
}

async function readyDigests(deploymentId: string): Promise<Set<string>> {
  const view = await world.store.read.routes.current();
  const shown = view?.deployments.find(({ id }) => id === deploymentId);
  return new Set(shown?.replicas.filter(({ ready }) => ready).map(({ versionDigest }) => versionDigest));
}

describe('waves', () => {
  it(
    'go from a canary over a part to all, as far as operators let them',
    async () => {
      const scene = await world.scene(4);
      const [first, second] = scene.members;
      const waves = [{ clusterNames: [first!.cluster.name], pauseAfter: true }, { percent: 50 }, { percent: 100 }];
      const before = await world.get(scene);
      const begun = await world.patch(
        scene,
        { version: 2, rollout: { waves } },
        { 'if-match': `"${before.revision}"` },
      );
      expect(begun).toMatchObject({
        status: 200,
        body: { version: 2, rollout: { fromVersion: 1, toVersion: 2, phase: 'Progressing', waves: 3 } },
      });
      await world.sees(scene, 'its pause', phaseIs('Paused'));
      const canary = await world.runs(scene, [2, 1, 1, 1]);
      expect(canary.placements.find(({ version }) => version === 2)?.cluster).toBe(first!.cluster.name);
      expect(canary.rollout).toMatchObject({ wave: 1, openClusters: [first!.cluster.name] });
      expect(canary.status).toContain('rollout from version 1 to 2 (paused): wave 1 of 3 is done');

      holdAt(second!, scene.versions[1]!.digest!, 'Starting');
      expect((await world.post(scene, 'rollout/resume')).body.rollout).toMatchObject({ phase: 'Progressing', wave: 2 });
      const waits = `wave 2 of 3 waits for ${second!.cluster.name}`;
      const waiting = await world.sees(scene, 'who is waited for', ({ status }) => status.includes(waits));
      expect(waiting.rollout?.openClusters).toEqual([first!.cluster.name, second!.cluster.name]);
      for (const _time of ['once', 'again']) {
        expect((await world.post(scene, 'rollout/pause')).body.rollout.phase).toBe('Paused');
      }
      letGo(second!);
      const held = await world.runs(scene, [2, 2, 1, 1]);
      expect(held.rollout).toMatchObject({ phase: 'Paused', wave: 2 });

      await world.post(scene, 'rollout/resume');
      const done = await world.sees(scene, 'the end', phaseIs('Completed'));
      expect(done.rollout).toMatchObject({ wave: 3, endedAt: expect.any(String) });
      await world.runs(scene, [2, 2, 2, 2]);
      expect(await world.rollouts(scene)).toMatchObject([{ fromVersion: 1, toVersion: 2, phase: 'Completed' }]);
      expect(await audited('rollouts.complete', scene.name)).toEqual(['controller:rollouts']);
    },
    SPEC_MS,
  );

  it(
    'begin none without replicas, or to the same version',
    async () => {
      const scene = await world.scene(1, { replicas: 1 });
      expect((await world.patch(scene, { version: 1, replicas: 0 })).body.rollout).toBeNull();
      await world.sees(scene, 'nothing to run', ({ placements }) => placements.length === 0);
      expect((await world.patch(scene, { version: 2, replicas: 1 })).body).toMatchObject({ version: 2, rollout: null });
      await world.runs(scene, [2]);
    },
    SPEC_MS,
  );

  it(
    'U4 dryRun plans the first one, and changes nothing',
    async () => {
      const scene = await world.scene(2);
      const before = await world.get(scene);
      const change = { version: 2, rollout: canaryOf(scene.region) };
      const { status, body } = await world.installation.call('PATCH', `/api/v1/deployments/${scene.name}?dryRun=true`, {
        body: change,
      });
      expect([status, body.assign.map(({ cluster }: { cluster: string }) => cluster)]).toEqual([
        200,
        [scene.members[0]!.cluster.name],
      ]);
      expect(await world.get(scene)).toEqual(before);
    },
    SPEC_MS,
  );
});

describe('a new version that is worse', () => {
  it(
    'by its error rate is taken back; what was counted before, twice or out of order speaks against nobody',
    async () => {
      const gateway = await world.gateway();
      const scene = await world.scene(2);
      const { id } = await world.get(scene);
      const [old, next] = scene.versions;
      const counted = (requests: number) =>
        until('the counts', async () => world.counted(scene, id, 2).requests === requests, PATIENCE_MS);
      gateway.tell(1, [entry(id, old!, { requests: 1_000 }), entry(id, next!, { requests: 500, failures: 500 })]);
      await counted(500);
      await world.patch(scene, { version: 2, rollout: canaryOf(scene.region) });
      await world.sees(scene, 'the canary to soak', ({ rollout }) => rollout?.reason.includes('soaks') === true);

      const good = [entry(id, old!, { requests: 1_100 }), entry(id, next!, { requests: 600, failures: 500 })];
      gateway.tell(3, good);
      await counted(600);
      gateway.tell(3, good);
      gateway.tell(2, [entry(id, next!, { requests: 550, failures: 550 })]);
      gateway.publish({ gatewayId: gateway.id, sequence: 4, entries: 'many' });
      expect((await world.get(scene)).rollout).toMatchObject({ phase: 'Progressing', wave: 1 });

      gateway.tell(5, [entry(id, old!, { requests: 1_200 }), entry(id, next!, { requests: 700, failures: 590 })]);
      const aborted = await world.sees(scene, 'the abort', phaseIs('Aborted'));
      expect(aborted).toMatchObject({
        version: 1,
        rollout: { reason: expect.stringContaining('45 % of 200 requests') },
      });
      expect(aborted.status).toContain('the rollout from version 1 to 2 was aborted: the new version fails');
      await until(
        'its replica to get no traffic',
        async () => !(await readyDigests(id)).has(next!.digest!),
        PATIENCE_MS,
      );
      await world.runs(scene, [1, 1]);
      const decisions = await world.store.read.decisions.newest(id, 20);
      expect(decisions.map(({ outcome }) => outcome)).toContain(`the rollout was aborted: ${aborted.rollout!.reason}`);
      expect(await audited('rollouts.abort', scene.name)).toEqual(['controller:rollouts']);
    },
    SPEC_MS,
  );

  it(
    'by its first byte is taken back',
    async () => {
      const gateway = await world.gateway();
      const scene = await withCanary(2);
      const { id } = await world.get(scene);
      const [old, next] = scene.versions;
      gateway.tell(1, [entry(id, old!, { requests: 50, bucket: 1 }), entry(id, next!, { requests: 50, bucket: 7 })]);
      const { rollout } = await world.sees(scene, 'the abort', phaseIs('Aborted'));
      expect(rollout?.reason).toContain('median first byte');
    },
    SPEC_MS,
  );

  it(
    'by failed starts is taken back before it ever served; without a rule it is waited for',
    async () => {
      for (const abort of [{ failedStarts: 2 }, null]) {
        const scene = await world.scene(2);
        holdAt(scene.members[0]!, scene.versions[1]!.digest!, 'Failed', 2);
        await world.patch(scene, { version: 2, rollout: canaryOf(scene.region, { abort }) });
        if (abort === null) {
          await world.sees(scene, 'the failure to be told', ({ status }) => status.includes('one failed 2 times'));
          expect((await world.get(scene)).rollout?.phase).toBe('Progressing');
          continue;
        }
        const { version, rollout } = await world.sees(scene, 'the abort', phaseIs('Aborted'));
        expect([version, rollout?.reason]).toEqual([1, expect.stringContaining('the engine ended with code 1')]);
        const { placements } = await world.runs(scene, [1, 1]);
        expect(placements.filter(({ placementPhase }) => placementPhase === 'Assigned')).toHaveLength(2);
      }
    },
    SPEC_MS,
  );

  it(
    'by an operator is taken back',
    async () => {
      const scene = await withCanary(2);
      const before = await world.get(scene);
      expect((await world.post(scene, 'rollout/abort', {}, { 'if-match': '"1"' })).status).toBe(412);
      const aborted = await world.post(scene, 'rollout/abort', {}, { 'if-match': `"${before.revision}"` });
      expect(aborted).toMatchObject({ status: 200, body: { version: 1, rollout: { phase: 'Aborted' } } });
      expect(aborted.headers.get('etag')).toBe(`"${before.revision + 1}"`);
      await world.runs(scene, [1, 1]);
    },
    SPEC_MS,
  );
});

describe('rolling back', () => {
  it(
    'a completed rollout goes everywhere at once, and there again',
    async () => {
      const scene = await world.scene(2);
      await world.patch(scene, { version: 2 });
      await world.sees(scene, 'the end', phaseIs('Completed'));
      // Until the old ones are gone, its list of replicas changes by itself.
      const before = await world.sees(scene, 'the new ones alone', ({ placements }) => placements.length === 2);
      const plan = await world.installation.call('POST', `/api/v1/deployments/${scene.name}/rollback?dryRun=true`, {});
      expect(plan).toMatchObject({ status: 200, body: { deployment: scene.name } });
      expect(plan.body.assign.length).toBeGreaterThan(0);
      expect(await world.get(scene)).toEqual(before);

      expect((await world.post(scene, 'rollback')).body).toMatchObject({
        version: 1,
        rollout: { fromVersion: 2, toVersion: 1, phase: 'Progressing', waves: 1 },
      });
      await world.sees(scene, 'the end', phaseIs('Completed'));
      await world.runs(scene, [1, 1]);
      expect((await world.post(scene, 'rollback', { version: 3 })).body.version).toBe(3);
      await world.runs(scene, [3, 3]);
    },
    SPEC_MS,
  );

  it(
    'an active one ends it',
    async () => {
      const scene = await withCanary(3);
      const back = await world.post(scene, 'rollback');
      expect(back.body).toMatchObject({ version: 1, rollout: { toVersion: 2, phase: 'RolledBack' } });
      await world.runs(scene, [1, 1, 1]);
    },
    SPEC_MS,
  );
});

describe('another change meanwhile', () => {
  it(
    'supersedes: the next rollout comes from what most replicas run',
    async () => {
      const scene = await withCanary(3);
      const changed = await world.patch(scene, { version: 3, rollout: {} });
      expect(changed.body.rollout).toMatchObject({ fromVersion: 1, toVersion: 3, phase: 'Progressing' });
      await world.runs(scene, [3, 3, 3]);
      await world.sees(scene, 'the end', phaseIs('Completed'));
      expect(await world.rollouts(scene)).toMatchObject([
        { fromVersion: 1, toVersion: 3, phase: 'Completed' },
        { fromVersion: 1, toVersion: 2, phase: 'Superseded' },
      ]);
    },
    SPEC_MS,
  );

  it(
    'deleting the deployment ends its rollout',
    async () => {
      const scene = await withCanary(2);
      const { body } = await world.installation.call('DELETE', `/api/v1/deployments/${scene.name}`);
      expect(body).toMatchObject({ deleting: true, rollout: { phase: 'Superseded' } });
    },
    SPEC_MS,
  );
});

describe('an alias', () => {
  const move = (scene: Scene, version: number) =>
    world.installation.call('PUT', `/api/v1/models/${scene.model}/aliases/stable`, { body: { version } });

  it(
    'is followed, left behind after an abort, and followed again when it moves',
    async () => {
      const scene = await world.scene(2, { version: 1 });
      expect((await move(scene, 1)).status).toBe(200);
      expect((await world.patch(scene, { alias: 'stable', rollout: canaryOf(scene.region) })).body).toMatchObject({
        alias: 'stable',
        version: 1,
        rollout: null,
      });
      await move(scene, 2);
      await world.sees(scene, 'the canary to soak', ({ rollout }) => rollout?.reason.includes('soaks') === true);
      expect((await world.get(scene)).rollout).toMatchObject({ fromVersion: 1, toVersion: 2 });
      const aborted = await world.post(scene, 'rollout/abort');
      expect(aborted.body).toMatchObject({ alias: 'stable', version: 1 });
      expect(aborted.body.status).toContain(
        'its alias stable points at version 2, which it follows again once the alias moves',
      );
      await world.runs(scene, [1, 1]);
      await move(scene, 3);
      expect((await world.get(scene)).rollout).toMatchObject({ fromVersion: 1, toVersion: 3, phase: 'Progressing' });
      expect(await audited('deployments.follow-alias', scene.name)).toHaveLength(2);
      expect((await world.patch(scene, { version: 1 })).body).toMatchObject({ alias: null, version: 1 });
      await move(scene, 2);
      expect((await world.get(scene)).version).toBe(1);
    },
    SPEC_MS,
  );
});

describe('a strict rollout', () => {
  it(
    'never lets two versions serve at once',
    async () => {
      const scene = await world.scene(2, { rollout: { consistency: 'strict' } });
      const { id } = await world.get(scene);
      const [old, next] = scene.versions.map(({ digest }) => digest!);
      const seen: string[][] = [];
      const look = async () => void seen.push([...(await readyDigests(id))].sort());
      const { connection } = world.installation.controlPlane.app.get(ControlPlaneNats, { strict: false });
      const looks: Promise<void>[] = [];
      const stop = subscribeJson(connection, SUBJECTS.routes, () => void looks.push(look()), {
        onError: () => undefined,
      });
      holdAt(scene.members[1]!, next!, 'Starting');
      await world.patch(scene, { version: 2 });
      await world.sees(scene, 'who is waited for', ({ status }) => status.includes(`waits for ${scene.region}-edge-2`));
      await until(
        'one new replica',
        async () => {
          const { placements } = await world.get(scene);
          return placements.some(({ version, phase }) => version === 2 && phase === 'Ready');
        },
        PATIENCE_MS,
      );
      expect(await readyDigests(id)).toEqual(new Set([old]));
      letGo(scene.members[1]!);
      await world.sees(scene, 'the end', phaseIs('Completed'));
      await until('the switch on the routes', async () => (await readyDigests(id)).has(next!), PATIENCE_MS);
      await world.runs(scene, [2, 2]);
      await stop();
      await Promise.all(looks);
      expect(seen.filter((digests) => digests.length !== 1)).toEqual([]);
    },
    SPEC_MS,
  );

  it(
    'that has switched goes the way back strictly too when it is aborted',
    async () => {
      const scene = await world.scene(2);
      const waves = [{ percent: 100, soakSeconds: HOUR }];
      await world.patch(scene, { version: 2, rollout: { waves, consistency: 'strict' } });
      await world.sees(scene, 'the new version to soak', ({ rollout }) => rollout?.reason.includes('soaks') === true);
      const { body } = await world.post(scene, 'rollout/abort');
      expect(body).toMatchObject({
        version: 1,
        rollout: { fromVersion: 2, toVersion: 1, phase: 'Progressing', consistency: 'strict' },
      });
      await world.sees(scene, 'the end', phaseIs('Completed'));
      await world.runs(scene, [1, 1]);
      expect(await world.rollouts(scene)).toMatchObject([{ toVersion: 1 }, { toVersion: 2, phase: 'Aborted' }]);
    },
    SPEC_MS,
  );
});
