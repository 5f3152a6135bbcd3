/**
 * A leader among 40,000 jobs that run and 10,000 that wait: what one small cycle takes, from the wake to the commit of
 * what came. Before each a few clusters report, as agents do, all of their tasks, and that some of these are done; and as
 * many jobs come as end.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { v7 } from 'uuid';
import { type Attempt, type Job, type Observation, type Store, type TaskReport, taskIdOf } from '#domain';
import { attemptOf } from '#testing';
import { BlobStore } from '../../../apps/control-plane/src/blobs/blob-store.ts';
import { CYCLE_PARTS, type CycleSeconds } from '../../../apps/control-plane/src/jobs/cycle-times.ts';
import { JobLoop } from '../../../apps/control-plane/src/jobs/job-loop.ts';
import { JobMetrics } from '../../../apps/control-plane/src/jobs/job-metrics.ts';
import { OutputPublisher } from '../../../apps/control-plane/src/jobs/publish-output.ts';
import { insertJobs, waitingJob } from './durable-fleet.ts';

/** What ends, and what comes, between two cycles. */
const SMALL_BATCH = 32;
const REPORTING_CLUSTERS = 8;
const CYCLES_MAX = 300;
const SECONDS_MAX = 30;
const WARM_CYCLES = 10;
const INSERT_MAX = 2_000;

export interface MeasuredCycles {
  readonly cycles: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Milliseconds of the median and of the 99th percentile, part by part. */
  readonly parts: Readonly<Record<string, readonly [p50Ms: number, p99Ms: number]>>;
  readonly firstMs: number;
  readonly rssMB: number;
}

/** Fills every device of the fleet with a job of one device, and has as many more jobs wait as are asked for. */
export async function fillFleet(store: Store, running: number, waiting: number): Promise<void> {
  const now = new Date();
  const places = (await store.read.observations.all()).flatMap(({ clusterId, report }) =>
    report.nodes.flatMap(({ name: node, devices }) => devices.map(({ id }) => ({ clusterId, node, deviceIds: [id] }))),
  );
  for (let first = 0; first < running; first += INSERT_MAX) {
    const here = places.slice(first, Math.min(first + INSERT_MAX, running));
    const jobs = here.map(() => waitingJob({ ...QUEUED_NOW(now), phase: 'Running', attempts: 1, startedAt: now }));
    const attempts = here.map(({ clusterId, ...device }, index): Attempt => {
      const tasks = [{ rank: 0, clusterId, devices: [device] }];
      return attemptOf(jobs[index]!, { id: v7(), epoch: 0, tasks, phase: 'Running', createdAt: now, startedAt: now });
    });
    await store.transaction(async (rows) => {
      await rows.jobs.insert(jobs);
      await rows.attempts.insert(attempts);
      await rows.deviceHolds.take(
        attempts.map(({ id: holderId, tasks: [task] }) => ({
          ...{ clusterId: task!.clusterId, holderId, devices: task!.devices! },
        })),
      );
    });
  }
  await insertJobs(store, waiting, () => QUEUED_NOW(now));
  for (const observation of await store.read.observations.all()) await report(store, observation, 0);
}

const QUEUED_NOW = (now: Date): Partial<Job> => ({ createdAt: now, queuedAt: now, phaseSince: now });

/** All of the cluster's tasks run, but the oldest so many, which are done. */
async function report(store: Store, { clusterId }: Observation, done: number): Promise<void> {
  const attempts = await store.read.attempts.live({ clusterId });
  const last = (await store.read.observations.find(clusterId))!;
  const tasks = attempts.map((attempt, index) => toTask(attempt, index < done ? 'Succeeded' : 'Running'));
  const told = { ...last.report, sequence: last.report.sequence + 1, tasks };
  await store.transaction((rows) => rows.observations.upsert({ ...last, receivedAt: new Date(), report: told }));
}

function toTask({ id: attemptId, jobId, epoch }: Attempt, phase: TaskReport['phase']): TaskReport {
  const rest = { reason: '', processId: 4_711, ranSeconds: 60, progress: 'step 12 of 400' };
  return { taskId: taskIdOf(attemptId, 0), attemptId, jobId, rank: 0, epoch, phase, ...rest };
}

class Noted extends JobMetrics {
  last: { readonly seconds: number; readonly parts: CycleSeconds } | null = null;
  override cycle(seconds: number, parts: CycleSeconds): void {
    this.last = { seconds, parts };
  }
}

export async function measureCycles(store: Store, epoch: number): Promise<MeasuredCycles> {
  const directory = mkdtempSync(join(tmpdir(), 'atoll-bench-blobs-'));
  try {
    const publisher = new OutputPublisher(await BlobStore.open(directory), { pickleAllowed: false });
    const metrics = new Noted();
    const loop = new JobLoop({ store, epoch, publisher, metrics, serving: () => [], clock: { nowMs: Date.now } });
    const turn = () => oneCycle(loop, metrics);
    const first = await turn();
    const clusters = await store.read.observations.all();
    const taken: { readonly seconds: number; readonly parts: CycleSeconds }[] = [];
    const untilMs = performance.now() + SECONDS_MAX * 1_000;
    for (let count = -WARM_CYCLES; count < CYCLES_MAX && performance.now() < untilMs; count += 1) {
      for (let each = 0; each < REPORTING_CLUSTERS; each += 1) {
        const at = ((count + WARM_CYCLES) * REPORTING_CLUSTERS + each) % clusters.length;
        await report(store, clusters[at]!, SMALL_BATCH / REPORTING_CLUSTERS);
      }
      await insertJobs(store, SMALL_BATCH, () => QUEUED_NOW(new Date()));
      const cycle = await turn();
      if (count >= 0) taken.push(cycle);
    }
    return toMeasured(first.seconds, taken);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function oneCycle(loop: JobLoop, metrics: Noted) {
  await loop.run(new AbortController().signal);
  return metrics.last!;
}

function toMeasured(
  firstSeconds: number,
  cycles: readonly { readonly seconds: number; readonly parts: CycleSeconds }[],
): MeasuredCycles {
  const percentiles = (seconds: readonly number[]): readonly [number, number] => {
    const sorted = [...seconds].sort((left, right) => left - right);
    const at = (share: number) =>
      round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]! * 1_000);
    return [at(0.5), at(0.99)];
  };
  const [p50Ms, p99Ms] = percentiles(cycles.map(({ seconds }) => seconds));
  return {
    cycles: cycles.length,
    p50Ms,
    p99Ms,
    parts: Object.fromEntries(CYCLE_PARTS.map((part) => [part, percentiles(cycles.map(({ parts }) => parts[part]))])),
    firstMs: round(firstSeconds * 1_000),
    rssMB: Math.round(process.resourceUsage().maxRSS / 1_024),
  };
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
