/** What both sides changed while they were apart: the leader's own loops on a real Postgres, a turn at a time. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { type Cluster, DEFAULT_DISCONNECT_POLICY, type Deployment, type ReplicaReport } from '#domain';
import { migrate, openStore, type PostgresStore } from '#store';
import { createTestDatabase, type TestDatabase } from '#testing';
import { CountedFederation } from '../../apps/control-plane/src/federation/metrics.ts';
import { keepConflicts } from '../../apps/control-plane/src/leader/conflicts-loop.ts';
import { keepHouse } from '../../apps/control-plane/src/leader/housekeeping.ts';
import { SchedulerLoop } from '../../apps/control-plane/src/leader/scheduler-loop.ts';
import { DIGEST, insertCluster, insertDeployment, observe } from './store.fixture.ts';

const EPOCH = 0;
const DAY_MS = 86_400_000;
const NODES = [{ name: 'machine', devices: [{ id: 'cpu-0', deviceType: 'cpu' as const, memoryBytes: 1e9 }] }];

Logger.overrideLogger(false);

let database: TestDatabase;
let store: PostgresStore;
beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url });
}, 60_000);
afterAll(async () => {
  await store?.close();
  await database?.drop();
});

/** Two clusters of a region of their own, and a leader whose monotonic clock is set. */
async function world(region: string, change: Partial<Deployment>) {
  const clusters = [await insertCluster(store, { region }), await insertCluster(store, { region })];
  for (const { id } of clusters) await observe(store, id, { nodes: NODES });
  const deployment = await insertDeployment(store, { selector: { regions: [region] }, ...change });
  const clock = { atMs: Date.now() };
  const scheduler = new SchedulerLoop(store, EPOCH, new CountedFederation(), { nowMs: () => clock.atMs });
  let reports = 1;
  return {
    deployment,
    other: (id: string) => clusters.find((cluster) => cluster.id !== id)!,
    placements: () => store.read.placements.live({ deploymentId: deployment.id }),
    conflicts: async (clusterId: string) => {
      const rows = await store.read.conflicts.ofCluster(clusterId, 50);
      return rows.map(({ kind, message, resolution }) => ({ kind, message, resolution }));
    },
    turn: async (seconds = 0) => {
      clock.atMs += seconds * 1_000;
      await scheduler.run(new AbortController().signal);
      await keepConflicts(store, EPOCH, new Date());
    },
    move: async (id: string, phase: Cluster['phase']) => {
      const { revision } = (await store.read.clusters.find({ id }))!;
      await store.transaction((rows) => rows.clusters.update(id, revision, { phase }));
    },
    /** Says that it runs these and has applied its newest document. */
    report: async (clusterId: string, replicas: ReplicaReport[]) => {
      reports += 1;
      const desired = (await store.read.desired.find(clusterId)) ?? { epoch: 0, revision: 0 };
      const { epoch, revision } = desired;
      const report = { clusterId, bootId: 'boot', sequence: reports, epoch, revision, nodes: NODES, replicas };
      const whole = { ...report, agentVersion: '1', versions: [] };
      await store.transaction((rows) =>
        rows.observations.upsert({ clusterId, report: whole, replacedBoots: [], receivedAt: new Date() }),
      );
    },
  };
}

const serving = (replicaId: string, deploymentId: string, rest: Partial<ReplicaReport> = {}): ReplicaReport => ({
  ...{ replicaId, deploymentId, versionDigest: DIGEST, phase: 'Ready', reason: '', restarts: 0 },
  ...rest,
});

