/** New versions come to the clusters that serve their model before anybody rolls them out. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { v7 } from 'uuid';
import {
  type Cluster,
  DEFAULT_SYNC_POLICIES,
  DEFAULT_TENANT_ID,
  type Deployment,
  type ModelVersion,
  type Placement,
  StaleEpochError,
} from '#domain';
import { LeaderService } from '../../apps/control-plane/src/leader/leader.service.ts';
import { MirrorLoop } from '../../apps/control-plane/src/leader/mirror-loop.ts';
import { writeDesired } from '../../apps/control-plane/src/leader/write-desired.ts';
import {
  type Centre,
  CPU,
  makeCluster,
  makeDeployment,
  makeVersion,
  type Servers,
  startCentre,
  startServers,
  until,
  WireAgent,
} from './federation.fixture.ts';
import { changeCluster, held, observe, type SyncWorld, startSyncWorld } from './sync.fixture.ts';

jest.setTimeout(60_000);

const DAY_MS = 86_400_000;
const never = new AbortController().signal;

describe('the mirror loop', () => {
  let world: SyncWorld;
  beforeAll(async () => {
    world = await startSyncWorld();
  }, 60_000);
  afterAll(() => world?.stop());

  /** A cluster that serves version 1 of a model of its own. */
  async function makeServing(change: Partial<Cluster> = {}) {
    const { store } = world;
    const version = await makeVersion(store);
    const deployment = await makeDeployment(store, version);
    const cluster = await makeCluster(store, change);
    await store.transaction((rows) => rows.placements.insert([placementOf(deployment, cluster, version)]));
    return { cluster, deployment, version };
  }

  function placementOf(deployment: Deployment, cluster: Cluster, version: ModelVersion): Placement {
    const now = new Date();
    const of = { deploymentId: deployment.id, clusterId: cluster.id, versionId: version.id };
    const rest = { phase: 'Assigned' as const, epoch: 0, reason: '', createdAt: now, phaseSince: now };
    return { id: v7(), tenantId: DEFAULT_TENANT_ID, ...of, claim: CPU, devices: null, ...rest };
  }

  const numbersOf = async ({ id }: Cluster) =>
    (await world.store.read.desired.find(id))?.versions.map(({ number }) => number).sort();
  const revisionOf = async ({ id }: Cluster) => (await world.store.read.desired.find(id))?.revision;

  it('brings a new version at once, writes nothing again, and takes away what is published no more', async () => {
    const { cluster, version } = await makeServing();
    const loop = new MirrorLoop(world.store, 0, () => new Date());
    await loop.run(never);
    expect([await numbersOf(cluster), await revisionOf(cluster)]).toEqual([[1], 1]);
    const second = await makeVersion(world.store, version.modelId);
    await loop.run(never);
    await loop.run(never);
    await new MirrorLoop(world.store, 0, () => new Date()).run(never); // the next leader finds it done
    expect([await numbersOf(cluster), await revisionOf(cluster)]).toEqual([[1, 2], 2]);
    await world.store.transaction((rows) => rows.versions.abandon(second.id));
    await loop.run(never);
    expect([await numbersOf(cluster), await revisionOf(cluster)]).toEqual([[1], 3]);
  });

  it('leaves a hint for each document that changed, and none for others', async () => {
    const { cluster } = await makeServing();
    const loop = new MirrorLoop(world.store, 0, () => new Date());
    await loop.run(never);
    const pending = await world.store.read.outbox.pending();
    const other = await makeServing();
    await loop.run(never);
    expect([
      await world.store.read.outbox.pending(),
      await revisionOf(cluster),
      await revisionOf(other.cluster),
    ]).toEqual([pending + 1, 1, 1]);
  });

  it('brings it to a cluster of snapshot policy once its cron has fired', async () => {
    const { cluster, version } = await makeServing({ kind: 'central', sync: DEFAULT_SYNC_POLICIES.central });
    let now = new Date();
    const loop = new MirrorLoop(world.store, 0, () => now);
    await makeVersion(world.store, version.modelId);
    await loop.run(never);
    const before = await numbersOf(cluster);
    now = new Date(now.getTime() + DAY_MS + 60_000);
    await loop.run(never);
    expect([before, await numbersOf(cluster)]).toEqual([[1], [1, 2]]);
  });

  it('follows a change of policy, and of the cordon', async () => {
    const { cluster, version } = await makeServing({ sync: DEFAULT_SYNC_POLICIES.central });
    const now = new Date(); // before version 2 is published, so that no cron has fired since
    const loop = new MirrorLoop(world.store, 0, () => now);
    await makeVersion(world.store, version.modelId);
    await loop.run(never);
    const before = await numbersOf(cluster);
    await changeCluster(world.store, cluster, { sync: DEFAULT_SYNC_POLICIES.edge });
    await loop.run(never);
    const incremental = await numbersOf(cluster);
    await changeCluster(world.store, cluster, { cordoned: true });
    await loop.run(never);
    expect([before, incremental, await numbersOf(cluster)]).toEqual([[1], [1, 2], [1]]);
  });

  it('a cordon takes away nothing that is there, and brings nothing new', async () => {
    const { cluster, version } = await makeServing();
    const loop = new MirrorLoop(world.store, 0, () => new Date());
    const second = await makeVersion(world.store, version.modelId);
    await loop.run(never);
    await observe(world.store, cluster.id, { versions: [held(second)] });
    await changeCluster(world.store, cluster, { cordoned: true });
    await loop.run(never);
    expect([await numbersOf(cluster), await revisionOf(cluster)]).toEqual([[1, 2], 1]);
    await makeVersion(world.store, version.modelId);
    await world.store.transaction((rows) => writeDesired(rows, 0, [cluster.id]));
    expect([await numbersOf(cluster), await revisionOf(cluster)]).toEqual([[1, 2], 1]);
  });

  it('R11 writes nothing once its epoch is over', async () => {
    const { cluster } = await makeServing();
    await expect(new MirrorLoop(world.store, 7, () => new Date()).run(never)).rejects.toBeInstanceOf(StaleEpochError);
    expect(await numbersOf(cluster)).toBeUndefined();
  });

  it('R1 of two that write one document at once neither undoes the other', async () => {
    const { cluster, deployment, version } = await makeServing();
    const { store } = world;
    const second = await makeVersion(store, version.modelId);
    const added = placementOf(deployment, cluster, second);
    let mirroring: Promise<unknown> = Promise.resolve();
    await store.transaction(async (rows) => {
      await rows.clusters.find({ id: cluster.id }, true); // as the applier of plans does
      mirroring = store.transaction((other) => writeDesired(other, 0, [cluster.id]));
      await rows.placements.insert([added]);
      await writeDesired(rows, 0, [cluster.id]);
    });
    await mirroring;
    const state = await store.read.desired.find(cluster.id);
    expect(state!.replicas.map(({ replicaId }) => replicaId)).toContain(added.id);
  });
});

