// The rows of tenants, queues, priority classes and usage, on real Postgres.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { DEFAULT_QUEUE_ID, DEFAULT_TENANT_ID, type Queue, type QueueUsage, type Tenant } from '#domain';
import { ConflictError, migrate, openStore, type PostgresStore } from '#store';
import { attemptOf, createTestDatabase, jobOf, priorityClassOf, queueOf } from '#testing';
import { aName, aPlacement, insertCluster, insertDeployment, NOW } from './store.fixture.ts';

let database: Awaited<ReturnType<typeof createTestDatabase>>;
let store: PostgresStore;

beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url, poolSize: 5 });
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

async function insertTenant(): Promise<Tenant> {
  const tenant = { id: v7(), name: aName('tenant'), createdAt: NOW };
  await store.transaction((rows) => rows.tenants.insert(tenant));
  return tenant;
}

async function insertQueue(change: Partial<Queue> = {}): Promise<Queue> {
  const queue = queueOf(change);
  await store.transaction((rows) => rows.queues.insert(queue));
  return queue;
}

describe('tenants', () => {
  it('are found again by id and by name, and all are listed', async () => {
    const tenant = await insertTenant();
    expect(await store.read.tenants.find({ id: tenant.id })).toEqual(tenant);
    expect(await store.read.tenants.find({ name: tenant.name })).toEqual(tenant);
    expect([await store.read.tenants.find({ id: 'x' }), await store.read.tenants.find({ name: 'x' })]).toEqual([
      null,
      null,
    ]);
    const ids = (await store.read.tenants.all()).map(({ id }) => id);
    expect(ids).toEqual([DEFAULT_TENANT_ID, tenant.id]);
  });

  it('have names of their own', async () => {
    const { name } = await insertTenant();
    const again = store.transaction((rows) => rows.tenants.insert({ id: v7(), name, createdAt: NOW }));
    await expect(again).rejects.toThrow('a tenant with this name exists');
  });

  it('that are removed are found by nobody, leave their name, and keep what their queues used by name', async () => {
    const tenant = await insertTenant();
    const { id: tenantId } = tenant;
    const root = await insertQueue({ tenantId });
    const leaf = await insertQueue({ tenantId, parentId: root.id });
    const used = { tenantId, queueId: leaf.id, deviceType: 'cpu', day: '2026-01-02' } as const;
    await store.transaction((rows) =>
      rows.usage.charge([{ ...used, jobDeviceSeconds: 1, servingDeviceSeconds: 0, lostDeviceSeconds: 0 }]),
    );
    await store.transaction((rows) => rows.tenants.remove(tenantId));
    const { tenants, queues, usage } = store.read;
    expect([await tenants.find({ id: tenantId }), await tenants.find({ name: tenant.name })]).toEqual([null, null]);
    expect((await tenants.all()).map(({ id }) => id)).not.toContain(tenantId);
    expect(await queues.list({ tenantId, after: null, limit: 10 })).toEqual([]);
    expect(await queues.removed(tenantId)).toEqual([{ id: leaf.id, name: leaf.name }]);
    expect(await usage.since('2026-01-01', tenantId)).toHaveLength(1);
    await store.transaction((rows) => rows.tenants.insert({ ...tenant, id: v7() }));
  });

  it('take nothing any more once they are removed, though it came before: it waits and is refused', async () => {
    const { id: tenantId } = await insertTenant();
    const locked = Promise.withResolvers<void>();
    const removal = store.transaction(async (rows) => {
      await rows.tenants.find({ id: tenantId }, true);
      locked.resolve();
      await rows.tenants.remove(tenantId);
    });
    await locked.promise;
    await expect(insertQueue({ tenantId })).rejects.toThrow('the tenant was removed');
    await removal;
    await expect(insertQueue({ tenantId })).rejects.toThrow('the tenant was removed');
  });

  it('hold what keeps them, by kind', async () => {
    const { id: tenantId } = await insertTenant();
    const { id: queueId } = await insertQueue({ tenantId });
    const jobs = Array.from({ length: 7 }, (_, index) => jobOf({ tenantId, queueId, name: `job-${index}` }));
    await store.transaction((rows) => rows.jobs.insert(jobs));
    await insertCluster(store, { tenantId, name: 'there' });
    await insertCluster(store, { tenantId, name: 'left', phase: 'Left' });
    expect(await store.read.tenants.holdings(tenantId)).toEqual([
      { kind: 'clusters', count: 1, names: ['there'] },
      { kind: 'jobs', count: 7, names: ['job-0', 'job-1', 'job-2', 'job-3', 'job-4'] },
    ]);
  });
});

