import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { DEFAULT_TENANT_ID, type Rows } from '#domain';
import {
  ConflictError,
  migrate,
  openStore,
  type PostgresStore,
  ReadOnlyRowsError,
  StoreContentionError,
  StoreTimeoutError,
  StoreUnreachableError,
  TRANSACTION_ATTEMPTS_MAX,
} from '#store';
import { createTestDatabase } from '#testing';
import { aCluster, insertCluster } from './store.fixture.ts';

const PAGE = { tenantId: DEFAULT_TENANT_ID, after: null, limit: 200 };
const ENTRY = {
  tenantId: DEFAULT_TENANT_ID,
  actor: 'key:owner001',
  action: 'clusters.create',
  targetKind: 'cluster',
  targetId: '',
  detail: {},
};

let database: Awaited<ReturnType<typeof createTestDatabase>>;
let store: PostgresStore;
let admin: Client;

beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url, poolSize: 5 });
  admin = new Client({ connectionString: database.url });
  await admin.connect();
});
afterAll(async () => {
  await admin.end();
  await store.close();
  await database.drop();
});

/** Runs the work on a store that bears little waiting; all others have the usual bounds. */
async function impatiently(work: (impatient: PostgresStore) => Promise<void>): Promise<void> {
  const bounds = { lockTimeoutMs: 500, connectTimeoutMs: 500 };
  const impatient = await openStore({ url: database.url, poolSize: 2, bounds });
  try {
    await work(impatient);
  } finally {
    await impatient.close();
  }
}

/** A promise and what settles it, to order two transactions without a clock. */
function gate() {
  return Promise.withResolvers<void>();
}

describe('a transaction', () => {
  const mutate = async (rows: Rows, cluster: ReturnType<typeof aCluster>) => {
    await rows.clusters.insert(cluster);
    await rows.audit.add({ ...ENTRY, targetId: cluster.id });
    await rows.outbox.add('atoll.v1.test', { id: cluster.id });
  };
  const seen = async (id: string) => ({
    row: (await store.read.clusters.find({ id })) !== null,
    audit: (await store.read.audit.list(PAGE)).some((entry) => entry.targetId === id),
    outbox: (await store.transaction((rows) => rows.outbox.take(1_000))).some(
      (message) => (message.body as { id: string }).id === id,
    ),
  });

  it('R1: commits intent, outbox and audit together', async () => {
    const cluster = aCluster();
    await store.transaction((rows) => mutate(rows, cluster));
    expect(await seen(cluster.id)).toEqual({ row: true, audit: true, outbox: true });
  });

  it('R1: writes none of the three when the work throws', async () => {
    const cluster = aCluster();
    const work = store.transaction(async (rows) => {
      await mutate(rows, cluster);
      throw new Error('half-way');
    });
    await expect(work).rejects.toThrow('half-way');
    expect(await seen(cluster.id)).toEqual({ row: false, audit: false, outbox: false });
  });

  it('R1: writes none of the three when its connection is cut', async () => {
    const cluster = aCluster();
    const work = store.transaction(async (rows) => {
      await mutate(rows, cluster);
      await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle in transaction'`);
      await rows.clusters.find({ id: cluster.id });
    });
    await expect(work).rejects.toThrow(StoreUnreachableError);
    expect(await seen(cluster.id)).toEqual({ row: false, audit: false, outbox: false });
  });

  it('refuses writes and locks outside a transaction', async () => {
    await expect(store.read.clusters.insert(aCluster())).rejects.toThrow(ReadOnlyRowsError);
    await expect(store.read.clusters.find({ publicKey: 'U' }, true)).rejects.toThrow(ReadOnlyRowsError);
    await expect(store.read.outbox.take(1)).rejects.toThrow(ReadOnlyRowsError);
  });

  it('says what stands against a write', async () => {
    const cluster = await insertCluster(store);
    const twin = store.transaction((rows) => rows.clusters.insert(aCluster({ name: cluster.name })));
    await expect(twin).rejects.toMatchObject({
      constraint: 'clusters_name_unique',
      refusal: { refused: 'conflict', reason: expect.stringContaining('has already joined') },
    });
    await expect(twin).rejects.toThrow(ConflictError);
  });

  it('runs again after a deadlock', async () => {
    const [one, other] = [await insertCluster(store), await insertCluster(store)];
    const [firstHolds, secondHolds] = [gate(), gate()];
    let runs = 0;
    const lockBoth = (own: string, mine: typeof firstHolds, theirs: typeof firstHolds, second: string) =>
      store.transaction(async (rows) => {
        runs += 1;
        await rows.clusters.find({ id: own }, true);
        mine.resolve();
        await theirs.promise;
        await rows.clusters.find({ id: second }, true);
      });
    await Promise.all([
      lockBoth(one.id, firstHolds, secondHolds, other.id),
      lockBoth(other.id, secondHolds, firstHolds, one.id),
    ]);
    expect(runs).toBe(3);
  });

  it('gives up after its last attempt', async () => {
    let runs = 0;
    const work = store.transaction(async () => {
      runs += 1;
      throw Object.assign(new Error('deadlock detected'), { code: '40P01' });
    });
    await expect(work).rejects.toThrow(StoreContentionError);
    expect(runs).toBe(TRANSACTION_ATTEMPTS_MAX);
  });

  it('waits for a lock no longer than its bound', async () => {
    const { id } = await insertCluster(store);
    await impatiently(async (impatient) => {
      await admin.query('BEGIN');
      await admin.query('SELECT FROM clusters WHERE id = $1 FOR UPDATE', [id]);
      const waiting = impatient.transaction((rows) => rows.clusters.find({ id }, true));
      await expect(waiting).rejects.toThrow(StoreTimeoutError);
      await admin.query('ROLLBACK');
    });
  });

  it('waits for a free connection no longer than its bound', async () => {
    await impatiently(async (impatient) => {
      const leave = gate();
      const entered = Array.from({ length: 2 }, gate);
      const held = entered.map(({ resolve }) =>
        impatient.transaction(() => {
          resolve();
          return leave.promise;
        }),
      );
      await Promise.all(entered.map(({ promise }) => promise));
      await expect(impatient.ping()).rejects.toThrow(StoreUnreachableError);
      leave.resolve();
      await Promise.all(held);
      await impatient.ping();
    });
  });
});

