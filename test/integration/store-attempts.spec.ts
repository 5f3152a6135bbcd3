// The rows of attempts, and of the events and decisions that explain jobs, on real Postgres.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { type Attempt, EVENTS_PER_JOB_MAX, type Job, RefusedError } from '#domain';
import { ConflictError, migrate, openStore, type PostgresStore } from '#store';
import { attemptOf, checkpointOf, createTestDatabase, JOBS_NOW, jobOf } from '#testing';
import { decisionOf, eventOf, insertDeployment } from './store.fixture.ts';

const LATER = new Date(JOBS_NOW.getTime() + 60_000);

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

async function insertJob(change: Partial<Job> = {}): Promise<Job> {
  const job = jobOf(change);
  await store.transaction((rows) => rows.jobs.insert([job]));
  return job;
}

async function insertAttempt(job: Job, change: Parameters<typeof attemptOf>[1] = {}): Promise<Attempt> {
  const attempt = attemptOf(job, change);
  await store.transaction((rows) => rows.attempts.insert([attempt]));
  return attempt;
}

const idsOf = (rows: readonly { readonly id: string }[]) => rows.map(({ id }) => id);

describe('attempts', () => {
  it('are found again as they were written', async () => {
    const job = await insertJob();
    const plain = await insertAttempt(job, { phase: 'Ended', outcome: 'preempted', endedAt: LATER, exitCode: -1 });
    const full = await insertAttempt(job, {
      number: 2,
      epoch: 2 ** 40,
      tasks: [0, 1].map((rank) => ({ rank, clusterId: v7(), devices: [{ node: 'n', deviceIds: [`${rank}`] }] })),
      phase: 'Stopping',
      stop: { cause: 'preempted', reason: 'by another', byJobId: v7(), at: LATER },
      resumedFrom: checkpointOf({ attemptId: plain.id }),
      startedAt: JOBS_NOW,
      lostDeviceSeconds: 1.5,
    });
    expect(await store.read.attempts.find(plain.id)).toEqual(plain);
    expect(await store.transaction((rows) => rows.attempts.find(full.id, true))).toEqual(full);
    expect(await store.read.attempts.ofJob(job.id)).toEqual([full, plain]);
    expect([await store.read.attempts.find('x'), await store.read.attempts.ofJob('x')]).toEqual([null, []]);
  });

  it('are live until they end, of all, of a job and in a cluster', async () => {
    const [here, there] = [v7(), v7()];
    const [one, two, three] = [await insertJob(), await insertJob(), await insertJob()];
    const single = await insertAttempt(one, { clusterId: here });
    const spanning = await insertAttempt(two, {
      tasks: [here, there].map((clusterId, rank) => ({ rank, clusterId, devices: null })),
    });
    const ended = await insertAttempt(three, { clusterId: here, phase: 'Ended' });
    const live = async (by?: { jobIds: string[] } | { clusterId: string }) => idsOf(await store.read.attempts.live(by));
    expect(await live({ clusterId: here })).toEqual([single.id, spanning.id]);
    expect(await live({ clusterId: there })).toEqual([spanning.id]);
    expect([await live({ jobIds: [one.id] }), await live({ jobIds: [three.id] }), await live({ jobIds: [] })]).toEqual([
      [single.id],
      [],
      [],
    ]);
    expect(await live()).toEqual(expect.arrayContaining([single.id, spanning.id]));
    expect(await live()).not.toContain(ended.id);
  });

  it('are followed by their cluster when a member moves', async () => {
    const [from, to] = [v7(), v7()];
    const { id } = await insertAttempt(await insertJob(), { clusterId: from });
    const tasks = [{ rank: 0, clusterId: to, devices: null }];
    await store.transaction((rows) => rows.attempts.update([{ id, change: { tasks } }]));
    expect(await store.read.attempts.live({ clusterId: from })).toEqual([]);
    expect(idsOf(await store.read.attempts.live({ clusterId: to }))).toEqual([id]);
  });

  it('no job has two live ones, and none has the same number twice', async () => {
    const job = await insertJob();
    await insertAttempt(job);
    await expect(insertAttempt(job, { number: 2 })).rejects.toThrow('an attempt at this job is under way');
    await expect(insertAttempt(job, { phase: 'Ended' })).rejects.toThrow(ConflictError);
    await expect(insertAttempt(jobOf())).rejects.toThrow('the job does not exist any more');
  });

  it('that ended stay as they are', async () => {
    const attempt = await insertAttempt(await insertJob());
    const update = (change: Parameters<typeof store.read.attempts.update>[0][number]['change']) =>
      store.transaction((rows) => rows.attempts.update([{ id: attempt.id, change }]));
    await update({ phase: 'Ended', outcome: 'failed', exitCode: 3, reason: 'broke\0', endedAt: LATER });
    await update({ phase: 'Running', outcome: null, reason: 'late' });
    const ended = { phase: 'Ended', outcome: 'failed', exitCode: 3, reason: 'broke\ufffd', endedAt: LATER };
    expect(await store.read.attempts.find(attempt.id)).toEqual({ ...attempt, ...ended });
  });
});

