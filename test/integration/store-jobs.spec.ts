// The rows of jobs, on real Postgres.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { type Attempt, DEFAULT_QUEUE_ID, DEFAULT_TENANT_ID, type Job, type JobChange, RefusedError } from '#domain';
import { ConflictError, migrate, openStore, type PostgresStore, ReadOnlyRowsError } from '#store';
import { attemptOf, checkpointOf, createTestDatabase, jobOf, jobSpecOf, queueOf } from '#testing';
import { DIGEST, decisionOf, eventOf, insertCluster, insertDeployment, NOW } from './store.fixture.ts';

const PAGE = { tenantId: DEFAULT_TENANT_ID, after: null, limit: 200 };
const LATER = new Date(NOW.getTime() + 60_000);

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

const findJob = ({ id }: Job) => store.read.jobs.find({ id });
const updateJob = ({ id }: Job, revision: number, change: JobChange) =>
  store.transaction((rows) => rows.jobs.update([{ id, revision, change }]));
const idsOf = (rows: readonly { readonly id: string }[]) => rows.map(({ id }) => id);

/** Every field that can be null has a value. */
function everyField(): Job {
  return jobOf({
    dependsOn: [{ jobId: v7(), when: 'always' }],
    spec: jobSpecOf({ gang: { size: 4, minimum: 2 }, environment: { A: 'ß' }, expectedSeconds: 1.5 }),
    phase: 'Stopping',
    reason: 'preempted',
    suspended: true,
    cancelRequestedAt: LATER,
    attempts: 3,
    failures: 1,
    preemptions: 2,
    retryAt: LATER,
    startedAt: NOW,
    endedAt: LATER,
    ranSeconds: 12.5,
    usedDeviceSeconds: 1e12 + 0.25,
    lostDeviceSeconds: 0.125,
    checkpoint: checkpointOf({ savedDeviceSeconds: 7.5 }),
    nomination: {
      clusterId: v7(),
      tasks: [{ rank: 0, clusterId: v7(), devices: [{ node: 'n1', deviceIds: ['0', '1'] }] }],
      since: NOW,
    },
    outputDigest: DIGEST,
    revision: 9,
  });
}

describe('jobs', () => {
  it('are found again as they were written, by id and by name', async () => {
    for (const job of [await insertJob(), await insertJob(everyField())]) {
      expect(await findJob(job)).toEqual(job);
      expect(await store.read.jobs.find({ tenantId: job.tenantId, name: job.name })).toEqual(job);
    }
  });

  it('are many in one statement', async () => {
    const jobs = Array.from({ length: 300 }, () => jobOf({ tenantId: DEFAULT_TENANT_ID }));
    await store.transaction((rows) => rows.jobs.insert(jobs));
    const found = await store.read.jobs.findAll(idsOf(jobs));
    expect(found).toEqual(jobs);
  });

  it('are not found by what is no id, and nothing is asked for none', async () => {
    expect(await store.read.jobs.find({ id: "'; --" })).toBeNull();
    expect(await store.read.jobs.find({ id: v7() })).toBeNull();
    expect(await store.read.jobs.findAll([])).toEqual([]);
  });

  it('have names of their own within the tenant', async () => {
    const { name } = await insertJob();
    await expect(insertJob({ name })).rejects.toThrow('a job with this name exists');
  });

  it('need a queue and versions that exist', async () => {
    await expect(insertJob({ queueId: v7() })).rejects.toThrow(ConflictError);
    const spec = jobSpecOf({ mounts: [{ name: 'base', versionId: v7() }] });
    await expect(insertJob({ spec })).rejects.toThrow('a version that the job mounts does not exist any more');
  });

  it('are listed newest first, page by page, of a queue and of phases', async () => {
    const { id: queueId } = queueOf();
    await store.transaction((rows) => rows.queues.insert(queueOf({ id: queueId })));
    const phases = ['Queued', 'Running', 'Failed', 'Queued'] as const;
    const ids: string[] = [];
    for (const phase of phases) ids.push((await insertJob({ queueId, phase })).id);
    const list = (change: object) => store.read.jobs.list({ ...PAGE, queueId, ...change }).then(idsOf);
    expect(await list({})).toEqual(ids.toReversed());
    expect(await list({ limit: 2 })).toEqual([ids[3], ids[2]]);
    expect(await list({ limit: 2, after: ids[2] })).toEqual([ids[1], ids[0]]);
    expect(await list({ phases: ['Queued', 'Failed'] })).toEqual([ids[3], ids[2], ids[0]]);
    expect(await list({ phases: [] })).toEqual([]);
    expect(await list({ tenantId: v7() })).toEqual([]);
    await expect(list({ after: 'x' })).rejects.toThrow(RefusedError);
    await expect(list({ limit: 201 })).rejects.toThrow(RefusedError);
  });

  it('are active until they are in a final phase', async () => {
    const waiting = await insertJob({ phase: 'Waiting', queuedAt: null });
    const suspended = await insertJob({ phase: 'Suspended' });
    const ended = await insertJob({ phase: 'Cancelled', endedAt: NOW });
    const active = await store.read.jobs.active();
    const ids = idsOf(active);
    expect([waiting, suspended, ended].map(({ id }) => ids.includes(id))).toEqual([true, true, false]);
    expect(ids).toEqual(ids.toSorted());
    expect(active.find(({ id }) => id === waiting.id)).toEqual(waiting);
  });
});

