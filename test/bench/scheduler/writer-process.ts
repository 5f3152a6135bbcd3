/**
 * A leader in a process of its own: `node writer-process.js measure|crash|cycles DATABASE_URL BATCH`.
 *
 * `measure` commits all that waits and prints one {@link MeasuredCommits} as JSON. `crash` goes on for ever, prints an
 * {@link Acknowledged} line after each commit, and is there to be killed. `cycles` prints one {@link MeasuredCycles}.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { openStore, PostgresLeaderLease } from '#store';
import type { AppliedJobs } from '../../../apps/control-plane/src/jobs/apply-jobs.ts';
import { type MeasuredCycles, measureCycles } from './durable-cycle.ts';
import { writeOnce } from './writer.ts';

/** When nothing waits. */
const IDLE_MS = 20;

export interface MeasuredCommits {
  readonly decisions: number;
  /** Over reading, planning and committing. */
  readonly perSecond: number;
  readonly readMs: number;
  readonly planMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly rssMB: number;
}

/** What a caller of the writer was told is done. */
export interface Acknowledged {
  readonly started: readonly { readonly jobId: string; readonly attemptId: string }[];
  readonly stoppedAttemptIds: readonly string[];
}

async function openLeader(url: string) {
  const lease = await new PostgresLeaderLease({ url }).acquire('bench', new AbortController().signal);
  const store = await openStore({ url, poolSize: 4 });
  return { lease, store };
}

async function measure(url: string, batch: number): Promise<MeasuredCommits> {
  const { lease, store } = await openLeader(url);
  const { decisions, readMs, planMs, commitMs, totalMs } = await writeOnce(store, lease.epoch, batch);
  await store.close();
  await lease.release();
  const sorted = [...commitMs].sort((left, right) => left - right);
  const at = (share: number) => round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!);
  return {
    decisions,
    perSecond: Math.round((decisions * 1_000) / totalMs),
    readMs: round(readMs),
    planMs: round(planMs),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    rssMB: Math.round(process.resourceUsage().maxRSS / 1_024),
  };
}

async function leadCycles(url: string): Promise<MeasuredCycles> {
  const { lease, store } = await openLeader(url);
  try {
    return await measureCycles(store, lease.epoch);
  } finally {
    await store.close();
    await lease.release();
  }
}

async function writeUntilKilled(url: string, batch: number): Promise<never> {
  const { lease, store } = await openLeader(url);
  for (;;) {
    const { decisions } = await writeOnce(store, lease.epoch, batch, (applied) => {
      process.stdout.write(`${JSON.stringify(acknowledged(applied))}\n`);
    });
    if (decisions === 0) await pause(IDLE_MS);
  }
}

function acknowledged({ applied, attempts }: AppliedJobs): Acknowledged {
  return {
    started: attempts.map(({ id: attemptId, jobId }) => ({ jobId, attemptId })),
    stoppedAttemptIds: applied.flatMap(({ stops }) => stops.map(({ attempt }) => attempt.id)),
  };
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [mode, url, batch] = process.argv.slice(2) as [string, string, string];
  if (mode === 'crash') await writeUntilKilled(url, Number(batch));
  console.log(JSON.stringify(mode === 'cycles' ? await leadCycles(url) : await measure(url, Number(batch))));
}