describe('queues', () => {
  it('are found again as they were written, by id and by name', async () => {
    const queue = await insertQueue({
      parentId: DEFAULT_QUEUE_ID,
      weight: 0.5,
      quota: { 'nvidia.com/gpu': 8 },
      borrowingLimit: { cpu: 0 },
      lendingLimit: {},
      order: 'c-mu',
      paused: true,
    });
    expect(await store.read.queues.find({ id: queue.id })).toEqual(queue);
    expect(await store.read.queues.find({ tenantId: queue.tenantId, name: queue.name })).toEqual(queue);
    expect(await store.read.queues.find({ id: 'x' })).toBeNull();
    expect((await store.read.queues.all()).map(({ id }) => id)).toEqual(expect.arrayContaining([queue.id]));
  });

  it('are those of the tenant in a page', async () => {
    const { id: tenantId } = await insertTenant();
    const queues = [await insertQueue({ tenantId }), await insertQueue({ tenantId })];
    const list = (after: string | null) => store.read.queues.list({ tenantId, after, limit: 10 });
    expect(await list(null)).toEqual(queues);
    expect(await list(queues[0]!.id)).toEqual([queues[1]]);
  });

  it('change only at the revision that the writer read: what is named, null too', async () => {
    const queue = await insertQueue({ quota: { cpu: 1 }, borrowingLimit: { cpu: 1 }, lendingLimit: { cpu: 2 } });
    const change = { weight: 3, quota: {}, borrowingLimit: null, order: 'fcfs', paused: true } as const;
    const update = () => store.transaction((rows) => rows.queues.update(queue.id, 1, change));
    expect([await update(), await update()]).toEqual([true, false]);
    expect(await store.read.queues.find({ id: queue.id })).toEqual({ ...queue, ...change, revision: 2 });
  });

  it('are removed when nothing names them', async () => {
    const [root, used, serving] = [await insertQueue(), await insertQueue(), await insertQueue()];
    const leaf = await insertQueue({ parentId: root.id });
    await store.transaction((rows) => rows.jobs.insert([jobOf({ queueId: used.id, phase: 'Failed' })]));
    await insertDeployment(store, { queueId: serving.id });
    const remove = (id: string) => store.transaction((rows) => rows.queues.remove(id));
    await expect(remove(root.id)).rejects.toThrow('the queue has queues below it');
    await expect(remove(used.id)).rejects.toThrow('the queue is used by a job');
    await expect(remove(serving.id)).rejects.toThrow('the queue is used by a deployment');
    await remove(leaf.id);
    await remove(root.id);
    expect(await store.read.queues.find({ id: root.id })).toBeNull();
  });

  it('have names of their own within the tenant', async () => {
    const { name } = await insertQueue();
    await expect(insertQueue({ name })).rejects.toThrow('a queue with this name exists');
    expect(await insertQueue({ name, tenantId: (await insertTenant()).id })).toMatchObject({ name });
  });

  it('of a deployment can be changed with its class', async () => {
    const [{ id, revision }, queue] = [await insertDeployment(store), await insertQueue()];
    const change = { queueId: queue.id, priorityClass: 'critical', priority: 10 };
    expect(await store.transaction((rows) => rows.deployments.update(id, revision, change))).toBe(true);
    expect(await store.read.deployments.find({ id })).toMatchObject(change);
  });
});

describe('priority classes', () => {
  it('are found again by name, and those of the tenant in a page', async () => {
    const { id: tenantId } = await insertTenant();
    const classes = [priorityClassOf({ tenantId, priority: 0, preemption: 'never' }), priorityClassOf({ tenantId })];
    for (const each of classes) await store.transaction((rows) => rows.priorityClasses.insert(each));
    expect(await store.read.priorityClasses.find({ tenantId, name: classes[0]!.name })).toEqual(classes[0]);
    expect(await store.read.priorityClasses.list({ tenantId, after: null, limit: 10 })).toEqual(classes);
    expect(await store.read.priorityClasses.find({ tenantId, name: 'x' })).toBeNull();
  });

  it('change only at the revision that the writer read, and go', async () => {
    const given = priorityClassOf();
    const { id, tenantId, name } = given;
    await store.transaction((rows) => rows.priorityClasses.insert(given));
    const update = () => store.transaction((rows) => rows.priorityClasses.update(id, 1, { preemptible: false }));
    expect([await update(), await update()]).toEqual([true, false]);
    const found = await store.read.priorityClasses.find({ tenantId, name });
    expect(found).toEqual({ ...given, preemptible: false, revision: 2 });
    await store.transaction((rows) => rows.priorityClasses.remove(id));
    expect(await store.read.priorityClasses.find({ tenantId, name })).toBeNull();
  });

  it('have names of their own within the tenant', async () => {
    const again = store.transaction((rows) => rows.priorityClasses.insert(priorityClassOf({ name: 'serving' })));
    await expect(again).rejects.toThrow(ConflictError);
  });
});