describe('the outbox', () => {
  it('R1: keeps the order of a subject though two relays take at once', async () => {
    await admin.query('DELETE FROM outbox');
    await store.transaction(async (rows) => {
      for (const [subject, body] of [
        ['a', 1],
        ['a', 2],
        ['b', 3],
        ['a', 4],
      ] as const)
        await rows.outbox.add(subject, body);
    });
    await store.transaction(async (first) => {
      expect((await first.outbox.take(1)).map((message) => message.body)).toEqual([1]);
      const second = await store.transaction((rows) => rows.outbox.take(10));
      expect(second.map((message) => message.body)).toEqual([3]);
    });
  });

  it('R1: gives a message again until it is done', async () => {
    await admin.query('DELETE FROM outbox');
    await store.transaction((rows) => rows.outbox.add('a', { revision: 7 }));
    const [message] = await store.transaction((rows) => rows.outbox.take(10));
    expect(await store.transaction((rows) => rows.outbox.take(10))).toEqual([message]);
    expect(message).toEqual({ id: message!.id, subject: 'a', body: { revision: 7 } });
    await store.transaction((rows) => rows.outbox.done([message!.id]));
    expect(await store.read.outbox.pending()).toBe(0);
  });
});

describe('an idempotency key', () => {
  const begin = (rows: Rows, key: string) => rows.idempotency.begin(DEFAULT_TENANT_ID, key, 'hash');

  it('R1: makes the second of two at once wait for the answer of the first', async () => {
    const [entered, leave] = [gate(), gate()];
    const first = store.transaction(async (rows) => {
      const stored = await begin(rows, 'twice');
      entered.resolve();
      await leave.promise;
      await rows.idempotency.finish(DEFAULT_TENANT_ID, 'twice', 201, { id: 'one' });
      return stored;
    });
    await entered.promise;
    const second = store.transaction((rows) => begin(rows, 'twice'));
    leave.resolve();
    expect(await Promise.all([first, second])).toEqual([
      null,
      { requestHash: 'hash', status: 201, body: { id: 'one' } },
    ]);
  });

  it('is free again when the first rolled back', async () => {
    const failed = store.transaction(async (rows) => {
      await begin(rows, 'failed');
      throw new Error('half-way');
    });
    await expect(failed).rejects.toThrow('half-way');
    expect(await store.transaction((rows) => begin(rows, 'failed'))).toBeNull();
  });

  it('is forgotten after its time', async () => {
    await store.transaction(async (rows) => {
      await begin(rows, 'old');
      await rows.idempotency.finish(DEFAULT_TENANT_ID, 'old', 200, null);
    });
    const later = new Date(Date.now() + 60_000);
    expect(await store.transaction((rows) => rows.idempotency.removeOlderThan(later))).toBeGreaterThan(0);
    expect(await store.transaction((rows) => begin(rows, 'old'))).toBeNull();
  });
});
