import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { v7 } from 'uuid';
import type { Job, RowChanges } from '#domain';
import { migrate, openStore, type PostgresStore } from '#store';
import { attemptOf, createTestDatabase, eventually, jobOf } from '#testing';
import { aCluster, aName, aReport } from './store.fixture.ts';

let database: Awaited<ReturnType<typeof createTestDatabase>>;
let store: PostgresStore;
beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url, poolSize: 4 });
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

const aJob = (change: Partial<Job> = {}) => jobOf({ id: v7(), name: aName('job'), ...change });
const look = (since: string | null) => store.read.changes.look(since);
/** Sorted, so that whole answers can be compared; null: anything may have changed. */
const told = ({ changed }: RowChanges) =>
  changed && {
    ...Object.fromEntries(Object.entries(changed.rows).map(([table, ids]) => [table, [...ids].sort()])),
    tables: [...changed.tables].sort(),
  };
const NOTHING = { jobs: [], attempts: [], observations: [], tables: [] };

/**
 * Of a look that has nothing older to tell again. Marks go by the oldest transaction under way on the server, whichever
 * database that is in, and other specs have theirs there.
 */
async function settledMark(): Promise<string> {
  return eventually(async () => {
    const { mark } = await look(null);
    expect(told(await look(mark))).toEqual(NOTHING);
    return mark;
  });
}

async function insert(...jobs: Job[]): Promise<void> {
  await store.transaction((rows) => rows.jobs.insert(jobs));
}

async function onSql(work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

describe('what was written since a look', () => {
  it('is anything, when there was none', async () => {
    expect(told(await look(null))).toBeNull();
  });

  it('is nothing while nobody writes', async () => {
    expect(told(await look(await settledMark()))).toEqual(NOTHING);
  });

  it('names jobs, attempts and reports, whether they are new, changed or gone', async () => {
    const [job, gone] = [aJob(), aJob({ phase: 'Succeeded', endedAt: new Date(0) })];
    await insert(job, gone);
    const cluster = aCluster();
    await store.transaction((rows) => rows.clusters.insert(cluster));
    const mark = await settledMark();
    const attempt = attemptOf(job, { id: v7(), clusterId: cluster.id });
    const report = { ...aReport(cluster.id), clusterId: cluster.id };
    await store.transaction(async (rows) => {
      await rows.attempts.insert([attempt]);
      await rows.jobs.update([{ id: job.id, revision: job.revision, change: { phase: 'Starting' } }]);
      await rows.jobs.remove([gone.id]);
    });
    await store.transaction((rows) =>
      rows.observations.upsert({ clusterId: cluster.id, report, replacedBoots: [], receivedAt: new Date() }),
    );
    const want = { jobs: [job.id, gone.id].sort(), attempts: [attempt.id], observations: [cluster.id], tables: [] };
    expect(told(await look(mark))).toEqual(want);
  });

  it('of small tables says which', async () => {
    const mark = await settledMark();
    await store.transaction((rows) => rows.clusters.insert(aCluster()));
    expect(told(await look(mark))).toEqual({ ...NOTHING, tables: ['clusters'] });
  });

  it('leaves out what was rolled back', async () => {
    const mark = await settledMark();
    const refused = store.transaction(async (rows) => {
      await rows.jobs.insert([aJob()]);
      throw new Error('no');
    });
    await expect(refused).rejects.toThrow('no');
    expect(told(await look(mark))).toEqual(NOTHING);
  });

  it('has what an older transaction commits after a younger one was seen', async () => {
    const mark = await settledMark();
    const [late, early] = [aJob(), aJob()];
    const hasWritten = Promise.withResolvers<void>();
    const mayCommit = Promise.withResolvers<void>();
    const older = store.transaction(async (rows) => {
      await rows.jobs.insert([late]);
      hasWritten.resolve();
      await mayCommit.promise;
    });
    await hasWritten.promise;
    await insert(early);
    const between = await look(mark);
    expect(told(between)).toEqual({ ...NOTHING, jobs: [early.id] });
    mayCommit.resolve();
    await older;
    const after = told(await look(between.mark));
    expect(after).toEqual({ ...NOTHING, jobs: [late.id, early.id].sort() });
  });

  it('is anything, for who last looked before what is still kept', async () => {
    const before = await settledMark();
    await insert(aJob());
    const mark = await settledMark();
    await store.transaction((rows) => rows.changes.forget(mark));
    expect(told(await look(before))).toBeNull();
    expect(told(await look(mark))).toEqual(NOTHING);
  });

  it('is anything, for a mark of another life of the database, or of its future', async () => {
    const { mark } = await look(null);
    const [xmin, life] = mark.split(' ');
    expect(told(await look(`${xmin} another`))).toBeNull();
    expect(told(await look(`${BigInt(xmin!) + 1_000_000n} ${life}`))).toBeNull();
  });

  it('is anything, when all jobs went at once', async () => {
    const { mark } = await look(null);
    await onSql((client) => client.query('TRUNCATE jobs CASCADE'));
    expect(told(await look(mark))).toBeNull();
  });

  it('is not kept from a life that was restored away', async () => {
    const mark = await settledMark();
    await onSql((client) => client.query(`INSERT INTO row_changes VALUES ('9000000000', 'jobs', gen_random_uuid())`));
    expect((await look(mark)).changed?.rows.jobs.size).toBe(1);
    await store.transaction((rows) => rows.changes.forget(mark));
    expect(told(await look(mark))).toEqual(NOTHING);
  });
});