describe('usage', () => {
  const used = (change: Partial<QueueUsage> = {}): QueueUsage => ({
    tenantId: DEFAULT_TENANT_ID,
    queueId: DEFAULT_QUEUE_ID,
    deviceType: 'cpu',
    day: '2026-01-02',
    jobDeviceSeconds: 0,
    servingDeviceSeconds: 0,
    lostDeviceSeconds: 0,
    ...change,
  });
  const charge = (entries: QueueUsage[]) => store.transaction((rows) => rows.usage.charge(entries));

  it('is added up by queue, device type and day, within a charge and across them', async () => {
    const { id: tenantId } = await insertTenant();
    const queueId = v7();
    const of = { tenantId, queueId };
    await charge([
      used({ ...of, jobDeviceSeconds: 1.5 }),
      used({ ...of, jobDeviceSeconds: 2, lostDeviceSeconds: 0.25 }),
      used({ ...of, day: '2026-01-03', servingDeviceSeconds: 7 }),
      used({ ...of, day: '2025-12-31', servingDeviceSeconds: 9 }),
    ]);
    await Promise.all(Array.from({ length: 4 }, () => charge([used({ ...of, jobDeviceSeconds: 1 })])));
    expect(await store.read.usage.since('2026-01-01', tenantId)).toEqual([
      used({ ...of, jobDeviceSeconds: 7.5, lostDeviceSeconds: 0.25 }),
      used({ ...of, day: '2026-01-03', servingDeviceSeconds: 7 }),
    ]);
  });

  it('is of one tenant or of all', async () => {
    const [one, other] = [await insertTenant(), await insertTenant()];
    const entries = [one, other].map(({ id }) => used({ tenantId: id, day: '2027-01-01', jobDeviceSeconds: 1 }));
    await charge(entries);
    expect(await store.read.usage.since('2027-01-01', one.id)).toEqual([entries[0]]);
    expect(await store.read.usage.since('2027-01-01')).toEqual(entries);
    expect(await store.read.usage.since('2027-01-01', 'x')).toEqual([]);
  });

  it('that is not charged yet is what live holders have, within the time that is asked about', async () => {
    const { id: tenantId } = await insertTenant();
    const { id: queueId } = await insertQueue({ tenantId });
    const [from, to] = [new Date(NOW.getTime() + 10_000), new Date(NOW.getTime() + 30_000)];
    const jobs = Array.from({ length: 3 }, () => jobOf({ tenantId, queueId }));
    const gang = [0, 1].map((rank) => ({ rank, clusterId: v7(), devices: null }));
    const within = new Date(NOW.getTime() + 25_000);
    await store.transaction(async (rows) => {
      await rows.jobs.insert(jobs);
      await rows.attempts.insert([
        attemptOf(jobs[0]!, { tasks: gang }),
        attemptOf(jobs[1]!, { createdAt: within }),
        attemptOf(jobs[2]!, { phase: 'Ended' }),
      ]);
    });
    const of = { queueId, kind: 'job', deviceType: 'cpu' };
    expect(await store.read.usage.held(tenantId, from, to)).toEqual([
      { ...of, holders: 2, devices: 3, deviceSeconds: 2 * 20 + 5 },
    ]);
  });

  it('of serving is that of live placements', async () => {
    const queue = await insertQueue();
    const deployment = await insertDeployment(store, { queueId: queue.id });
    const { id: clusterId } = await insertCluster(store);
    const placements = (['Assigned', 'Draining', 'Removed'] as const).map((phase) =>
      aPlacement(deployment, clusterId, { phase }),
    );
    await store.transaction((rows) => rows.placements.insert(placements));
    const held = await store.read.usage.held(DEFAULT_TENANT_ID, NOW, new Date(NOW.getTime() + 1_000));
    expect(held.filter(({ queueId }) => queueId === queue.id)).toEqual([
      { queueId: queue.id, kind: 'serving', deviceType: 'cpu', holders: 2, devices: 2, deviceSeconds: 2 },
    ]);
  });
});
