/** Jobs through the leader's loop on a real database: from the queue to their end, by what clusters report. */
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { DEFAULT_MODEL_POLICY, DEFAULT_TENANT_ID, type DrainMode, LOST_MARGIN_SECONDS, StaleEpochError } from '#domain';
import { checkpointOf } from '#testing';
import { writeOwedDocuments } from '../../apps/control-plane/src/jobs/documents-loop.ts';
import { removeExpired } from '../../apps/control-plane/src/jobs/removal.ts';
import { type FakeCluster, gpus, JobsWorld } from './jobs.fixture.ts';
import { aName, aVersion, DIGEST, NOW } from './store.fixture.ts';

let world: JobsWorld;
let dc: FakeCluster;

beforeEach(async () => {
  world = await JobsWorld.start();
  dc = await world.cluster();
});
afterEach(() => world.stop());

const heldIn = async ({ id }: FakeCluster) =>
  (await world.store.read.deviceHolds.ofClusters([id])).reduce(
    (sum, { devices }) => sum + devices.reduce((count, { deviceIds }) => count + deviceIds.length, 0),
    0,
  );

describe('one job', () => {
  it('is assigned, runs, ends, and leaves nothing held', async () => {
    const job = await world.submit({ devices: 2 });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Starting', attempts: 1 });
    const [attempt] = await world.attempts(job);
    expect(attempt).toMatchObject({ phase: 'Assigned', number: 1, claim: gpus(2), epoch: 0 });
    expect(attempt!.tasks).toMatchObject([{ rank: 0, clusterId: dc.id, devices: [{ node: 'n1' }] }]);
    expect(await heldIn(dc)).toBe(2);
    const task = await dc.taskOf(job);
    expect(task).toMatchObject({ taskId: `${attempt!.id}-0`, attempt: 1, worldSize: 1, stop: null, resumeFrom: null });

    world.pass(5);
    await dc.say(job, { phase: 'Running' });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Running', reason: `running in ${dc.cluster.name}` });

    world.pass(60);
    const outputDigest = await world.keep({ 'result.txt': 'forty-two' });
    await dc.say(job, { phase: 'Succeeded', ranSeconds: 60, outputDigest });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({
      phase: 'Succeeded',
      outputDigest,
      ranSeconds: 60,
      usedDeviceSeconds: 130,
      lostDeviceSeconds: 0,
      endedAt: new Date(world.nowMs),
    });
    expect(await heldIn(dc)).toBe(0);
    expect(await dc.tasks()).toEqual([]);
    expect(await world.events(job)).toEqual(['Assigned', 'Started', 'Succeeded']);
    const [usage] = await world.store.read.usage.since('2026-03-01');
    expect(usage).toMatchObject({ day: '2026-03-01', jobDeviceSeconds: 130, lostDeviceSeconds: 0 });
    expect([...(await world.store.read.versions.blobDigestsInUse())]).toContain(outputDigest);
  });

  it('is tried again after its backoff, not before, and says why', async () => {
    const job = await world.submit();
    await world.cycle();
    await dc.say(job, { phase: 'Failed', exitCode: 1, reason: 'out of memory', ranSeconds: 3 });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({
      phase: 'Queued',
      failures: 1,
      retryAt: new Date(world.nowMs + 10_000),
      reason: expect.stringContaining('out of memory; tried again in 10 s'),
    });
    await world.cycle();
    expect((await world.job(job)).attempts).toBe(1);
    world.pass(120); // also over the time in which the cluster is avoided
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Starting', attempts: 2 });
  });

  it('that claims an output which is not here has none', async () => {
    const job = await world.submit({ spec: { output: { required: true, publish: null } } });
    await world.cycle();
    await dc.say(job, { phase: 'Succeeded', ranSeconds: 3, outputDigest: 'e'.repeat(64) });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Failed', outputDigest: null });
  });

  it('has lost nothing while the blob store cannot be read, and keeps no other job from going on', async () => {
    const [job, other] = [await world.submit(), await world.submit()];
    await world.cycle();
    const outputDigest = await world.keep({ 'result.txt': 'forty-two' });
    await dc.say(job, { phase: 'Succeeded', ranSeconds: 3, outputDigest });
    await dc.say(other, { phase: 'Running' });
    const folder = join(world.blobs.directory, 'sha256');
    await rename(folder, `${folder}-away`);
    await writeFile(folder, 'not a folder');
    await expect(world.cycle()).rejects.toThrow('ENOTDIR');
    expect([await world.job(job), await world.job(other)].map(({ phase }) => phase)).toEqual(['Starting', 'Running']);
    await rm(folder);
    await rename(`${folder}-away`, folder);
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Succeeded', outputDigest });
  });

  it('goes on from the checkpoint before one that is lost, and begins anew when that is lost too', async () => {
    const before = checkpointOf({ manifestDigest: await world.keep({ 'state.bin': 'step 10' }), progress: 'step 10' });
    const checkpoint = { ...checkpointOf({ sequence: 2, manifestDigest: 'e'.repeat(64) }), before };
    const job = await world.submit({ checkpoint });
    const failToBegin = async () => {
      await dc.say(job, { phase: 'Failed', reason: 'Its checkpoint is lost.' });
      await world.cycle();
      const { phase, failures } = await world.job(job);
      expect({ phase, failures }).toEqual({ phase: 'Queued', failures: 0 });
      world.pass(60);
      await world.cycle();
    };
    await world.cycle();
    expect(await dc.taskOf(job)).toMatchObject({ attempt: 1, resumeFrom: { manifestDigest: 'e'.repeat(64) } });
    await failToBegin();
    expect((await world.job(job)).checkpoint).toEqual(before);
    expect(await dc.taskOf(job)).toMatchObject({ attempt: 2, resumeFrom: { progress: 'step 10' } });
    await rm(join(world.blobs.directory, 'sha256'), { recursive: true });
    await failToBegin();
    expect(await dc.taskOf(job)).toMatchObject({ attempt: 3, resumeFrom: null });
    expect((await world.events(job)).filter((kind) => kind === 'CheckpointLost')).toHaveLength(2);
  });

  it('of which its agent knows nothing is tried again, once the agent had time to list it', async () => {
    const job = await world.submit();
    await world.cycle();
    await dc.say(job, null);
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Starting' });
    world.pass(31);
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Queued', failures: 1 });
  });

  it('waits with a reason when nothing fits, and the decision says so once', async () => {
    const job = await world.submit({ devices: 9 });
    await world.cycle();
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Queued', attempts: 0 });
    const decisions = await world.store.read.decisions.newest(job.id, 10);
    expect(decisions).toHaveLength(1);
    expect(decisions[0]).toMatchObject({ subjectKind: 'job', outcome: expect.stringMatching(/9/) });
  });
});

