// Who holds which device, whose document is owed, and what of all this wakes the leader, on real Postgres.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { v7 } from 'uuid';
import { type Placement, type Rows } from '#domain';
import { migrate, openStore, type PostgresStore } from '#store';
import { attemptOf, createTestDatabase, jobOf, priorityClassOf, queueOf } from '#testing';
import { aPlacement, insertCluster, insertDeployment, someoneWaits } from './store.fixture.ts';

let database: Awaited<ReturnType<typeof createTestDatabase>>;
let store: PostgresStore;

beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url, poolSize: 6 });
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

type Hold = Parameters<Rows['deviceHolds']['take']>[0][number];

/** `hold(cluster, holder, 'n1/0', 'n1/1', 'n2/0')`. */
function hold(clusterId: string, holderId: string, ...devices: string[]): Hold {
  const byNode = Map.groupBy(devices, (device) => device.split('/')[0]!);
  return {
    clusterId,
    holderId,
    devices: [...byNode].map(([node, own]) => ({ node, deviceIds: own.map((device) => device.split('/')[1]!) })),
  };
}

const take = (...holds: Hold[]) => store.transaction((rows) => rows.deviceHolds.take(holds));
const held = (...clusterIds: string[]) => store.read.deviceHolds.ofClusters(clusterIds);