describe('events of a job', () => {
  const list = async (job: Job, change: object = {}) =>
    store.read.jobEvents.list(job.id, { after: null, limit: 200, ...change });

  it('come newest first, page by page, in the order of their writing', async () => {
    const job = await insertJob();
    const attemptId = v7();
    await store.transaction(async (rows) => {
      await rows.jobEvents.add([eventOf(job, 'Submitted'), eventOf(job, 'Queued')]);
      await rows.jobEvents.add([{ ...eventOf(job, 'Started'), attemptId }]);
    });
    const events = await list(job);
    expect(events.map(({ kind }) => kind)).toEqual(['Started', 'Queued', 'Submitted']);
    expect(events[0]).toEqual({ ...eventOf(job, 'Started'), attemptId, id: events[0]!.id, at: expect.any(Date) });
    expect(idsOf(await list(job, { after: events[0]!.id, limit: 1 }))).toEqual([events[1]!.id]);
    await expect(list(job, { after: 'x' })).rejects.toThrow(RefusedError);
  });

  it('are the newest only, and none of a job that is gone', async () => {
    const [job, other, gone] = [await insertJob(), await insertJob(), jobOf()];
    const many = Array.from({ length: EVENTS_PER_JOB_MAX + 3 }, (_, index) => eventOf(job, `k${index}`));
    await store.transaction((rows) => rows.jobEvents.add([...many, eventOf(other, 'kept'), eventOf(gone, 'lost')]));
    const kinds = (await list(job)).map(({ kind }) => kind);
    expect([kinds.length, kinds[0], kinds.at(-1)]).toEqual([EVENTS_PER_JOB_MAX, `k${many.length - 1}`, 'k3']);
    expect([(await list(other)).length, (await list(gone)).length]).toEqual([1, 0]);
  });
});

describe('decisions of many subjects', () => {
  it('are found again with their detail; those of a subject that is gone are left out', async () => {
    const [job, deployment] = [await insertJob(), await insertDeployment(store)];
    const victim = { jobId: v7(), jobName: 'low', attemptId: v7(), priority: 2, lostDeviceSeconds: 1.5 };
    const detail = { victims: [victim], changes: ['free 2 devices'], place: 3, startsBy: null };
    const ofJob = decisionOf(job.id, { detail });
    const ofDeployment = decisionOf(deployment.id, { subjectKind: 'deployment' });
    const gone = decisionOf(v7());
    await store.transaction((rows) => rows.decisions.insertAll([ofJob, gone, ofDeployment]));
    const newest = (id: string) => store.read.decisions.newest(id, 10);
    expect(await newest(job.id)).toEqual([ofJob]);
    expect(await newest(deployment.id)).toEqual([ofDeployment]);
    expect(await newest(gone.subjectId)).toEqual([]);
    await expect(store.transaction((rows) => rows.decisions.insert(gone))).rejects.toThrow(RefusedError);
  });

  it('are the fifty newest of each', async () => {
    const [one, other] = [await insertJob(), await insertJob()];
    const many = Array.from({ length: 52 }, (_, index) => decisionOf(one.id, { outcome: `${index}` }));
    await store.transaction((rows) => rows.decisions.insertAll([...many, decisionOf(other.id)]));
    const found = await store.read.decisions.newest(one.id, 200);
    expect([found.length, found[0]!.outcome, found.at(-1)!.outcome]).toEqual([50, '51', '2']);
    expect((await store.read.decisions.newest(other.id, 200)).length).toBe(1);
    const newest = await store.read.decisions.newestOf([one.id, other.id, v7()]);
    expect(newest.map(({ subjectId, outcome }) => [subjectId, outcome]).toSorted()).toEqual([
      [one.id, '51'],
      [other.id, 'waits'],
    ]);
    expect(newest.find(({ subjectId }) => subjectId === one.id)).toEqual(found[0]);
    expect(await store.read.decisions.newestOf([])).toEqual([]);
  });
});