describe('the leader', () => {
  it('R1 that dies between a commit and the documents leaves them owed to the next one', async () => {
    const job = await world.submit();
    await world.leader.run(new AbortController().signal);
    expect(await world.job(job)).toMatchObject({ phase: 'Starting' });
    expect(await dc.tasks()).toEqual([]);
    await world.loseLease();
    await expect(world.cycle()).rejects.toThrow(StaleEpochError);
    expect(await dc.tasks()).toEqual([]);
    world.epoch += 1;
    world.lead();
    await world.cycle();
    expect(await dc.taskOf(job)).toMatchObject({ jobId: job.id, epoch: 0 });
    expect(await world.attempts(job)).toHaveLength(1);
  });

  it('a document that cannot be written stays owed, and keeps none of the others from it', async () => {
    const other = await world.cluster();
    // Published is what a mount has to be; that this one is not is an error in the rows.
    const owner = { id: v7(), tenantId: DEFAULT_TENANT_ID, name: aName('model'), policy: DEFAULT_MODEL_POLICY };
    const model = { ...owner, createdAt: NOW, revision: 1 };
    const version = aVersion(model.id);
    await world.store.transaction(async (rows) => {
      await rows.models.insert(model);
      await rows.versions.insert(version);
    });
    const selector = { clusterNames: [dc.cluster.name] };
    const broken = await world.submit({ spec: { selector, mounts: [{ name: 'base', versionId: version.id }] } });
    const sound = await world.submit({ spec: { selector: { clusterNames: [other.cluster.name] } } });
    for (const _ of [1, 2]) await expect(world.cycle()).rejects.toThrow('not published');
    expect([await world.job(broken), await world.job(sound)].map(({ phase }) => phase)).toEqual([
      'Starting',
      'Starting',
    ]);
    expect([await dc.taskOf(broken), await other.taskOf(sound)]).toEqual([
      undefined,
      expect.objectContaining({ jobId: sound.id }),
    ]);
    await world.store.transaction((rows) => rows.versions.publish(version.id, DIGEST, version.files, null));
    // The debt is still there, without anybody having written it anew.
    await expect(writeOwedDocuments(world.store, world.epoch, new AbortController().signal)).resolves.toBe(1);
    expect(await dc.taskOf(broken)).toMatchObject({ jobId: broken.id });
  });

  it('removes what ended when its time to live is over, and nothing before', async () => {
    const job = await world.submit({ spec: { ttlSeconds: 100 } });
    await world.change(job, { cancelRequestedAt: new Date(world.nowMs) });
    await world.cycle();
    const { signal } = new AbortController();
    const at = (seconds: number) => new Date(world.nowMs + seconds * 1_000);
    expect(await removeExpired(world.store, 0, at(99), signal)).toBe(0);
    expect(await removeExpired(world.store, 0, at(101), signal)).toBe(1);
    expect(await world.store.read.jobs.find({ id: job.id })).toBeNull();
  });
});

