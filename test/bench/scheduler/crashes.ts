/**
 * Kills the leader's process at random points of its commits, again and again, and looks each time whether the rows are
 * still whole: no device with two holders, no job with two live attempts, nothing half-written, nothing lost that was
 * acknowledged. The fleet is full of low jobs from the start; between kills victims end and go back to their queue, some
 * of the rest is done, and new jobs come, so that every leader has work to place and work to stop.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Attempt, AttemptOutcome, Job, Store } from '#domain';
import { jobSpecOf } from '#testing';
import { claimOf, insertJobs } from './durable-fleet.ts';
import type { Acknowledged } from './writer-process.ts';

const BATCH = 8;
const LOW_JOBS = 400;
const JOBS_PER_ROUND = 60;
/** Of what runs, between kills. */
const DONE_SHARE = 0.1;
const KILLED_WITHIN_MS = 300;
const FIRST_COMMIT_WITHIN_MS = 60_000;

const SCRIPT = fileURLToPath(new URL('./writer-process.js', import.meta.url));

export interface CrashReport {
  readonly kills: number;
  /** Starts and stops that were acknowledged before the kills. */
  readonly acknowledged: number;
  readonly stops: number;
  /** Sentences; empty when all is well. */
  readonly violations: readonly string[];
}

/** Everything acknowledged so far, and what has become of it by our own hand. */
class Books {
  readonly started = new Map<string, string>();
  readonly stopped = new Set<string>();
  readonly ended = new Set<string>();

  note({ started, stoppedAttemptIds }: Acknowledged): void {
    for (const { attemptId, jobId } of started) this.started.set(attemptId, jobId);
    for (const id of stoppedAttemptIds) this.stopped.add(id);
  }
}

export async function crashAgainAndAgain(store: Store, url: string, kills: number): Promise<CrashReport> {
  const books = new Books();
  const violations: string[] = [];
  await insertJobs(store, LOW_JOBS, sketchOf(2));
  fillUp(url);
  for (let round = 0; round < kills; round += 1) {
    await insertJobs(store, JOBS_PER_ROUND, sketchOf([5, 8][round % 2]!));
    await killOne(url, books);
    violations.push(...(await violationsOf(store, books)).map((sentence) => `after kill ${round + 1}: ${sentence}`));
    await endSome(store, books);
  }
  const acknowledged = books.started.size + books.stopped.size;
  return { kills, acknowledged, stops: books.stopped.size, violations };
}

function sketchOf(priority: number) {
  return (index: number) => ({ priority, spec: jobSpecOf({ claim: claimOf([1, 2, 3, 8][index % 4]!) }) });
}

function fillUp(url: string): void {
  const child = spawnSync(process.execPath, [SCRIPT, 'measure', url, String(BATCH)], { encoding: 'utf8' });
  if (child.status !== 0) throw new Error(`filling the fleet failed:\n${child.stderr}`);
}

/** At a random moment after its first commit. */
async function killOne(url: string, books: Books): Promise<void> {
  const child = spawn(process.execPath, [SCRIPT, 'crash', url, String(BATCH)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  const isClosed = once(lines, 'close');
  const hasCommitted = once(lines, 'line', { signal: AbortSignal.timeout(FIRST_COMMIT_WITHIN_MS) });
  lines.on('line', (line) => books.note(JSON.parse(line) as Acknowledged));
  try {
    await hasCommitted;
    await pause(Math.random() * KILLED_WITHIN_MS);
  } finally {
    await kill(child);
  }
  await isClosed;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) throw new Error(`the writer ended by itself with code ${child.exitCode}`);
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

async function violationsOf(store: Store, books: Books): Promise<string[]> {
  const [live, jobs, clusters] = await Promise.all([
    store.read.attempts.live(),
    store.read.jobs.active(),
    store.read.clusters.all(),
  ]);
  const holds = await store.read.deviceHolds.ofClusters(clusters.map(({ id }) => id));
  const held = new Map<string, string>();
  const violations: string[] = [];
  for (const attempt of live) {
    for (const device of devicesOf(attempt)) {
      const other = held.get(device);
      if (other !== undefined) violations.push(`${device} has two holders, ${other} and ${attempt.id}`);
      held.set(device, attempt.id);
    }
  }
  const rows = holds.flatMap(({ clusterId, holderId, devices }) =>
    devices.flatMap(({ node, deviceIds }) => deviceIds.map((id) => [`${clusterId} ${node} ${id}`, holderId] as const)),
  );
  for (const [device, holder] of rows) {
    if (held.get(device) !== holder) violations.push(`${device} is held by ${holder}, which no live attempt says`);
  }
  if (rows.length !== held.size) violations.push(`${held.size} devices are in use and ${rows.length} are held`);
  const liveByJob = Map.groupBy(live, ({ jobId }) => jobId);
  for (const { id, phase } of jobs) {
    const count = liveByJob.get(id)?.length ?? 0;
    if (count !== (phase === 'Queued' ? 0 : 1)) violations.push(`job ${id} is ${phase} with ${count} live attempts`);
  }
  return [...violations, ...lostOf(live, books)];
}

function devicesOf({ tasks }: Attempt): string[] {
  return tasks.flatMap(({ clusterId, devices }) =>
    (devices ?? []).flatMap(({ node, deviceIds }) => deviceIds.map((id) => `${clusterId} ${node} ${id}`)),
  );
}

/** What was acknowledged and is not so. */
function lostOf(live: readonly Attempt[], { started, stopped, ended }: Books): string[] {
  const phases = new Map(live.map(({ id, phase }) => [id, phase]));
  const lost = [...started.keys()].filter((id) => !phases.has(id) && !ended.has(id));
  const going = [...stopped].filter((id) => !ended.has(id) && phases.get(id) !== 'Stopping');
  return [
    ...lost.map((id) => `attempt ${id} was acknowledged and is gone`),
    ...going.map((id) => `the stop of ${id} was acknowledged and is gone`),
  ];
}

/** As the lifecycle does when the agents have said so: victims go back to their queue, others are done. */
async function endSome(store: Store, { ended }: Books): Promise<void> {
  const live = await store.read.attempts.live();
  const stopping = live.filter(({ phase }) => phase === 'Stopping');
  const running = live.filter(({ phase }) => phase !== 'Stopping');
  const done = running.slice(0, DONE_SHARE * running.length);
  await end(store, stopping, 'preempted', { phase: 'Queued' });
  await end(store, done, 'succeeded', { phase: 'Succeeded' });
  for (const { id } of [...stopping, ...done]) ended.add(id);
}

async function end(
  store: Store,
  attempts: readonly Attempt[],
  outcome: AttemptOutcome,
  change: Pick<Job, 'phase'>,
): Promise<void> {
  if (attempts.length === 0) return;
  const now = new Date();
  await store.transaction(async (rows) => {
    const jobs = await rows.jobs.lock(attempts.map(({ jobId }) => jobId));
    await rows.attempts.update(attempts.map(({ id }) => ({ id, change: { phase: 'Ended', outcome, endedAt: now } })));
    await rows.jobs.update(jobs.map(({ id, revision }) => ({ id, revision, change })));
  });
}
