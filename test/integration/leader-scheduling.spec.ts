/** The leader's loops end to end: intent in Postgres → placement → document → fake agents → routes for gateways. */
import { rm } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { v7 } from 'uuid';
import { routesViewSchema, SUBJECTS } from '#contracts';
import { type Deployment, type Placement, StaleEpochError } from '#domain';
import { requestJson, subscribeJson } from '#messaging';
import { type DeploymentPlan, planDeployment } from '#scheduling';
import { applyPlan } from '../../apps/control-plane/src/leader/apply-plan.ts';
import { LeaderService } from '../../apps/control-plane/src/leader/leader.service.ts';
import { readSchedulingSnapshot } from '../../apps/control-plane/src/leader/snapshot.ts';
import {
  type Centre,
  makeCluster,
  makeDeployment,
  makeVersion,
  type Servers,
  startCentre,
  startServers,
  until,
  WireAgent,
} from './federation.fixture.ts';

let servers: Servers;
let centre: Centre;
let region = 0;
const agents: WireAgent[] = [];

beforeAll(async () => {
  servers = await startServers();
  centre = await startCentre(servers, { leads: true });
  await until('a leader', async () => centre.app.get(LeaderService).epoch());
}, 60_000);
/** Every spec has a region of its own, so that what others left behind does not take part. */
afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.stop()));
});
afterAll(async () => {
  await centre?.stop();
  await servers?.stop();
});

async function joinTo(where: string, devices = 2) {
  const cluster = await makeCluster(servers.store, { region: where });
  const agent = await WireAgent.connect(servers, cluster.id, devices);
  agents.push(agent);
  await agent.live();
  return { cluster, agent };
}

function newRegion(): string {
  region += 1;
  return `region-${region}`;
}

const live = (deploymentId: string) => servers.store.read.placements.live({ deploymentId });
const assigned = async (deploymentId: string) => (await live(deploymentId)).filter(({ phase }) => phase === 'Assigned');

async function change(deployment: Deployment, to: Partial<Pick<Deployment, 'versionId' | 'replicas' | 'deletedAt'>>) {
  await servers.store.transaction((rows) => rows.deployments.update(deployment.id, deployment.revision, to));
}

async function routeOf(deploymentId: string) {
  const view = routesViewSchema.parse(
    await requestJson(centre.nats.connection, SUBJECTS.routesFetch, { have: 0 }, { timeoutMs: 3_000 }),
  );
  return view.deployments.find(({ id }) => id === deploymentId);
}

async function serving(deployment: Deployment, versionDigest: string): Promise<void> {
  await until(`${deployment.replicas} ready on the routes`, async () => {
    const route = await routeOf(deployment.id);
    const ready = route?.replicas.filter((replica) => replica.ready && replica.versionDigest === versionDigest);
    return ready?.length === deployment.replicas;
  });
}

describe('a deployment', () => {
  it('is placed, hinted, fetched, Ready and routed; then changes version and goes', async () => {
    const where = newRegion();
    const { cluster, agent } = await joinTo(where);
    const sequences: number[] = [];
    const stop = subscribeJson(
      centre.nats.connection,
      SUBJECTS.routes,
      ({ value }) => void sequences.push((value as { sequence: number }).sequence),
      { onError: () => undefined },
    );
    const version = await makeVersion(servers.store);
    const deployment = await makeDeployment(servers.store, version, { selector: { regions: [where] } });
    await serving(deployment, version.digest!);
    const [first] = await live(deployment.id);
    expect(first).toMatchObject({ clusterId: cluster.id, phase: 'Assigned', versionId: version.id });
    expect(agent.state?.versions.map(({ digest }) => digest)).toEqual([version.digest]);
    expect(sequences.length).toBeGreaterThan(0);
    const [decision] = await servers.store.read.decisions.newest(deployment.id, 1);
    expect(decision?.outcome).toBe(`placed 1/1; new in ${cluster.name}`);

    // R7: the new one is not Ready yet, so the old one goes on.
    const next = await makeVersion(servers.store, version.modelId);
    agent.phaseOf = (replicaId, isDraining) => (isDraining ? null : replicaId === first!.id ? 'Ready' : 'Starting');
    await change(deployment, { versionId: next.id });
    const both = await until('the replacement', async () => {
      const rows = await live(deployment.id);
      return rows.length === 2 && agent.state?.replicas.length === 2 ? rows : null;
    });
    expect(both.map(({ phase }) => phase)).toEqual(['Assigned', 'Assigned']);
    agent.phaseOf = (_id, isDraining) => (isDraining ? null : 'Ready');
    agent.report();
    await serving(deployment, next.digest!);
    await until('the old one to be gone', async () => (await live(deployment.id)).length === 1);

    const present = await servers.store.read.deployments.find({ id: deployment.id });
    await change(present!, { deletedAt: new Date() });
    await until(
      'the row to be gone',
      async () => (await servers.store.read.deployments.find({ id: deployment.id })) === null,
    );
    await until('the agent to be told', async () => agent.state?.replicas.length === 0);
    await stop();
  }, 60_000);

  it('is spread, and is re-placed at once when a cluster leaves', async () => {
    const where = newRegion();
    const clusters = await Promise.all([joinTo(where), joinTo(where), joinTo(where)]);
    const version = await makeVersion(servers.store);
    const deployment = await makeDeployment(servers.store, version, { replicas: 2, selector: { regions: [where] } });
    await serving(deployment, version.digest!);
    const before = await assigned(deployment.id);
    expect(new Set(before.map(({ clusterId }) => clusterId)).size).toBe(2);
    const gone = before[0]!;
    const cluster = await servers.store.read.clusters.find({ id: gone.clusterId });
    await servers.store.transaction((rows) => rows.clusters.update(cluster!.id, cluster!.revision, { phase: 'Left' }));
    const after = await until('the replacement', async () => {
      const rows = await live(deployment.id);
      return rows.some(({ clusterId }) => clusterId === gone.clusterId) || rows.length < 2 ? null : rows;
    });
    const rest = clusters.map((each) => each.cluster.id).filter((id) => id !== gone.clusterId);
    expect(after.map(({ clusterId }) => clusterId).sort()).toEqual(rest.sort());
    expect(after.map(({ id }) => id)).toContain(before[1]!.id);
  }, 60_000);

  it('that fits nowhere says why, once', async () => {
    const version = await makeVersion(servers.store);
    const where = newRegion();
    await joinTo(where, 1);
    const claim = { deviceType: 'cpu', count: 2, schedulingPolicy: { topologyScope: 'node' } } as const;
    const deployment = await makeDeployment(servers.store, version, { claim, selector: { regions: [where] } });
    const decisions = await until('a decision', async () => {
      const rows = await servers.store.read.decisions.newest(deployment.id, 10);
      return rows.some(({ outcome }) => outcome.includes('lacks cpu ×2 in one node')) ? rows : null;
    });
    expect(await live(deployment.id)).toEqual([]);
    expect(new Set(decisions.map(({ outcome }) => outcome)).size).toBe(decisions.length);
  });
});

