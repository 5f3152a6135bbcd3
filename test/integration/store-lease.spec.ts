import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { StaleEpochError } from '#domain';
import { type HeldLease, migrate, openStore, PostgresLeaderLease, type PostgresStore } from '#store';
import { createTestDatabase, eventually, startStopwatch } from '#testing';
import { aCluster } from './store.fixture.ts';

describe('the leader lease', () => {
  let database: Awaited<ReturnType<typeof createTestDatabase>>;
  let admin: Client;
  let store: PostgresStore;
  const held: HeldLease[] = [];
  const never = new AbortController().signal;

  beforeAll(async () => {
    database = await createTestDatabase({ migrate });
    store = await openStore({ url: database.url, poolSize: 5 });
    admin = new Client({ connectionString: database.url });
    await admin.connect();
  });
  afterEach(async () => {
    await Promise.all(held.splice(0).map((lease) => lease.release()));
  });
  afterAll(async () => {
    await admin.end();
    await store.close();
    await database.drop();
  });

  async function acquire(holder: string, signal = never, silenceMsMax?: number): Promise<HeldLease> {
    const lease = await new PostgresLeaderLease({ url: database.url, silenceMsMax }).acquire(holder, signal);
    held.push(lease);
    return lease;
  }
  const killHolder = () =>
    admin.query(`SELECT pg_terminate_backend(pid) FROM pg_locks
      WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`);
  const aborted = (signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });

  it('R11: a killed leader is followed within 5 s, by a higher epoch', async () => {
    const first = await acquire('first');
    const second = acquire('second');
    const passedMs = startStopwatch();
    await killHolder();
    const [next] = await Promise.all([second, aborted(first.lost)]);
    expect(passedMs()).toBeLessThan(5_000);
    expect(next.epoch).toBe(first.epoch + 1);
    expect(next.lost.aborted).toBe(false);
  });

  it('R11: a write of an older epoch writes nothing', async () => {
    const first = await acquire('first');
    await first.release();
    const second = await acquire('second');
    const cluster = aCluster();
    const write = (epoch: number) => store.transaction((rows) => rows.clusters.insert(cluster), { epoch });
    await expect(write(first.epoch)).rejects.toEqual(new StaleEpochError(first.epoch, second.epoch));
    expect(await store.read.clusters.find({ id: cluster.id })).toBeNull();
    await write(second.epoch);
    expect(await store.read.clusters.find({ id: cluster.id })).toEqual(cluster);
  });

  it('R11: a new leader begins only after what the old one was writing is committed', async () => {
    const first = await acquire('first');
    const [entered, leave] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const order: string[] = [];
    const writing = store.transaction(
      async () => {
        entered.resolve();
        await leave.promise;
        order.push('old leader commits');
      },
      { epoch: first.epoch },
    );
    await entered.promise;
    await first.release();
    const second = acquire('second').then(() => order.push('new leader begins'));
    await eventually(async () => {
      const { rows } = await admin.query(`SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'atoll-leader' AND wait_event_type = 'Lock'`);
      expect(rows).toHaveLength(1);
    });
    leave.resolve();
    await Promise.all([writing, second]);
    expect(order).toEqual(['old leader commits', 'new leader begins']);
  });

  it('R11: Postgres ends a holder that says nothing for its time, so a stopped process cannot stay the leader', async () => {
    const silent = new Client({ connectionString: database.url });
    silent.on('error', () => undefined);
    await silent.connect();
    // What a stopped leader leaves behind: its session with the lock, and no more checks.
    await silent.query('SET idle_session_timeout = 1000');
    await silent.query('SELECT pg_advisory_lock(4107002)');
    const passedMs = startStopwatch();
    await acquire('second');
    expect(passedMs()).toBeLessThan(3_000);
  });

  it('is kept by a holder that lives, longer than the silence that would end it', async () => {
    const lease = await acquire('first', never, 2_000);
    const second = acquire('second', AbortSignal.timeout(4_500));
    await expect(second).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(lease.lost.aborted).toBe(false);
  });

  it('gives up when told to, leaving nothing behind', async () => {
    await acquire('first');
    const controller = new AbortController();
    const second = acquire('second', controller.signal);
    controller.abort(new Error('shutting down'));
    await expect(second).rejects.toThrow('shutting down');
    await eventually(async () => {
      const { rows } = await admin.query(`SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'atoll-leader'`);
      expect(rows).toHaveLength(1);
    });
  });

  it('waits for a database that is not there, and says so', async () => {
    const controller = new AbortController();
    const lease = new PostgresLeaderLease({
      url: 'postgres://nobody@127.0.0.1:1/nothing',
      onError: (error) => controller.abort(error),
    });
    await expect(lease.acquire('first', controller.signal)).rejects.toThrow('cannot be reached');
  });
});
