/** Preemption through the leader's loop on a real database: stops, grace, resumption, and plans that no longer hold. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { DEFAULT_QUEUE_ID, type Job, type NodeDevices, StaleEpochError } from '#domain';
import { planWorkloads } from '#scheduling';
import { type AppliedJobs, applyJobs } from '../../apps/control-plane/src/jobs/apply-jobs.ts';
import { JobDecisions } from '../../apps/control-plane/src/jobs/job-decisions.ts';
import { JobMemory } from '../../apps/control-plane/src/jobs/job-memory.ts';
import { toWorkloadSnapshot } from '../../apps/control-plane/src/jobs/job-snapshot.ts';
import { KeptWorld } from '../../apps/control-plane/src/jobs/kept-world.ts';
import { planJobs } from '../../apps/control-plane/src/jobs/plan-jobs.ts';
import { unitsOf } from '../../apps/control-plane/src/jobs/plan-units.ts';
import { type FakeCluster, gpus, JobsWorld } from './jobs.fixture.ts';
import { insertDeployment } from './store.fixture.ts';

let world: JobsWorld;
let dc: FakeCluster;

beforeEach(async () => {
  world = await JobsWorld.start();
  dc = await world.cluster(1, 4);
});
afterEach(() => world.stop());

/** A low job that runs and has all devices. */
async function runLow(devices = 4, ranSeconds = 100): Promise<Job> {
  const job = await world.submit({ class: 'low', devices });
  await world.cycle();
  await dc.say(job, { phase: 'Running', ranSeconds: 1 });
  await world.cycle();
  world.pass(ranSeconds);
  return job;
}

const saved = async (ranSeconds: number, progress = 'step 400') => ({
  sequence: 1,
  manifestDigest: await world.keep({ 'state.bin': progress }),
  sizeBytes: 8,
  progress,
  ranSeconds,
});

/** What the planner proposes now, for an applier that comes later. */
async function planNow() {
  const { read } = world.store;
  const seen = await new KeptWorld(read).look(world.nowMs);
  const plan = planWorkloads(toWorkloadSnapshot(seen, new JobMemory(), []));
  const { units } = unitsOf(plan, seen, new JobDecisions(world.epoch), (id) => id);
  const apply = (some = units): Promise<AppliedJobs> => applyJobs(world.store, world.epoch, some, seen);
  return { plan, apply, starts: units.filter(({ start }) => start !== null) };
}

const holders = async () =>
  (await world.store.read.deviceHolds.ofClusters([dc.id])).flatMap(({ holderId, devices }) =>
    devices.flatMap(({ deviceIds }: NodeDevices) => deviceIds.map((device) => `${device}:${holderId}`)),
  );