describe('a device', () => {
  it('is held by whoever took it, cluster by cluster, until it is let go of', async () => {
    const [cluster, other] = [v7(), v7()].toSorted() as [string, string];
    const [one, two] = [v7(), v7()];
    const holds = [hold(cluster, one, 'n1/0', 'n1/1', 'n2/0'), hold(other, two, 'n1/0')];
    expect(await take(...holds)).toEqual([]);
    expect(await held(cluster, other)).toEqual(holds);
    await store.transaction((rows) => rows.deviceHolds.release([one]));
    expect(await held(cluster, other)).toEqual([holds[1]]);
    expect([await take(), await held()]).toEqual([[], []]);
  });

  it('that is not free costs its taker all others too, and nobody else any', async () => {
    const cluster = v7();
    const [first, unlucky, free] = [v7(), v7(), v7()];
    await take(hold(cluster, first, 'n/1'));
    expect(await take(hold(cluster, unlucky, 'n/0', 'n/1', 'n/2'), hold(cluster, free, 'n/3'))).toEqual([unlucky]);
    expect(await held(cluster)).toEqual([hold(cluster, first, 'n/1'), hold(cluster, free, 'n/3')]);
    expect(await take(hold(cluster, unlucky, 'n/0', 'n/2'))).toEqual([]);
  });

  it('goes to the first of those who ask for it at once', async () => {
    const cluster = v7();
    const [one, two] = [v7(), v7()];
    expect(await take(hold(cluster, two, 'n/0', 'n/1'), hold(cluster, one, 'n/1', 'n/2'))).toEqual([one]);
    expect(await held(cluster)).toEqual([hold(cluster, two, 'n/0', 'n/1')]);
  });

  it('stays with its holder when that asks again', async () => {
    const [cluster, holder] = [v7(), v7()];
    const holds = hold(cluster, holder, 'n/0', 'n/1');
    await take(holds);
    expect(await take(holds)).toEqual([holder]);
    expect(await take(hold(cluster, holder, 'n/1', 'n/2'))).toEqual([holder]);
    expect(await held(cluster)).toEqual([holds]);
  });

  it.each([
    { name: 'commits', commits: true, wantRefused: 1, wantHolder: 0 },
    { name: 'rolls back', commits: false, wantRefused: 0, wantHolder: 1 },
  ])('asked for by two transactions: the second waits until the first $name', async (row) => {
    const cluster = v7();
    const holders = [v7(), v7()];
    const [taken, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const first = store.transaction(async (rows) => {
      await rows.deviceHolds.take([hold(cluster, holders[0]!, 'n/0', 'n/1')]);
      taken.resolve();
      await end.promise;
      if (!row.commits) throw new Error('rolled back');
    });
    await taken.promise;
    const second = take(hold(cluster, holders[1]!, 'n/1', 'n/2'));
    await someoneWaits(database.url);
    end.resolve();
    await first.catch((error: Error) => expect(error.message).toBe('rolled back'));
    expect((await second).length).toBe(row.wantRefused);
    const left = (await held(cluster)).map(({ holderId }) => holders.indexOf(holderId));
    expect(left).toEqual([row.wantHolder]);
  });

  it('has one holder however many ask for it at once, and nobody waits in a ring', async () => {
    const cluster = v7();
    const devices = ['a/0', 'a/1', 'b/0', 'b/1'];
    const asks = Array.from({ length: 12 }, (_, index) => {
      const [from, to] = [devices[index % 4]!, devices[(index + 1 + (index % 3)) % 4]!];
      return hold(cluster, v7(), ...new Set(index % 2 === 0 ? [from, to] : [to, from]));
    });
    const refused = (await Promise.all(asks.map((ask) => take(ask)))).flat();
    const holders = (await held(cluster)).map(({ holderId }) => holderId);
    expect([...holders, ...refused].toSorted()).toEqual(asks.map(({ holderId }) => holderId).toSorted());
    const kept = (await held(cluster)).flatMap(({ devices: own }) =>
      own.flatMap(({ node, deviceIds }) => deviceIds.map((id) => `${node}/${id}`)),
    );
    expect(kept.length).toBe(new Set(kept).size);
    expect(kept.length).toBeGreaterThan(0);
  });
});

describe('devices are let go of by the end of', () => {
  it('a placement: when it is removed, not while it drains, and once', async () => {
    const { id: clusterId } = await insertCluster(store);
    const deployment = await insertDeployment(store);
    const devices = [{ node: 'n', deviceIds: ['0'] }];
    const placement: Placement = aPlacement(deployment, clusterId, { devices });
    await store.transaction(async (rows) => {
      await rows.placements.insert([placement, aPlacement(deployment, clusterId)]);
      await rows.deviceHolds.take([{ clusterId, holderId: placement.id, devices }]);
    });
    const bound = await store.read.placements.live({ clusterId });
    expect(bound.map((each) => each.devices)).toEqual([devices, null]);
    const move = (phase: 'Draining' | 'Removed') =>
      store.transaction((rows) => rows.placements.move([placement.id], phase, 'over'));
    await move('Draining');
    expect(await held(clusterId)).toEqual([{ clusterId, holderId: placement.id, devices }]);
    await move('Removed');
    expect(await held(clusterId)).toEqual([]);
    await take({ clusterId, holderId: placement.id, devices });
    await move('Removed');
    expect((await held(clusterId)).length).toBe(1);
  });

  it('an attempt: when it ends, not while it stops', async () => {
    const clusterId = v7();
    const job = jobOf();
    const attempt = attemptOf(job, { clusterId });
    await store.transaction(async (rows) => {
      await rows.jobs.insert([job]);
      await rows.attempts.insert([attempt]);
      await rows.deviceHolds.take([hold(clusterId, attempt.id, 'n/0')]);
    });
    const update = (phase: 'Stopping' | 'Ended') =>
      store.transaction((rows) => rows.attempts.update([{ id: attempt.id, change: { phase } }]));
    await update('Stopping');
    expect((await held(clusterId)).length).toBe(1);
    await update('Ended');
    expect(await held(clusterId)).toEqual([]);
  });
});

describe('owed documents', () => {
  const add = (...clusterIds: string[]) => store.transaction((rows) => rows.owedDocuments.add(clusterIds));
  const settle = (limit: number) => store.transaction((rows) => rows.owedDocuments.take(limit));

  it('are paid once each, those owed longest first, up to the limit', async () => {
    const [one, two, three] = [v7(), v7(), v7()] as const;
    await add(two);
    await add(one, two, one);
    await add(three);
    await add(two);
    expect(await settle(2)).toEqual([two, one]);
    expect(await settle(2)).toEqual([three]);
    expect(await settle(2)).toEqual([]);
  });

  it('are owed again when the payer fails', async () => {
    const cluster = v7();
    await add(cluster);
    const failing = store.transaction(async (rows) => {
      await rows.owedDocuments.take(10);
      throw new Error('no document');
    });
    await expect(failing).rejects.toThrow('no document');
    expect(await settle(10)).toEqual([cluster]);
  });

  it('are still owed when the debt was made while another one of the same cluster was paid', async () => {
    const cluster = v7();
    await add(cluster);
    const [written, paid] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const debtor = store.transaction(async (rows) => {
      await rows.owedDocuments.add([cluster]);
      written.resolve();
      await paid.promise;
    });
    await written.promise;
    expect(await settle(10)).toEqual([cluster]);
    paid.resolve();
    await debtor;
    expect(await settle(10)).toEqual([cluster]);
  });
});

describe('the leader is woken by', () => {
  let listener: Client;
  const job = jobOf();
  const attempt = attemptOf(job);
  const queue = queueOf();
  const priorityClass = priorityClassOf();
  const clusterId = v7();
  beforeAll(async () => {
    listener = new Client({ connectionString: database.url });
    await listener.connect();
    await listener.query('LISTEN atoll_intent');
  });
  afterAll(async () => {
    await listener.end();
  });

  /** Whether the work's commit was told: notifications come in the order of commits, so the mark comes after it. */
  async function wakes(work: (rows: Rows) => Promise<unknown>): Promise<boolean> {
    const payloads: (string | undefined)[] = [];
    const marked = Promise.withResolvers<void>();
    const note = ({ payload }: { payload?: string }) => {
      payloads.push(payload);
      if (payload === 'mark') marked.resolve();
    };
    listener.on('notification', note);
    await store.transaction(work);
    await listener.query(`SELECT pg_notify('atoll_intent', 'mark')`);
    await marked.promise;
    listener.off('notification', note);
    return payloads.length > 1;
  }

  // In this order: each row finds what those before it wrote.
  const ROWS: readonly [string, boolean, (rows: Rows) => Promise<unknown>][] = [
    ['a new queue', true, (rows) => rows.queues.insert(queue)],
    ['a changed queue', true, (rows) => rows.queues.update(queue.id, 1, { weight: 2 })],
    ['a queue at an old revision', false, (rows) => rows.queues.update(queue.id, 1, { weight: 3 })],
    ['a removed queue', true, (rows) => rows.queues.remove(queue.id)],
    ['a new priority class', true, (rows) => rows.priorityClasses.insert(priorityClass)],
    ['a new job', true, (rows) => rows.jobs.insert([job])],
    ['no job', false, (rows) => rows.jobs.insert([])],
    ['a changed job', true, (rows) => rows.jobs.update([{ id: job.id, revision: 1, change: { reason: 'x' } }])],
    ['a job at an old revision', false, (rows) => rows.jobs.update([{ id: job.id, revision: 1, change: {} }])],
    ['locks', false, (rows) => rows.jobs.lock([job.id])],
    ['a new attempt', true, (rows) => rows.attempts.insert([attempt])],
    ['an attempt that ends', true, (rows) => rows.attempts.update([{ id: attempt.id, change: { phase: 'Ended' } }])],
    [
      'an attempt that ended',
      false,
      (rows) => rows.attempts.update([{ id: attempt.id, change: { phase: 'Running' } }]),
    ],
    ['an owed document', true, (rows) => rows.owedDocuments.add([clusterId])],
    ['a paid document', false, (rows) => rows.owedDocuments.take(1)],
    ['no owed document', false, (rows) => rows.owedDocuments.take(1)],
    ['a removed job', true, (rows) => endAndRemove(rows)],
  ];
  const endAndRemove = async (rows: Rows) => {
    await rows.jobs.update([{ id: job.id, revision: 2, change: { phase: 'Failed' } }]);
    await rows.jobs.remove([job.id]);
  };

  it.each(ROWS)('%s: %s', async (_name, want, work) => {
    expect(await wakes(work)).toBe(want);
  });
});