describe('committing a plan', () => {
  const epochNow = () => centre.app.get(LeaderService).epoch()!;

  /** A plan for a deployment that the running leader does not see fit to place: its cluster is cordoned meanwhile. */
  async function planned(devices = 1): Promise<{ plan: DeploymentPlan; deployment: Deployment; clusterId: string }> {
    const where = newRegion();
    const { cluster, agent } = await joinTo(where, devices);
    await until('its devices', () => servers.store.read.observations.find(cluster.id));
    await agent.stop();
    agents.splice(agents.indexOf(agent), 1);
    const version = await makeVersion(servers.store);
    const row = await servers.store.read.clusters.find({ id: cluster.id });
    await servers.store.transaction((rows) => rows.clusters.update(cluster.id, row!.revision, { cordoned: true }));
    const deployment = await makeDeployment(servers.store, version, { selector: { regions: [where] } });
    const read = await readSchedulingSnapshot(servers.store.read);
    const clusters = read.clusters.map((state) => ({
      ...state,
      cluster: { ...state.cluster, cordoned: false, phase: 'Ready' as const },
    }));
    return { plan: planDeployment({ ...read, clusters }, deployment), deployment, clusterId: cluster.id };
  }

  it('P22 rejects what a cordon overtook, with the reason', async () => {
    const { plan, deployment } = await planned();
    const applied = await applyPlan(servers.store, epochNow(), plan, null);
    expect(applied.rejected.map(({ reason }) => reason)).toEqual(['it was cordoned meanwhile']);
    expect(await live(deployment.id)).toEqual([]);
  });

  it('P22 rejects a plan for a deployment that changed', async () => {
    const { plan } = await planned();
    const applied = await applyPlan(servers.store, epochNow(), { ...plan, deploymentRevision: 99 }, null);
    expect(applied.rejected.map(({ reason }) => reason)).toEqual(['the deployment changed meanwhile']);
  });

  it('P22 rejects the part for which no device is left, and takes the rest', async () => {
    const { plan, clusterId, deployment } = await planned();
    const cluster = await servers.store.read.clusters.find({ id: clusterId });
    const twice = { ...plan, assign: [...plan.assign, ...plan.assign] };
    // In one transaction with the uncordoning, so that the running leader does not get in between.
    const placement = await servers.store.transaction(async (rows) => {
      await rows.clusters.update(clusterId, cluster!.revision, { cordoned: false, phase: 'Ready' });
      const inside = {
        transaction: (work: (r: typeof rows) => unknown) => work(rows),
      } as unknown as typeof servers.store;
      const applied = await applyPlan(inside, epochNow(), twice, null);
      expect(applied.rejected.map(({ reason }) => reason)).toEqual(['its devices were taken meanwhile']);
      return applied.assigned[0]!;
    });
    expect((await live(deployment.id)).map(({ id }: Placement) => id)).toEqual([placement.id]);
  });

  it('what the plan itself ends leaves its devices to what the plan assigns', async () => {
    const { plan, clusterId, deployment } = await planned();
    const cluster = await servers.store.read.clusters.find({ id: clusterId });
    const { id: deploymentId, tenantId, versionId, claim } = deployment;
    const now = new Date();
    const ended: Placement = {
      id: v7(),
      tenantId,
      deploymentId,
      clusterId,
      versionId,
      claim,
      devices: null,
      phase: 'Draining',
      epoch: 1,
      reason: '',
      createdAt: now,
      phaseSince: now,
    };
    const applied = await servers.store.transaction(async (rows) => {
      await rows.clusters.update(clusterId, cluster!.revision, { cordoned: false, phase: 'Ready' });
      await rows.placements.insert([ended]);
      const inside = {
        transaction: (work: (r: typeof rows) => unknown) => work(rows),
      } as unknown as typeof servers.store;
      const remove = [{ placementId: ended.id, clusterId, reason: 'it stopped' }];
      return applyPlan(inside, epochNow(), { ...plan, remove }, null);
    });
    expect([applied.assigned.length, applied.rejected.length, applied.removed]).toEqual([1, 0, 1]);
  });

  it('locks all of its clusters in one order, so that it and others do not wait for each other', async () => {
    const { plan, clusterId } = await planned();
    const lower = await makeCluster(servers.store, { id: '00000000-0000-7000-8000-000000000001', cordoned: true });
    const remove = [{ placementId: v7(), clusterId: lower.id, reason: 'it stopped' }];
    const [holder, looker] = [new Client(servers.databaseUrl), new Client(servers.databaseUrl)];
    await Promise.all([holder.connect(), looker.connect()]);
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT FROM clusters WHERE id = $1 FOR UPDATE', [lower.id]);
      const applied = applyPlan(servers.store, epochNow(), { ...plan, remove }, null);
      const waiting = `SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%clusters%'`;
      await until('the plan to wait', async () => (await looker.query(waiting)).rowCount !== 0);
      // The other one is still to be had.
      const free = 'SELECT FROM clusters WHERE id = $1 FOR UPDATE SKIP LOCKED';
      await until('the other cluster', async () => (await looker.query(free, [clusterId])).rowCount === 1);
      await holder.query('COMMIT');
      expect((await applied).rejected.map(({ reason }) => reason)).toEqual(['it was cordoned meanwhile']);
    } finally {
      await Promise.all([holder.end(), looker.end()]);
    }
  }, 60_000);

  it('of an older epoch writes nothing', async () => {
    const { plan, deployment } = await planned();
    await expect(applyPlan(servers.store, epochNow() - 1, plan, null)).rejects.toThrow(StaleEpochError);
    expect(await live(deployment.id)).toEqual([]);
  });
});