describe('intent', () => {
  it('cancelled while it runs: no checkpoint is asked for, and it ends when its agent says so', async () => {
    const job = await world.submit();
    await world.cycle();
    await dc.say(job, { phase: 'Running', ranSeconds: 10 });
    await world.cycle();
    await world.change(job, { cancelRequestedAt: new Date(world.nowMs) });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Stopping' });
    expect((await dc.taskOf(job))?.stop).toMatchObject({ cause: 'cancelled', wantsCheckpoint: false });
    expect(await heldIn(dc)).toBe(1);
    await dc.say(job, { phase: 'Stopped', ranSeconds: 12 });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Cancelled', lostDeviceSeconds: 12 });
    expect(await heldIn(dc)).toBe(0);
  });

  it('suspended, saved, resumed from what was saved', async () => {
    const job = await world.submit();
    await world.cycle();
    await dc.say(job, { phase: 'Running', ranSeconds: 10 });
    await world.cycle();
    await world.change(job, { suspended: true });
    await world.cycle();
    expect((await dc.taskOf(job))?.stop).toMatchObject({ cause: 'suspended', wantsCheckpoint: true });
    const manifestDigest = await world.keep({ 'state.bin': 'step 7' });
    const checkpoint = { sequence: 1, manifestDigest, sizeBytes: 6, progress: 'step 7', ranSeconds: 11 };
    await dc.say(job, { phase: 'Stopped', ranSeconds: 12, checkpoint });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({
      phase: 'Suspended',
      lostDeviceSeconds: 1,
      checkpoint: { manifestDigest },
    });
    await world.cycle();
    expect((await world.job(job)).phase).toBe('Suspended');
    await world.change(job, { suspended: false });
    await world.cycle();
    await world.cycle();
    expect(await dc.taskOf(job)).toMatchObject({ attempt: 2, resumeFrom: { manifestDigest, progress: 'step 7' } });
  });

  it('a paused queue starts nothing, and goes on when it is not', async () => {
    const queueId = v7();
    const queue = { id: queueId, name: 'night', paused: true } as const;
    await world.store.transaction(async (rows) => {
      const [other] = await rows.queues.all();
      await rows.queues.insert({ ...other!, ...queue });
    });
    const job = await world.submit({ queueId });
    await world.cycle();
    expect((await world.job(job)).attempts).toBe(0);
    const [decision] = await world.store.read.decisions.newest(job.id, 1);
    expect(decision?.outcome).toMatch(/paused/);
    await world.store.transaction((rows) => rows.queues.update(queueId, 1, { paused: false }));
    await world.cycle();
    expect((await world.job(job)).attempts).toBe(1);
  });

  it('a quota holds what would be above it', async () => {
    const queueId = v7();
    await world.store.transaction(async (rows) => {
      const [other] = await rows.queues.all();
      const limits = { quota: { 'nvidia.com/gpu': 2 }, borrowingLimit: { 'nvidia.com/gpu': 1 } };
      await rows.queues.insert({ ...other!, id: queueId, name: 'small', ...limits });
    });
    const jobs = [];
    for (let count = 0; count < 4; count += 1) jobs.push(await world.submit({ queueId }));
    await world.cycle();
    const phases = await Promise.all(jobs.map(async (job) => (await world.job(job)).phase));
    expect(phases.sort()).toEqual(['Queued', 'Starting', 'Starting', 'Starting']);
  });
});