describe('a more important job', () => {
  it('P01 gets the room of a lower one, which saves, waits, and goes on from what it saved', async () => {
    const low = await runLow();
    const high = await world.submit({ class: 'high', devices: 2 });
    await world.cycle();
    expect(await world.job(low)).toMatchObject({ phase: 'Stopping' });
    expect(await world.job(high)).toMatchObject({ phase: 'Queued', nomination: { clusterId: dc.id } });
    expect((await dc.taskOf(low))?.stop).toMatchObject({ cause: 'preempted', wantsCheckpoint: true });
    expect((await world.newest(low)).stop).toMatchObject({ byJobId: high.id, cause: 'preempted' });
    const [decision] = await world.store.read.decisions.newest(high.id, 1);
    expect(decision?.detail?.victims).toMatchObject([{ jobId: low.id, lostDeviceSeconds: 400 }]);

    // P09, P10: while it saves, nobody else is stopped and the room stays the preemptor's.
    await dc.say(low, { phase: 'Checkpointing', ranSeconds: 100 });
    await world.cycle();
    expect(await world.job(high)).toMatchObject({ phase: 'Queued', nomination: { clusterId: dc.id } });

    const checkpoint = await saved(98);
    await dc.say(low, { phase: 'Stopped', ranSeconds: 100, checkpoint });
    await world.cycle();
    expect(await world.job(low)).toMatchObject({
      phase: 'Queued',
      preemptions: 1,
      failures: 0,
      lostDeviceSeconds: 8,
      checkpoint: { progress: 'step 400', savedDeviceSeconds: 392 },
    });
    expect(await world.job(high)).toMatchObject({ phase: 'Starting', nomination: null });
    expect(await world.events(low)).toEqual(['Assigned', 'Started', 'Stopping', 'Preempted']);

    await dc.say(high, { phase: 'Succeeded', ranSeconds: 5 });
    await world.cycle();
    expect(await world.job(low)).toMatchObject({ phase: 'Starting', attempts: 2 });
    expect(await dc.taskOf(low)).toMatchObject({
      attempt: 2,
      resumeFrom: { manifestDigest: checkpoint.manifestDigest, progress: 'step 400' },
    });
    expect((await world.newest(low)).resumedFrom).toMatchObject({ savedDeviceSeconds: 392 });
  });

  it('P20 whose victim does not save in time: what was lost is told of the attempt, the job and the queue', async () => {
    const low = await runLow();
    const high = await world.submit({ class: 'high' });
    await world.cycle();
    await dc.say(low, { phase: 'Stopped', ranSeconds: 160, reason: 'killed after 60 s of grace' });
    await world.cycle();
    expect(await world.job(low)).toMatchObject({ phase: 'Queued', lostDeviceSeconds: 640, checkpoint: null });
    expect(await world.newest(low)).toMatchObject({ outcome: 'preempted', lostDeviceSeconds: 640 });
    const [usage] = await world.store.read.usage.since('2026-03-01');
    expect(usage).toMatchObject({ queueId: DEFAULT_QUEUE_ID, lostDeviceSeconds: 640 });
    expect((await world.job(high)).phase).toBe('Starting');
  });

  it('P02, P03 stops nobody of its own class or above, and says why it waits', async () => {
    const job = await world.submit({ class: 'high', devices: 4 });
    await world.cycle();
    const equal = await world.submit({ class: 'high' });
    await world.cycle();
    expect((await world.job(job)).phase).toBe('Starting');
    expect(await world.job(equal)).toMatchObject({ phase: 'Queued', nomination: null });
    const [decision] = await world.store.read.decisions.newest(equal.id, 1);
    expect(decision?.outcome).not.toBe('');
  });

  it('is foreseen by a dry run, with who would be stopped and what they lose; nothing changes', async () => {
    const low = await runLow();
    const { verdict, stops, nomination, start } = await planJobs(
      world.store.read,
      world.wish({ class: 'high', devices: 3 }),
      world.nowMs,
    );
    expect(verdict).toMatchObject({ state: 'nominated', victims: [{ jobName: low.name, lostDeviceSeconds: 400 }] });
    expect(stops).toMatchObject([{ workloadId: low.id, cause: 'preempted' }]);
    expect(nomination).toMatchObject({ clusterId: dc.id });
    expect(start).toBeNull();
    expect((await world.job(low)).phase).toBe('Running');
    expect(await world.store.read.jobs.active()).toHaveLength(1);
  });

  it('is foreseen to start where there is room', async () => {
    const { verdict, start } = await planJobs(world.store.read, world.wish({ devices: 3 }), world.nowMs);
    expect(verdict).toMatchObject({ state: 'started', place: null });
    expect(start?.tasks).toMatchObject([{ clusterId: dc.id, devices: [{ node: 'n1' }] }]);
    expect(await holders()).toEqual([]);
  });
});