describe('NATS away', () => {
  it('R3 keeps nothing from being decided, and everybody learns of it afterwards', async () => {
    const where = newRegion();
    const { agent } = await joinTo(where);
    const version = await makeVersion(servers.store);
    await until('its devices', () => servers.store.read.observations.find(agent.clusterId));
    await servers.server.kill();
    await until('the disconnect', async () => !centre.nats.isConnected());
    const deployment = await makeDeployment(servers.store, version, { selector: { regions: [where] } });
    await until('the placement', async () => (await live(deployment.id)).length === 1);
    expect(await servers.store.read.outbox.pending()).toBeGreaterThan(0);
    await rm(servers.server.storeDirectory, { recursive: true, force: true });
    await servers.server.restart();
    await until('the outbox to be sent', async () => (await servers.store.read.outbox.pending()) === 0);
    // The hint may have gone before the agent was back: then its next report, 10 s at most, is answered by another.
    await until('the agent', async () => agent.session.status().state === 'connected');
    agent.report();
    await serving(deployment, version.digest!);
  }, 60_000);
});

describe('another control plane', () => {
  it('leads with a higher epoch once the first has stopped, and moves nothing', async () => {
    const where = newRegion();
    const { agent } = await joinTo(where);
    const version = await makeVersion(servers.store);
    const deployment = await makeDeployment(servers.store, version, { selector: { regions: [where] } });
    await serving(deployment, version.digest!);
    const before = await live(deployment.id);
    const epoch = centre.app.get(LeaderService).epoch()!;
    const second = await startCentre(servers, { leads: true });
    await centre.stop();
    centre = second;
    const newEpoch = await until('the new leader', async () => second.app.get(LeaderService).epoch());
    expect(newEpoch).toBeGreaterThan(epoch);
    const scaled = await servers.store.read.deployments.find({ id: deployment.id });
    await change(scaled!, { replicas: 2 });
    await until('the second replica', async () => agent.state?.replicas.length === 2);
    expect((await live(deployment.id)).map(({ id }) => id)).toContain(before[0]!.id);
    expect(agent.epoch).toBe(newEpoch);
  }, 60_000);
});