describe('a gang', () => {
  it('fails as one: the others are ended, the first exit code is kept', async () => {
    const job = await world.submit({ spec: { gang: { size: 3 } } });
    await world.cycle();
    await dc.say(job, { phase: 'Running', ranSeconds: 10 });
    await world.cycle();
    expect((await world.job(job)).phase).toBe('Running');
    await dc.say(job, { phase: 'Failed', exitCode: 9, ranSeconds: 20 }, [1]);
    await world.cycle();
    expect((await dc.taskOf(job, 0))?.stop).toMatchObject({ cause: 'gang-member-lost', wantsCheckpoint: false });
    await dc.say(job, { phase: 'Stopped', ranSeconds: 21 }, [0, 2]);
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Queued', failures: 1 });
    expect(await world.newest(job)).toMatchObject({ phase: 'Ended', outcome: 'failed', exitCode: 9 });
  });

  it('G01 starts whole or not at all', async () => {
    const job = await world.submit({ devices: 4, spec: { gang: { size: 3 } } });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Queued', attempts: 0 });
    expect(await heldIn(dc)).toBe(0);
  });
});

describe('out of contact', () => {
  it('X01 is run again elsewhere only when its agent must have ended it, and what it still says then counts for nothing', async () => {
    const other = await world.cluster(1, 8);
    const job = await world.submit({
      devices: 2,
      spec: { selector: { clusterNames: [dc.cluster.name, other.cluster.name] } },
    });
    await world.cycle();
    const first = await world.newest(job);
    const [home, away] = first.tasks[0]!.clusterId === dc.id ? [dc, other] : [other, dc];
    await home.say(job, { phase: 'Running', ranSeconds: 10 });
    await world.cycle();
    await world.moveCluster(home, { phase: 'Unknown' });
    await world.cycle();
    world.pass(300 + LOST_MARGIN_SECONDS - 1);
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Running', attempts: 1 });
    world.pass(2);
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Starting', attempts: 2, failures: 0 });
    const second = await world.newest(job);
    expect(second.tasks[0]!.clusterId).toBe(away.id);
    // The old one comes back and says that it is done.
    await world.moveCluster(home, { phase: 'Ready' });
    await home.say(job, { phase: 'Succeeded', ranSeconds: 500 });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Starting', attempts: 2 });
    expect(await home.tasks()).toEqual([]);
  });

  it('X05 with most clusters Unknown nothing moves', async () => {
    const job = await world.submit();
    await world.cycle();
    await dc.say(job, { phase: 'Running' });
    await world.cycle();
    const other = await world.cluster();
    for (const each of [dc, other]) await world.moveCluster(each, { phase: 'Unknown' });
    await world.cycle();
    world.pass(86_400);
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Running', attempts: 1 });
  });

  it('a cluster that leaves takes its attempt with it at once', async () => {
    const job = await world.submit();
    await world.cycle();
    await dc.say(job, { phase: 'Running' });
    await world.cycle();
    await world.moveCluster(dc, { phase: 'Left' });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Queued', failures: 0 });
    expect(await world.newest(job)).toMatchObject({ phase: 'Ended', outcome: 'lost' });
  });

  it('a drained cluster sends its work elsewhere, saved', async () => {
    const job = await world.submit();
    await world.cycle();
    await dc.say(job, { phase: 'Running', ranSeconds: 30 });
    await world.cycle();
    await world.moveCluster(dc, drained('move', 600));
    await world.cycle();
    expect((await dc.taskOf(job))?.stop).toMatchObject({ cause: 'drained', wantsCheckpoint: true });
    const other = await world.cluster();
    await dc.say(job, { phase: 'Stopped', ranSeconds: 30 });
    await world.cycle();
    expect(await world.job(job)).toMatchObject({ phase: 'Starting', preemptions: 0, failures: 0 });
    expect((await world.newest(job)).tasks[0]!.clusterId).toBe(other.id);
  });
});

