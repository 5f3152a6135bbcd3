import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { routesViewSchema } from '#contracts';
import { type Cluster, DEFAULT_TENANT_ID, type Deployment, type Placement, type ReplicaReport } from '#domain';
import { migrate, openStore, type PostgresStore } from '#store';
import { createTestDatabase } from '#testing';
import { insertBudget, insertKey, insertTenant } from './budgets.fixture.ts';
import { aPlacement, DIGEST, insertCluster, insertDeployment, NOW, observe } from './store.fixture.ts';

describe('the routes view', () => {
  let database: Awaited<ReturnType<typeof createTestDatabase>>;
  let store: PostgresStore;
  let cluster: Cluster;
  let deployment: Deployment;
  let placement: Placement;

  const refresh = () => store.transaction((rows) => rows.routes.refresh());
  const viewOf = async (id: string) => (await refresh()).view.deployments.find((entry) => entry.id === id);
  const ready = (of: Placement, change: Partial<ReplicaReport> = {}): ReplicaReport => ({
    replicaId: of.id,
    deploymentId: of.deploymentId,
    versionDigest: DIGEST,
    phase: 'Ready',
    reason: '',
    restarts: 0,
    ...change,
  });

  beforeAll(async () => {
    database = await createTestDatabase({ migrate });
    store = await openStore({ url: database.url, poolSize: 5 });
  });
  afterAll(async () => {
    await store.close();
    await database.drop();
  });
  beforeEach(async () => {
    cluster = await insertCluster(store);
    deployment = await insertDeployment(store);
    placement = aPlacement(deployment, cluster.id);
    await store.transaction((rows) => rows.placements.insert([placement]));
  });

  it('is none before the first refresh, then rises only with its content', async () => {
    expect(await store.read.routes.current()).toBeNull();
    const first = await refresh();
    const again = await refresh();
    expect([first.changed, again.changed, again.view]).toEqual([true, false, first.view]);
    await insertCluster(store);
    const second = await refresh();
    expect([second.changed, second.view.sequence]).toEqual([true, first.view.sequence + 1]);
    expect(await store.read.routes.current()).toEqual(second.view);
  });

  it('names the budgets that each key is charged to, and changes with them', async () => {
    const tenant = await insertTenant(store);
    const mine = await insertKey(store, { tenantId: tenant.id });
    const other = await insertKey(store, { tenantId: tenant.id });
    const all = await insertBudget(store, { tenantId: tenant.id, name: 'all', limitTokens: 5_000, period: 'day' });
    const one = await insertBudget(store, { tenantId: tenant.id, keyPublicId: mine.publicId });
    const { view } = await refresh();
    const idsOf = ({ publicId }: typeof mine) => view.keys.find((key) => key.publicId === publicId)?.budgetIds;
    expect([idsOf(mine), idsOf(other)]).toEqual([[all.id, one.id], [all.id]]);
    expect(view.budgets.find(({ budgetId }) => budgetId === all.id)).toEqual({
      budgetId: all.id,
      title: 'budget "all" of 5,000 tokens a day',
    });
    await store.transaction((rows) => rows.budgets.update(all.id, 1, { limitTokens: 6_000 }));
    expect((await refresh()).changed).toBe(true);
    for (const { id } of [mine, other]) await store.transaction((rows) => rows.apiKeys.revoke(id));
  });

  it('is what the wire schema says, whole', async () => {
    const publicKey = `U${'A'.repeat(55)}`;
    const other = await insertCluster(store, { publicKey });
    await observe(store, other.id, { endpoint: '10.0.0.1:7443' });
    const key = {
      id: v7(),
      tenantId: DEFAULT_TENANT_ID,
      name: 'app',
      publicId: 'app00001',
      secretHash: DIGEST,
      offlineHash: null,
      role: 'inference',
      models: ['tiny'],
      expiresAt: new Date('2999-01-01T00:00:00.000Z'),
      revokedAt: null,
      createdAt: NOW,
    } as const;
    await store.transaction(async (rows) => {
      await rows.apiKeys.insert(key);
      await rows.apiKeys.insert({ ...key, id: v7(), name: 'old', publicId: 'old00001', expiresAt: NOW });
      await rows.apiKeys.insert({ ...key, id: v7(), name: 'bad', publicId: 'bad00001', revokedAt: NOW });
    });
    const { view } = await refresh();
    expect(view.keys).toEqual([
      {
        publicId: 'app00001',
        secretHash: DIGEST,
        tenantId: DEFAULT_TENANT_ID,
        role: 'inference',
        models: ['tiny'],
        expiresAtMs: key.expiresAt.getTime(),
        budgetIds: [],
      },
    ]);
    const { id, name } = other;
    const shown = view.clusters.find((entry) => entry.id === id);
    expect(shown).toEqual({
      id,
      name,
      kind: 'edge',
      region: 'eu',
      phase: 'Ready',
      endpoint: '10.0.0.1:7443',
      publicKey,
    });
    const { clusters: _clusters, ...rest } = view;
    expect(routesViewSchema.parse({ ...rest, clusters: [shown] })).toEqual({ ...rest, clusters: [shown] });
    expect(view.deployments.find((entry) => entry.id === deployment.id)).toEqual({
      id: deployment.id,
      tenantId: DEFAULT_TENANT_ID,
      name: deployment.name,
      servedModel: 'tiny',
      versionDigest: DIGEST,
      createdAtSeconds: Math.floor(NOW.getTime() / 1000),
      replicas: [
        { replicaId: placement.id, clusterId: cluster.id, versionDigest: DIGEST, versionNumber: 1, ready: false },
      ],
    });
  });

  it.each([
    { name: 'the report says Ready with its digest', change: {}, wantReady: true },
    { name: 'the report says Starting', change: { phase: 'Starting' as const }, wantReady: false },
    { name: 'the report says another digest', change: { versionDigest: 'b'.repeat(64) }, wantReady: false },
    { name: 'the report says nothing of it', change: { replicaId: v7() }, wantReady: false },
  ])('a replica is ready: $wantReady when $name', async ({ change, wantReady }) => {
    await observe(store, cluster.id, { replicas: [ready(placement, change)] });
    expect((await viewOf(deployment.id))!.replicas).toMatchObject([{ replicaId: placement.id, ready: wantReady }]);
  });

  it('a replica that another cluster claims to run is not ready', async () => {
    const liar = await insertCluster(store);
    await observe(store, liar.id, { replicas: [ready(placement)] });
    expect((await viewOf(deployment.id))!.replicas).toMatchObject([{ ready: false }]);
  });

  it('a draining replica serves until an assigned one does', async () => {
    const replacement = aPlacement(deployment, cluster.id);
    await store.transaction(async (rows) => {
      await rows.placements.move([placement.id], 'Draining', 'replaced');
      await rows.placements.insert([replacement]);
    });
    await observe(store, cluster.id, { replicas: [ready(placement)] });
    const readiness = async () =>
      (await viewOf(deployment.id))!.replicas.filter((entry) => entry.ready).map((entry) => entry.replicaId);
    expect(await readiness()).toEqual([placement.id]);
    await observe(store, cluster.id, { replicas: [ready(placement), ready(replacement)] });
    expect(await readiness()).toEqual([replacement.id]);
  });

  it('shows no cluster that is no member, and nothing placed there', async () => {
    const waiting = await insertCluster(store, { phase: 'PendingApproval' });
    await store.transaction((rows) => rows.clusters.update(cluster.id, 1, { phase: 'Left' }));
    const { view } = await refresh();
    const ids = view.clusters.map((entry) => entry.id);
    expect([ids.includes(waiting.id), ids.includes(cluster.id)]).toEqual([false, false]);
    expect(view.deployments.find((entry) => entry.id === deployment.id)!.replicas).toEqual([]);
  });

  it('shows no deployment that is being deleted and no placement that is removed', async () => {
    await store.transaction((rows) => rows.placements.move([placement.id], 'Removed', 'gone'));
    expect((await viewOf(deployment.id))!.replicas).toEqual([]);
    await store.transaction((rows) => rows.deployments.update(deployment.id, 1, { deletedAt: NOW }));
    expect(await viewOf(deployment.id)).toBeUndefined();
  });

  it('R1: the last of many refreshes at once has seen every change', async () => {
    const clusters = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const joined = await insertCluster(store);
        await refresh();
        return joined.id;
      }),
    );
    const ids = (await store.read.routes.current())!.clusters.map((entry) => entry.id);
    expect(ids).toEqual(expect.arrayContaining(clusters));
  });
});