describe('what is asked of active jobs', () => {
  it('their specs are read once, and forgotten with them', async () => {
    const [first, second] = [await insertJob(), await insertJob({ spec: jobSpecOf({ graceSeconds: 7 }) })];
    const specs = new Map();
    const find = async ({ id }: Job) => (await store.read.jobs.active(specs)).find((job) => job.id === id);
    expect(await find(second)).toEqual(second);
    // What is known is not read again: this is what was known.
    specs.set(first.id, { ...first.spec, graceSeconds: 99 });
    expect((await find(first))?.spec.graceSeconds).toBe(99);
    await updateJob(first, 1, { phase: 'Cancelled', endedAt: LATER });
    expect(await find(first)).toBeUndefined();
    expect([specs.has(first.id), specs.has(second.id)]).toEqual([false, true]);
  });

  it('who waits for one of them', async () => {
    const job = await insertJob();
    const dependsOn = [
      { jobId: v7(), when: 'always' as const },
      { jobId: job.id, when: 'success' as const },
    ];
    const waiting = [await insertJob({ dependsOn }), await insertJob({ dependsOn }), await insertJob({ dependsOn })];
    await updateJob(waiting[0]!, 1, { phase: 'Cancelled', endedAt: LATER });
    expect((await store.read.jobs.dependents(job.id, 5)).sort()).toEqual([waiting[1]!.name, waiting[2]!.name].sort());
    expect(await store.read.jobs.dependents(job.id, 1)).toHaveLength(1);
    expect(await store.read.jobs.dependents(v7(), 5)).toEqual([]);
  });

  it('is how many are where, who waits in which order, and for whom room is held', async () => {
    const { id: queueId } = queueOf();
    const { nomination } = everyField();
    const soon = new Date(NOW.getTime() - 1);
    await store.transaction((rows) => rows.queues.insert(queueOf({ id: queueId })));
    const waiting = await insertJob({ queueId, phase: 'Waiting', queuedAt: null, priority: 10 });
    const late = await insertJob({ queueId });
    const first = await insertJob({ queueId, queuedAt: soon, nomination });
    const high = await insertJob({ queueId, priority: 8 });
    await insertJob({ queueId, phase: 'Running' });
    await insertJob({ queueId, phase: 'Failed', nomination });
    const tally = await store.read.jobs.tally(DEFAULT_TENANT_ID);
    expect(tally.filter((each) => each.queueId === queueId)).toEqual([
      { queueId, phase: 'Queued', count: 3 },
      { queueId, phase: 'Running', count: 1 },
      { queueId, phase: 'Waiting', count: 1 },
    ]);
    expect(idsOf(await store.read.jobs.pending(queueId, 10))).toEqual(idsOf([high, first, late, waiting]));
    expect(idsOf(await store.read.jobs.pending(queueId, 1))).toEqual([high.id]);
    const nominated = (await store.read.jobs.nominated()).filter((job) => job.queueId === queueId);
    expect(nominated).toEqual([first]);
  });
});