describe('a plan that no longer holds', () => {
  it('P19 one of three victims ended meanwhile: nobody is stopped for it, and the next plan asks for less', async () => {
    const lows = [await runLow(2), await runLow(1), await runLow(1)];
    const high = await world.submit({ class: 'high', devices: 4 });
    const { plan, apply } = await planNow();
    expect(plan.stops).toHaveLength(3);
    await dc.say(lows[1]!, { phase: 'Succeeded', ranSeconds: 100 });
    const before = world.nowMs;
    await settleOnly();
    const { applied, rejected } = await apply();
    expect(applied.filter(({ stops }) => stops.length > 0)).toEqual([]);
    expect(rejected).toMatchObject([{ reason: expect.stringContaining(lows[1]!.name) }]);
    expect(await world.job(high)).toMatchObject({ phase: 'Queued', nomination: null });
    expect((await world.job(lows[0]!)).phase).toBe('Running');
    expect(world.nowMs).toBe(before);
    // It converges: the two that are left make room, and nothing of what ended is lost.
    await world.cycle();
    expect((await world.job(lows[1]!)).phase).toBe('Succeeded');
    for (const low of [lows[0]!, lows[2]!]) {
      expect((await world.job(low)).phase).toBe('Stopping');
      await dc.say(low, { phase: 'Stopped', ranSeconds: 100, checkpoint: await saved(100) });
    }
    await world.cycle();
    expect(await world.job(high)).toMatchObject({ phase: 'Starting', nomination: null });
    expect((await world.job(lows[0]!)).lostDeviceSeconds).toBe(0);
  });

  /** The victim's end is committed, and nothing else is planned: no job of ours waits meanwhile. */
  async function settleOnly(): Promise<void> {
    await world.store.transaction(async (rows) => {
      for (const queue of await rows.queues.all()) await rows.queues.update(queue.id, queue.revision, { paused: true });
    });
    await world.cycle();
    await world.store.transaction(async (rows) => {
      for (const queue of await rows.queues.all())
        await rows.queues.update(queue.id, queue.revision, { paused: false });
    });
  }

  it('P22 of two starts the one whose device is gone is rejected, with the reason', async () => {
    const first = await world.submit({ devices: 2 });
    const second = await world.submit({ devices: 2 });
    const { plan, apply } = await planNow();
    expect(plan.starts).toHaveLength(2);
    const [, last] = plan.starts;
    const gone = last!.tasks[0]!.devices![0]!.deviceIds[0]!;
    dc.nodes = dc.nodes.map((node) => ({ ...node, devices: node.devices.filter(({ id }) => id !== gone) }));
    await dc.report();
    const { applied, rejected } = await apply();
    expect(applied.map(({ job }) => job?.id)).toEqual([plan.starts[0]!.workloadId]);
    expect(rejected).toMatchObject([
      {
        reason: `device ${gone} of node n1 in cluster ${dc.cluster.name} is gone`,
        unit: { job: { id: last!.workloadId } },
      },
    ]);
    const phases = [(await world.job(first)).phase, (await world.job(second)).phase];
    expect(phases.sort()).toEqual(['Queued', 'Starting']);
    expect(await holders()).toHaveLength(2);
  });

  it('P22 devices that somebody else took meanwhile: nothing of that job is held', async () => {
    const job = await world.submit({ devices: 4 });
    const { apply } = await planNow();
    const other = v7();
    const theirs = [{ clusterId: dc.id, holderId: other, devices: [{ node: 'n1', deviceIds: ['3'] }] }];
    await world.store.transaction((rows) => rows.deviceHolds.take(theirs));
    const { rejected } = await apply();
    expect(rejected).toMatchObject([{ reason: 'its devices were taken meanwhile' }]);
    expect(await holders()).toEqual([`3:${other}`]);
    expect(await world.job(job)).toMatchObject({ phase: 'Queued', attempts: 0, revision: 1 });
  });

  it('P22 of two plans that are committed at once one has the devices, and the other job is refused', async () => {
    const lower = await world.submit({ devices: 4 });
    const first = await planNow();
    const higher = await world.submit({ class: 'high', devices: 4 });
    const second = await planNow();
    const planned = [first, second].map(({ plan }) => plan.starts.map(({ workloadId }) => workloadId));
    expect(planned).toEqual([[lower.id], [higher.id]]);
    const results = await Promise.all([first, second].map(({ apply, starts }) => apply(starts)));
    expect(results.flatMap(({ attempts }) => attempts)).toHaveLength(1);
    expect(results.flatMap(({ rejected }) => rejected)).toMatchObject([{ reason: 'its devices were taken meanwhile' }]);
    expect(await holders()).toHaveLength(4);
  });

  it.each([
    { what: 'cordoned', change: { cordoned: true }, reason: 'was cordoned meanwhile' },
    { what: 'silent', change: { phase: 'Suspect' }, reason: 'is Suspect now' },
  ] as const)('P22 a cluster that is $what now takes nothing', async ({ change, reason }) => {
    await world.submit();
    const { apply } = await planNow();
    await world.moveCluster(dc, change);
    const { applied, rejected } = await apply();
    expect(applied).toEqual([]);
    expect(rejected).toMatchObject([{ reason: expect.stringContaining(reason) }]);
  });

  it('a job that was cancelled meanwhile does not start; applied twice, a plan starts nothing twice', async () => {
    const job = await world.submit();
    const cancelled = await world.submit();
    const { apply } = await planNow();
    await world.change(cancelled, { cancelRequestedAt: new Date(world.nowMs) });
    expect((await apply()).rejected).toMatchObject([{ reason: 'the job changed meanwhile' }]);
    expect((await apply()).applied).toEqual([]);
    expect((await world.attempts(job)).length).toBe(1);
    expect(await world.attempts(cancelled)).toEqual([]);
  });

  it('R1 a leader whose epoch is over writes nothing, and the next one goes on', async () => {
    const low = await runLow();
    await world.submit({ class: 'high' });
    const { apply } = await planNow();
    await world.loseLease();
    await expect(apply()).rejects.toThrow(StaleEpochError);
    await expect(world.cycle()).rejects.toThrow(StaleEpochError);
    expect((await world.job(low)).phase).toBe('Running');
    expect((await world.newest(low)).phase).toBe('Running');
    world.epoch += 1;
    world.lead();
    await world.cycle();
    expect((await world.job(low)).phase).toBe('Stopping');
  });
});

