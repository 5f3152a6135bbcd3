import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { migrate, openStore, type PostgresStore } from '#store';
import { createTestDatabase } from '#testing';
import { aReport, insertCluster, NOW } from './store.fixture.ts';

/** Counts calls, and lets a spec await the next one. */
class Calls {
  count = 0;
  private waiting: (() => void)[] = [];
  readonly listener = () => {
    this.count += 1;
    for (const resolve of this.waiting.splice(0)) resolve();
  };
  next(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

describe('changes', () => {
  let database: Awaited<ReturnType<typeof createTestDatabase>>;
  let admin: Client;
  let store: PostgresStore;
  let errors: unknown[];
  const calls = { intent: new Calls(), observation: new Calls(), outbox: new Calls() };

  beforeAll(async () => {
    database = await createTestDatabase({ migrate });
    admin = new Client({ connectionString: database.url });
    await admin.connect();
  });
  afterAll(async () => {
    await admin.end();
    await database.drop();
  });
  beforeEach(async () => {
    errors = [];
    store = await openStore({ url: database.url, poolSize: 5, onError: (error) => errors.push(error) });
    const connected = Promise.all(
      (['intent', 'observation', 'outbox'] as const).map((topic) => {
        calls[topic] = new Calls();
        store.onChange(topic, calls[topic].listener);
        return calls[topic].next();
      }),
    );
    // Whoever begins to listen looks once: what was before was not heard.
    await connected;
  });
  afterEach(() => store.close());

  it('call those who listen to their topic, and no others', async () => {
    const next = calls.intent.next();
    await insertCluster(store);
    await next;
    expect([calls.intent.count, calls.observation.count, calls.outbox.count]).toEqual([2, 1, 1]);
  });

  it('come once for many rows and transactions close together', async () => {
    const next = calls.outbox.next();
    await Promise.all(
      Array.from({ length: 3 }, () =>
        store.transaction(async (rows) => {
          for (let index = 0; index < 20; index += 1) await rows.outbox.add('a', index);
        }),
      ),
    );
    await next;
    expect(calls.outbox.count).toBeLessThanOrEqual(4);
  });

  it('do not come of a write that changes nothing', async () => {
    const cluster = await insertCluster(store);
    await store.transaction((rows) => rows.placements.move([cluster.id], 'Removed', 'nothing there'));
    const task = {
      ...{ taskId: `${cluster.id}-0`, attemptId: cluster.id, jobId: cluster.id, rank: 0, epoch: 0, reason: '' },
      ...({ phase: 'Running', ranSeconds: 0 } as const),
    };
    const report = aReport(cluster.id);
    const upsert = (sequence: number, revision: number) =>
      store.transaction((rows) =>
        rows.observations.upsert({
          clusterId: cluster.id,
          // That a task goes on is no news.
          report: { ...report, sequence, revision, tasks: [{ ...task, ranSeconds: sequence }] },
          replacedBoots: [],
          receivedAt: NOW,
        }),
      );
    const first = calls.observation.next();
    await upsert(1, 1);
    await first;
    await upsert(2, 1);
    const second = calls.observation.next();
    await upsert(3, 2);
    await second;
    expect(calls.observation.count).toBe(3);
  });

  it('wake everyone after the listening connection was lost', async () => {
    const woken = Promise.all([calls.intent.next(), calls.observation.next(), calls.outbox.next()]);
    await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'atoll-listen'`);
    await woken;
    expect(errors).toHaveLength(1);
    const next = calls.intent.next();
    await insertCluster(store);
    await next;
  });

  it('reach nobody who has ceased to listen, and survive a listener that throws', async () => {
    const ceased = new Calls();
    store.onChange('intent', ceased.listener)();
    store.onChange('intent', () => {
      throw new Error('listener');
    });
    const next = calls.intent.next();
    await insertCluster(store);
    await next;
    await store.close();
    expect(ceased.count).toBe(0);
    expect(errors).toEqual([new Error('listener')]);
  });
});