describe('a change of jobs', () => {
  it('writes what it names, null too, and leaves the rest', async () => {
    const job = await insertJob(everyField());
    const change: JobChange = {
      phase: 'Queued',
      reason: 'again',
      checkpoint: checkpointOf({ sequence: 2, at: LATER }),
      nomination: null,
      retryAt: null,
      endedAt: undefined,
      attempts: 4,
      lostDeviceSeconds: 8.75,
      suspended: false,
    };
    expect(await updateJob(job, 9, change)).toEqual([]);
    const after = (await findJob(job))!;
    const { endedAt: _, ...written } = change;
    expect(after).toEqual({ ...job, ...written, revision: 10, phaseSince: after.phaseSince });
    expect(after.phaseSince.getTime()).toBeGreaterThan(NOW.getTime());
  });

  it('leaves phaseSince while the phase is the same', async () => {
    const job = await insertJob();
    await updateJob(job, 1, { phase: 'Queued', reason: 'still' });
    expect(await findJob(job)).toEqual({ ...job, reason: 'still', revision: 2 });
  });

  it('is refused for those whose revision has moved on, and written for the others', async () => {
    const [moved, same, gone] = [await insertJob(), await insertJob(), jobOf()];
    await updateJob(moved, 1, { reason: 'first' });
    const changes = [moved, same, gone].map(({ id }) => ({ id, revision: 1, change: { reason: 'second' } }));
    const refused = await store.transaction((rows) => rows.jobs.update(changes));
    expect(refused.toSorted()).toEqual([moved.id, gone.id].toSorted());
    expect([(await findJob(moved))!.reason, (await findJob(same))!.reason]).toEqual(['first', 'second']);
  });

  it('stores what an agent says, whatever characters are in it', async () => {
    const job = await insertJob();
    await updateJob(job, 1, { reason: 'bad \0 and \ud800 half' });
    expect((await findJob(job))!.reason).toBe('bad \ufffd and \ufffd half');
  });

  it('is refused outside a transaction, and so are locks', async () => {
    await expect(store.read.jobs.update([{ id: v7(), revision: 1, change: {} }])).rejects.toThrow(ReadOnlyRowsError);
    await expect(store.read.jobs.lock([v7()])).rejects.toThrow(ReadOnlyRowsError);
  });

  it('waits for whoever locked the job, and then sees what that one wrote', async () => {
    const [first, second] = [await insertJob(), await insertJob()];
    const [locked, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holder = store.transaction(async (rows) => {
      const jobs = await rows.jobs.lock([second.id, first.id, v7()]);
      locked.resolve();
      await release.promise;
      await rows.jobs.update(jobs.map(({ id, revision }) => ({ id, revision, change: { reason: 'held' } })));
      return jobs;
    });
    await locked.promise;
    const waiter = store.transaction((rows) => rows.jobs.lock([first.id, second.id]));
    const reader = store.transaction((rows) => rows.jobs.lockHeads([second.id, first.id, v7()]));
    // Events of a locked job are written meanwhile.
    const event = { tenantId: first.tenantId, jobId: first.id, attemptId: null, kind: 'Noted', message: '' };
    await store.transaction((rows) => rows.jobEvents.add([event]));
    release.resolve();
    expect(idsOf(await holder)).toEqual([first.id, second.id]);
    expect((await waiter).map(({ id, reason, revision }) => [id, reason, revision])).toEqual([
      [first.id, 'held', 2],
      [second.id, 'held', 2],
    ]);
    expect(await reader).toEqual([first, second].map(({ id }) => ({ id, phase: 'Queued', attempts: 0, revision: 2 })));
  });

  it('names those for which room is held', async () => {
    const nomination = { clusterId: v7(), tasks: [], since: NOW };
    const held = await insertJob({ nomination });
    const others = [await insertJob({ nomination, phase: 'Cancelled', endedAt: NOW }), await insertJob()];
    const nominated = await store.read.jobs.nominated();
    expect(nominated.find(({ id }) => id === held.id)).toEqual(held);
    expect(idsOf(nominated).filter((id) => idsOf(others).includes(id))).toEqual([]);
  });
});

describe('time to live', () => {
  const spec = jobSpecOf({ ttlSeconds: 60 });
  const early = new Date(Date.UTC(2020, 0, 1));
  const at = (seconds: number) => new Date(early.getTime() + seconds * 1_000);
  const expired = (seconds: number, limit = 10) => store.read.jobs.expired(at(seconds), limit);

  it('counts from the end, oldest first; a job that somebody still waits for stays', async () => {
    const late = await insertJob({ spec, phase: 'Failed', endedAt: at(20) });
    const soon = await insertJob({ spec, phase: 'Succeeded', endedAt: at(10) });
    const parent = await insertJob({ spec, phase: 'Succeeded', endedAt: at(0) });
    const child = await insertJob({ phase: 'Waiting', dependsOn: [{ jobId: parent.id, when: 'success' }] });
    expect(await expired(69)).toEqual([]);
    expect(await expired(70)).toEqual([soon.id]);
    expect(await expired(100)).toEqual([soon.id, late.id]);
    expect(await expired(100, 1)).toEqual([soon.id]);
    await updateJob(child, 1, { phase: 'Cancelled', endedAt: LATER });
    expect(await expired(100)).toEqual([parent.id, soon.id, late.id]);
    await store.transaction((rows) => rows.jobs.remove([parent.id, soon.id, late.id]));
  });

  it('counts from the change to a final phase when nobody said when it ended', async () => {
    const job = await insertJob({ spec });
    await updateJob(job, 1, { phase: 'Failed' });
    expect(idsOf(await store.read.jobs.active())).not.toContain(job.id);
    expect(await expired(60)).toEqual([]);
    expect(await store.read.jobs.expired(new Date(Date.now() + 3_600_000), 200)).toContain(job.id);
    await store.transaction((rows) => rows.jobs.remove([job.id]));
  });

  it('begins when the job ends, and is off again when it is tried again', async () => {
    const job = await insertJob({ spec });
    await updateJob(job, 1, { phase: 'Failed', endedAt: at(0) });
    expect(await expired(60)).toEqual([job.id]);
    await updateJob(job, 2, { phase: 'Queued', endedAt: null });
    expect(await expired(60)).toEqual([]);
  });
});

describe('a job that is removed', () => {
  it('takes attempts, events, decisions, blobs and holds with it', async () => {
    const job = await insertJob({ phase: 'Failed', endedAt: NOW });
    const attempt = await insertAttempt(job, { phase: 'Ended' });
    const { id: clusterId } = await insertCluster(store);
    await store.transaction(async (rows) => {
      await rows.jobEvents.add([eventOf(job, 'Submitted')]);
      await rows.decisions.insertAll([decisionOf(job.id)]);
      await rows.jobs.noteBlobs([{ jobId: job.id, digests: ['1'.repeat(64)] }]);
      await rows.deviceHolds.take([{ clusterId, holderId: attempt.id, devices: [{ node: 'n', deviceIds: ['0'] }] }]);
    });
    await store.transaction((rows) => rows.jobs.remove([job.id]));
    expect(await findJob(job)).toBeNull();
    expect(await store.read.attempts.find(attempt.id)).toBeNull();
    expect(await store.read.jobEvents.list(job.id, PAGE)).toEqual([]);
    expect(await store.read.decisions.newest(job.id, 10)).toEqual([]);
    expect(await store.read.deviceHolds.ofClusters([clusterId])).toEqual([]);
    expect(await store.read.versions.blobDigestsInUse()).not.toContain('1'.repeat(64));
  });

  it('must have ended', async () => {
    const job = await insertJob({ phase: 'Running' });
    await store.transaction((rows) => rows.jobs.remove([job.id]));
    expect(await findJob(job)).toEqual(job);
  });
});

describe('blobs of jobs', () => {
  const digest = (digit: string) => digit.repeat(64);

  it('are in use while they are noted, and the newest manifests without being noted', async () => {
    const checkpoint = checkpointOf({ manifestDigest: digest('2') });
    const { id } = await insertJob({ checkpoint, outputDigest: digest('3') });
    const { id: other } = await insertJob({});
    await store.transaction(async (rows) => {
      await rows.jobs.noteBlobs([{ jobId: id, digests: [digest('4'), digest('5')] }]);
      await rows.jobs.noteBlobs([
        { jobId: id, digests: [digest('5'), digest('6'), digest('6')] },
        { jobId: v7(), digests: [digest('7')] },
        { jobId: other, digests: [] },
      ]);
    });
    const used = await store.read.versions.blobDigestsInUse();
    expect(['2', '3', '4', '5', '6', '7'].filter((digit) => used.has(digest(digit)))).toEqual([
      '2',
      '3',
      '4',
      '5',
      '6',
    ]);
    await store.transaction(async (rows) => {
      await rows.jobs.noteBlobs([{ jobId: other, digests: [digest('8')] }]);
      await rows.jobs.dropBlobs([{ jobId: id, digests: [digest('5')] }]);
    });
    const left = await store.read.versions.blobDigestsInUse();
    expect(['4', '5', '6', '8'].filter((digit) => left.has(digest(digit)))).toEqual(['5', '8']);
    await store.transaction((rows) => rows.jobs.dropBlobs([id, other].map((jobId) => ({ jobId, digests: [] }))));
    const last = await store.read.versions.blobDigestsInUse();
    expect(['5', '8'].filter((digit) => last.has(digest(digit)))).toEqual([]);
  });
});

describe('a version that a job mounts', () => {
  it('is in use until the job has ended', async () => {
    const { modelId, versionId } = await versionNobodyServes();
    // The same version twice under two names is one use of it.
    const mounts = ['base', 'dataset'].map((name) => ({ name, versionId }));
    const job = await insertJob({ spec: jobSpecOf({ mounts }) });
    const retire = () => store.transaction((rows) => rows.versions.retireUnused([versionId]));
    expect(await retire()).toEqual([]);
    await expect(store.transaction((rows) => rows.versions.abandon(versionId))).rejects.toMatchObject({
      refusal: { reason: `the version is mounted by job "${job.name}"; wait until that is over or cancel it` },
    });
    await expect(store.transaction((rows) => rows.models.remove(modelId))).rejects.toMatchObject({
      refusal: { reason: `the model is used by job "${job.name}"; wait until that is over or cancel it` },
    });
    await updateJob(job, 1, { phase: 'Succeeded', endedAt: LATER, publishedVersionId: versionId });
    expect(await retire()).toEqual([versionId]);
    expect(await store.transaction((rows) => rows.models.remove(modelId))).toBe(true);
    expect(await findJob(job)).toMatchObject({ phase: 'Succeeded', publishedVersionId: null });
  });

  async function versionNobodyServes() {
    const deployment = await insertDeployment(store);
    await store.transaction((rows) => rows.deployments.remove(deployment.id));
    return deployment;
  }
});

it('the default queue is there for jobs from the start', async () => {
  expect(await store.read.queues.find({ id: DEFAULT_QUEUE_ID })).toMatchObject({ name: 'default', parentId: null });
});