describe('under a leader', () => {
  let servers: Servers;
  let centre: Centre;
  const agents: WireAgent[] = [];
  beforeAll(async () => {
    servers = await startServers();
    centre = await startCentre(servers, { leads: true });
    await until('a leader', async () => centre.app.get(LeaderService).epoch());
  }, 60_000);
  afterEach(async () => {
    await Promise.all(agents.splice(0).map((agent) => agent.stop()));
  });
  afterAll(async () => {
    await centre?.stop();
    await servers?.stop();
  });

  it('a version that is published is in the document of an agent that serves its model, while what runs runs on', async () => {
    const cluster = await makeCluster(servers.store);
    const agent = await WireAgent.connect(servers, cluster.id);
    agents.push(agent);
    await agent.live();
    const version = await makeVersion(servers.store);
    await makeDeployment(servers.store, version, { selector: { clusterNames: [cluster.name] } });
    const has = (numbers: number[]) => agent.state?.versions.map(({ number }) => number).join() === numbers.join();
    await until('the replica', async () => agent.state?.replicas.length === 1 && has([1]), 30_000);
    const replicas = agent.state?.replicas;
    await makeVersion(servers.store, version.modelId);
    await until('the mirrored version', async () => has([1, 2]), 30_000);
    expect(agent.state?.replicas).toEqual(replicas);
  });
});