describe('serving', () => {
  it('preempts jobs: the room is held for the replica, which the deployment planner then places', async () => {
    const low = await runLow();
    const deployment = await insertDeployment(world.store, {
      claim: gpus(2),
      selector: {},
      createdAt: new Date(world.nowMs),
    });
    world.serving = [{ deployment, replicas: 1, avoidClusterIds: [] }];
    await world.cycle();
    expect(await world.job(low)).toMatchObject({ phase: 'Stopping', reason: expect.stringContaining(deployment.name) });
    expect((await world.newest(low)).stop).toMatchObject({ byJobId: null });
    await dc.say(low, { phase: 'Stopped', ranSeconds: 100, checkpoint: await saved(100) });
    await world.cycle();
    // It waits again, but the room is the replica's: it needs all four devices.
    expect(await world.job(low)).toMatchObject({ phase: 'Queued', attempts: 1 });
    await world.cycle();
    expect(await world.job(low)).toMatchObject({ phase: 'Queued', attempts: 1 });
    expect(await holders()).toEqual([]);
    // Once nobody wants it any more, the job goes on.
    world.serving = [];
    await world.cycle();
    expect(await world.job(low)).toMatchObject({ phase: 'Starting', attempts: 2 });
  });

  it('does not keep jobs for ever off room that the deployment planner does not take', async () => {
    const deployment = await insertDeployment(world.store, { claim: gpus(4), selector: {} });
    const job = await world.submit();
    const wait = async () => {
      world.serving = [{ deployment, replicas: 1, avoidClusterIds: [] }];
      await world.cycle();
    };
    for (let cycles = 0; cycles < 3; cycles += 1) await wait();
    expect((await world.job(job)).phase).toBe('Queued');
    await wait();
    expect((await world.job(job)).phase).toBe('Starting');
  });
});