describe('a partition that heals', () => {
  it.each([
    ['prefer-central', 'by prefer-central the replica here goes: only 1 replica is wanted'],
    ['prefer-edge', 'by prefer-edge the replica here stays, and what is too much went elsewhere'],
  ] as const)('lists what was replaced meanwhile and how %s resolved it', async (reconcile, want) => {
    const fleet = await world(`partition-${reconcile}`, { disconnect: { ...DEFAULT_DISCONNECT_POLICY, reconcile } });
    const { id: deploymentId, name } = fleet.deployment;
    await fleet.turn();
    const [first] = await fleet.placements();
    const home = first!.clusterId;
    await fleet.report(home, [serving(first!.id, deploymentId)]);

    await fleet.move(home, 'Unknown');
    await fleet.turn();
    expect(await fleet.conflicts(home)).toMatchObject([{ kind: 'document-changed', resolution: null }]);
    await fleet.turn(301);
    await fleet.turn();
    const second = (await fleet.placements()).find(({ clusterId }) => clusterId !== home)!;
    await fleet.report(second.clusterId, [serving(second.id, deploymentId)]);
    const message = `a replica of ${name} was given up here and placed in ${fleet.other(home).name}, and may go on serving here`;
    expect(await fleet.conflicts(home)).toContainEqual({ kind: 'replaced-elsewhere', message, resolution: null });

    await fleet.move(home, 'Ready');
    const local = [serving(first!.id, deploymentId), serving('l1', deploymentId, { isLocal: true })];
    await fleet.report(home, local);
    await fleet.turn();
    await fleet.report(home, local);
    await fleet.turn();
    const resolved = await fleet.conflicts(home);
    expect(resolved).toContainEqual({ kind: 'replaced-elsewhere', message, resolution: want });
    expect(resolved).toContainEqual({
      kind: 'local-replicas',
      message: `its agent runs 1 replica(s) of ${name} that it started by itself while it was out of contact`,
      resolution: null,
    });
    // X02: what it started by itself is nobody's placement, and is not drained as one.
    expect((await fleet.placements()).filter(({ phase }) => phase === 'Assigned')).toHaveLength(1);

    await fleet.report(home, []);
    await fleet.turn();
    expect(await fleet.conflicts(home)).toContainEqual(
      expect.objectContaining({ kind: 'local-replicas', resolution: 'its agent has ended them' }),
    );
    const { items } = { items: await store.read.audit.list({ tenantId: first!.tenantId, after: null, limit: 200 }) };
    const said = items.filter(({ targetId }) => targetId === home).map(({ action }) => action);
    expect(said).toContain('clusters.conflict');
    expect(said).toContain('clusters.conflict-resolved');
  });

  it('leaves nothing to tell where nothing changed, and keeps what is resolved for a week', async () => {
    const fleet = await world('quiet', { replicas: 0 });
    const { id } = fleet.other('');
    await fleet.move(id, 'Unknown');
    await fleet.turn();
    await fleet.move(id, 'Ready');
    await fleet.report(id, []);
    await fleet.turn();
    expect(await fleet.conflicts(id)).toEqual([]);

    const count = async () => (await store.read.conflicts.allOpen()).length;
    const before = await count();
    const all = async () =>
      (await Promise.all((await store.read.clusters.all()).map((each) => fleet.conflicts(each.id)))).flat();
    const resolved = (await all()).length - before;
    expect(resolved).toBeGreaterThan(0);
    await keepHouse(store, EPOCH, Date.now() + 6 * DAY_MS);
    expect((await all()).length).toBe(before + resolved);
    await keepHouse(store, EPOCH, Date.now() + 8 * DAY_MS);
    expect((await all()).length).toBe(before);
  });

  it('X05 replace never: however long it lasts, nothing is placed elsewhere and nothing is to be resolved', async () => {
    const fleet = await world('never', { disconnect: { ...DEFAULT_DISCONNECT_POLICY, replace: 'never' } });
    await fleet.turn();
    const [first] = await fleet.placements();
    await fleet.move(first!.clusterId, 'Unknown');
    await fleet.turn();
    await fleet.turn(1_000_000);
    expect(await fleet.placements()).toEqual([first]);
    expect((await fleet.conflicts(first!.clusterId)).map(({ kind }) => kind)).toEqual(['document-changed']);
  });
});