const drained = (mode: DrainMode, deadlineSeconds: number) => ({
  phase: 'Draining' as const,
  drain: { mode, deadlineSeconds, since: new Date().toISOString(), requestedBy: 'key:spec' },
});

describe('a cluster that is drained and waited for', () => {
  it('lets what runs run on, takes nothing new, and once the deadline is over sends it elsewhere', async () => {
    const job = await world.submit();
    await world.cycle();
    await dc.say(job, { phase: 'Running', ranSeconds: 30 });
    await world.cycle();
    await world.moveCluster(dc, drained('wait', 120));
    const next = await world.submit();
    await world.cycle();
    expect((await dc.taskOf(job))?.stop).toBeNull();
    expect(await world.job(next)).toMatchObject({ phase: 'Queued' });
    world.pass(121);
    await world.cycle();
    expect((await dc.taskOf(job))?.stop).toMatchObject({ cause: 'drained', wantsCheckpoint: true });
  });
});

describe('jobs that depend on others', () => {
  const dependingOn = (...jobs: { id: string }[]) => ({
    phase: 'Waiting' as const,
    queuedAt: null,
    dependsOn: jobs.map(({ id }) => ({ jobId: id, when: 'success' as const })),
  });

  async function finish(job: { id: string }, phase: 'Succeeded' | 'Failed'): Promise<void> {
    await dc.say(job, { phase, ranSeconds: 1, ...(phase === 'Failed' ? { exitCode: 127 } : {}) });
    await world.cycle();
  }

  it('D01, D04 a diamond runs in order, and its end once', async () => {
    const first = await world.submit();
    const left = await world.submit(dependingOn(first));
    const right = await world.submit(dependingOn(first));
    const last = await world.submit(dependingOn(left, right));
    await world.cycle();
    expect(await world.job(left)).toMatchObject({ phase: 'Waiting', attempts: 0 });
    await finish(first, 'Succeeded');
    await world.cycle();
    await world.cycle();
    expect((await world.job(left)).phase).toBe('Starting');
    expect((await world.job(right)).phase).toBe('Starting');
    expect((await world.job(last)).phase).toBe('Waiting');
    await finish(left, 'Succeeded');
    expect((await world.job(last)).phase).toBe('Waiting');
    await finish(right, 'Succeeded');
    for (let cycles = 0; cycles < 4; cycles += 1) await world.cycle();
    expect(await world.job(last)).toMatchObject({ phase: 'Starting', attempts: 1 });
  });

  it('D02 are cancelled with the reason when one fails, all the way down, unless they always run', async () => {
    const first = await world.submit();
    const next = await world.submit(dependingOn(first));
    const last = await world.submit(dependingOn(next));
    const always = await world.submit({
      ...dependingOn(first),
      dependsOn: [{ jobId: first.id, when: 'always' }],
    });
    await world.cycle();
    await finish(first, 'Failed');
    for (let cycles = 0; cycles < 3; cycles += 1) await world.cycle();
    expect(await world.job(next)).toMatchObject({ phase: 'Cancelled', reason: expect.stringContaining(first.name) });
    expect(await world.job(last)).toMatchObject({ phase: 'Cancelled' });
    expect(await world.job(always)).toMatchObject({ phase: 'Starting' });
  });

  it('D05 are held by one that is tried again', async () => {
    const first = await world.submit();
    const next = await world.submit(dependingOn(first));
    await world.cycle();
    await dc.say(first, { phase: 'Failed', exitCode: 1, ranSeconds: 1 });
    for (let cycles = 0; cycles < 3; cycles += 1) await world.cycle();
    expect((await world.job(first)).phase).toBe('Queued');
    expect((await world.job(next)).phase).toBe('Waiting');
  });
});
