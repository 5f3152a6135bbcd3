/** Conflicts, drains, agents that are ahead, and numbers that are raised above them, as Postgres keeps them. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import type { Cluster, ClusterConflict } from '#domain';
import { migrate, openStore, PostgresLeaderLease, type PostgresStore } from '#store';
import { createTestDatabase, type TestDatabase } from '#testing';
import { insertCluster, insertDeployment, NOW } from './store.fixture.ts';

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

const LATER = new Date(NOW.getTime() + 60_000);
const NOTHING = { versions: [], replicas: [], tasks: [] };

const conflict = ({ id: clusterId, tenantId }: Cluster, change: Partial<ClusterConflict> = {}): ClusterConflict => ({
  ...{ id: v7(), tenantId, clusterId, kind: 'replaced-elsewhere', subject: 'r1', message: 'it was replaced' },
  ...{ resolution: null, revision: 3, openedAt: NOW, resolvedAt: null },
  ...change,
});

const open = (...conflicts: ClusterConflict[]) => store.transaction((rows) => rows.conflicts.open(conflicts));
const resolve = (id: string) => store.transaction((rows) => rows.conflicts.resolve(id, 'by rule', LATER));
const remove = (before: Date) => store.transaction((rows) => rows.conflicts.removeResolvedBefore(before));

describe('conflicts', () => {
  it('are open once for each kind and subject, and open again after they were resolved', async () => {
    const cluster = await insertCluster(store);
    const first = conflict(cluster);
    expect(await open(first)).toEqual([first]);
    const second = conflict(cluster, { subject: 'r2' });
    expect(await open(conflict(cluster), second)).toEqual([second]);
    expect([await resolve(first.id), await resolve(first.id)]).toEqual([true, false]);
    const again = conflict(cluster);
    expect(await open(again)).toEqual([again]);
    expect(await store.read.conflicts.ofCluster(cluster.id, 10)).toEqual([
      again,
      second,
      { ...first, resolution: 'by rule', resolvedAt: LATER },
    ]);
    expect((await store.read.conflicts.allOpen()).map(({ id }) => id)).toEqual([second.id, again.id]);
    await store.transaction((rows) => rows.conflicts.drop(second.id));
    expect(await store.read.conflicts.ofCluster(cluster.id, 1)).toEqual([again]);
  });

  it('are kept while they are open, and no longer than asked once they are resolved', async () => {
    const cluster = await insertCluster(store);
    const [over, staying] = [conflict(cluster), conflict(cluster, { subject: 'other' })];
    await open(over, staying);
    await resolve(over.id);
    await remove(LATER);
    expect(await store.read.conflicts.ofCluster(cluster.id, 10)).toHaveLength(2);
    await remove(new Date(LATER.getTime() + 1));
    expect(await store.read.conflicts.ofCluster(cluster.id, 10)).toEqual([staying]);
  });

  it('end with their cluster', async () => {
    const cluster = await insertCluster(store);
    await open(conflict(cluster));
    await store.transaction((rows) => rows.clusters.update(cluster.id, 1, { phase: 'Left' }));
    expect((await store.read.conflicts.allOpen()).filter(({ clusterId }) => clusterId === cluster.id)).toEqual([]);
    await remove(NOW);
    expect(await store.read.conflicts.ofCluster(cluster.id, 10)).toEqual([]);
  });

  it('of no cluster are not asked of Postgres', async () => {
    expect(await store.read.conflicts.ofCluster('no id', 10)).toEqual([]);
  });
});

describe('what is said of a cluster', () => {
  const drain = { mode: 'move', deadlineSeconds: 600, since: NOW.toISOString(), requestedBy: 'key:a' } as const;
  const ahead = { epoch: 9, revision: 812, since: NOW.toISOString() };

  it('is set, left alone and taken back, each by itself', async () => {
    const { id } = await insertCluster(store, { drain });
    const seen = async () => {
      const row = await store.read.clusters.find({ id });
      return [row!.drain, row!.ahead];
    };
    const update = (revision: number, change: Partial<Cluster>) =>
      store.transaction((rows) => rows.clusters.update(id, revision, change));
    expect(await seen()).toEqual([drain, null]);
    await update(1, { ahead });
    await update(2, { cordoned: true });
    expect(await seen()).toEqual([drain, ahead]);
    await update(3, { drain: null });
    expect(await seen()).toEqual([null, ahead]);
    await update(4, { ahead: null });
    expect(await seen()).toEqual([null, null]);
    const [locked] = await store.transaction((rows) => rows.clusters.lock([id], 'alone'));
    expect(locked).toMatchObject({ drain: null, ahead: null, revision: 5 });
  });

  it('R20: a leader begins above every epoch that an agent was seen with', async () => {
    const cluster = await insertCluster(store, { ahead: { ...ahead, epoch: 40 } });
    await insertCluster(store, { ahead: { ...ahead, epoch: 70 }, phase: 'Left' });
    const lease = new PostgresLeaderLease({ url: database.url });
    const held = await lease.acquire('spec', new AbortController().signal);
    await held.release();
    expect(held.epoch).toBe(41);
    const raised = await store.transaction((rows) => rows.leader.epochAbove(99));
    const kept = await store.transaction((rows) => rows.leader.epochAbove(50));
    expect([raised, kept]).toEqual([100, 100]);
    await store.transaction((rows) => rows.clusters.update(cluster.id, 1, { ahead: null }));
  });
});

describe('R20: a document that is numbered above what an agent has seen', () => {
  it('is written by the next put, whatever its content, and by no other', async () => {
    const { id } = await insertCluster(store);
    const put = (epoch: number) => store.transaction((rows) => rows.desired.put(id, epoch, NOTHING));
    await put(3);
    await store.transaction((rows) => rows.desired.raise(id, 812));
    expect(await store.read.desired.find(id)).toMatchObject({ epoch: 3, revision: 812 });
    expect(await put(10)).toMatchObject({ changed: true, state: { epoch: 10, revision: 813 } });
    expect(await put(10)).toMatchObject({ changed: false, state: { revision: 813 } });
    await store.transaction((rows) => rows.desired.raise(id, 5));
    expect(await put(10)).toMatchObject({ changed: true, state: { revision: 814 } });
  });

  it('also where there was none', async () => {
    const { id } = await insertCluster(store);
    await store.transaction((rows) => rows.desired.raise(id, 812));
    const put = await store.transaction((rows) => rows.desired.put(id, 1, NOTHING));
    expect(put).toMatchObject({ changed: true, state: { epoch: 1, revision: 813 } });
  });
});

describe('versions that are adapters', () => {
  it('are neither abandoned nor retired while a deployment names them', async () => {
    const lora = await insertDeployment(store, { replicas: 0 });
    const { serving, ...rest } = lora;
    const adapters = [{ name: 'legal', versionId: lora.versionId }];
    const chat = await insertDeployment(store, { serving: { ...serving, adapters } });
    await store.transaction((rows) => rows.deployments.remove(rest.id));
    const abandon = () => store.transaction((rows) => rows.versions.abandon(lora.versionId));
    const retire = () => store.transaction((rows) => rows.versions.retireUnused([lora.versionId]));
    await expect(abandon()).rejects.toMatchObject({
      refusal: { reason: `the version is an adapter of deployment "${chat.name}"; take it away there first` },
    });
    expect(await retire()).toEqual([]);
    await store.transaction((rows) => rows.deployments.update(chat.id, 1, { serving }));
    expect(await retire()).toEqual([lora.versionId]);
  });
});
