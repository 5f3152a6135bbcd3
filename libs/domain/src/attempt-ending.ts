/**
 * What becomes of a job when its attempt is over: done, failed for good, tried again, or back in the queue. Preemption,
 * drain, a lost cluster and a lost checkpoint count as nobody's failure; whatever was saved is gone on from.
 */
import {
  describeCheckpoint,
  firstFailed,
  lostDeviceSecondsOf,
  type MemberJudgement,
  newestCheckpoint,
  ranSecondsOf,
  type TaskFacts,
} from './attempt-tasks.ts';
import type { EndedAttempt, JobFacts, JobStep } from './job-lifecycle.ts';
import { type Attempt, type AttemptOutcome, type Checkpoint, deviceCountOf, type Job, type JobPhase } from './jobs.ts';
import type { JobChange } from './ports/jobs.ts';

export const RETRY_BACKOFF_SECONDS_MAX = 3_600;
/**
 * The same command would come to the same end: it ended well and left nothing where its output is required (0), cannot be
 * started (126), is not there (127).
 */
const USELESS_EXIT_CODES: ReadonlySet<number> = new Set([0, 126, 127]);

interface Ending {
  readonly outcome: AttemptOutcome;
  /** How the attempt ended, one sentence. */
  readonly reason: string;
  readonly exitCode: number | null;
  readonly phase: JobPhase;
  /** One word for the event. */
  readonly kind: string;
  readonly job: JobChange;
}

/** All members are over. */
export function endAttempt(facts: JobFacts, attempt: Attempt, members: readonly MemberJudgement[]): JobStep {
  const { nowMs, tasks } = facts;
  const at = new Date(nowMs);
  const checkpoint = facts.left === undefined ? newestCheckpoint(facts.job, attempt, tasks, nowMs) : facts.left;
  const hasSaved = facts.left === undefined && checkpoint?.attemptId === attempt.id;
  const job = { ...facts.job, losses: hasSaved ? 0 : facts.job.losses };
  const ending = judgeEnding({ ...facts, job }, attempt, members, checkpoint !== null);
  const ranSeconds = ranSecondsOf(members);
  const lost = ending.outcome === 'succeeded' ? 0 : lostDeviceSecondsOf(attempt, ranSeconds, checkpoint);
  const used = (deviceCountOf(attempt) * Math.max(0, nowMs - attempt.createdAt.getTime())) / 1_000;
  const { outcome, exitCode, reason, phase } = ending;
  return {
    job: {
      phase,
      reason,
      checkpoint,
      startedAt: job.startedAt ?? (ranSeconds > 0 ? at : null),
      endedAt: phase === 'Queued' || phase === 'Suspended' ? null : at,
      ranSeconds: job.ranSeconds + ranSeconds,
      usedDeviceSeconds: job.usedDeviceSeconds + used,
      lostDeviceSeconds: job.lostDeviceSeconds + lost,
      losses: job.losses,
      ...ending.job,
    },
    attempt: { phase: 'Ended', outcome, exitCode, reason, lostDeviceSeconds: lost, endedAt: at },
    events: [{ kind: ending.kind, message: `attempt ${attempt.number}: ${reason}` }],
    ended: {
      usedDeviceSeconds: used,
      lostDeviceSeconds: lost,
      failedToStartIn: attempt.startedAt === null && facts.left === undefined ? failedIn(attempt, members) : [],
    } satisfies EndedAttempt,
  };
}

function failedIn({ tasks }: Attempt, members: readonly MemberJudgement[]): string[] {
  const failed = new Set(members.filter(({ state }) => state === 'failed').map(({ rank }) => rank));
  return [...new Set(tasks.filter(({ rank }) => failed.has(rank)).map(({ clusterId }) => clusterId))];
}

function judgeEnding(facts: JobFacts, attempt: Attempt, members: readonly MemberJudgement[], isSaved: boolean): Ending {
  const { job } = facts;
  const exitCode = attempt.exitCode ?? firstFailed(members)?.exitCode ?? null;
  if (members.every(({ state }) => state === 'succeeded')) return succeed(job, facts.tasks);
  if (job.cancelRequestedAt !== null) {
    return ending('cancelled', 'Cancelled', 'Cancelled', 'cancelled on request', exitCode);
  }
  const cause = attempt.stop?.cause ?? 'gang-member-lost';
  const why = attempt.stop?.reason ?? whyOver(members);
  switch (cause) {
    case 'gang-member-lost':
      return endByMember(facts, attempt, members, why, exitCode);
    case 'deadline':
      return ending('failed', 'Failed', 'Failed', why, exitCode);
    case 'cancelled':
      return ending('cancelled', 'Cancelled', 'Cancelled', why, exitCode);
    case 'suspended':
      return requeue(job, 'suspended', job.suspended ? 'Suspended' : 'Requeued', why, isSaved);
    case 'drained':
      return requeue(job, 'preempted', 'Requeued', why, isSaved);
    case 'preempted': {
      const preempted = requeue(job, 'preempted', 'Preempted', why, isSaved);
      return { ...preempted, job: { ...preempted.job, preemptions: job.preemptions + 1 } };
    }
  }
}

/** Why an attempt is over that nobody stopped. */
function whyOver(members: readonly MemberJudgement[]): string {
  const gone = firstFailed(members) ?? members.find(({ state }) => state !== 'succeeded');
  return gone!.reason;
}

function succeed(job: Job, tasks: readonly TaskFacts[]): Ending {
  const outputDigest = outputOf(tasks);
  if (outputDigest === null && job.spec.output.required) {
    return ending('failed', 'Failed', 'Failed', 'it ended without output, and output is required', null);
  }
  const words = outputDigest === null ? 'it succeeded' : 'it succeeded and left its output';
  return { ...ending('succeeded', 'Succeeded', 'Succeeded', words, null), job: { outputDigest } };
}

/** That of the lowest rank that has one. */
function outputOf(tasks: readonly TaskFacts[]): string | null {
  const inOrder = [...tasks].sort((left, right) => left.rank - right.rank);
  return inOrder.find(({ report }) => report?.outputDigest !== undefined)?.report?.outputDigest ?? null;
}

/** A member failed, or was lost, or was ended by its agent, and the others were ended for it. */
function endByMember(
  { job, nowMs, left }: JobFacts,
  attempt: Attempt,
  members: readonly MemberJudgement[],
  why: string,
  exitCode: number | null,
): Ending {
  if (left !== undefined) return goOnFrom(left, job, nowMs, why);
  const isFailure = attempt.exitCode !== null || firstFailed(members) !== undefined;
  if (isFailure) return retryOrFail(job, nowMs, why, exitCode);
  return goOnAfterLoss(
    job,
    nowMs,
    why,
    members.some(({ state }) => state === 'lost'),
  );
}

/**
 * Nobody's failure, so it costs no try; but whatever ends one attempt after another before anything was saved is waited
 * for longer each time, and said. What its agent ended by itself it may end at once again; a cluster that is lost runs
 * nothing for a while, and another one may.
 */
function goOnAfterLoss(job: Job, nowMs: number, why: string, isClusterLost: boolean): Ending {
  const losses = job.losses + 1;
  const waits = isClusterLost ? losses - 1 : losses;
  if (waits === 0) return { ...requeue(job, 'lost', 'Lost', why, true), job: { losses } };
  const seconds = backoffSeconds(job.spec.retry.backoffSeconds, waits);
  const again = `; lost ${losses} times since anything was saved; tried again in ${seconds} s`;
  const words = losses === 1 ? why : `${why.replace(/\.$/, '')}${again}`;
  const retryAt = new Date(nowMs + seconds * 1_000);
  return { ...requeue(job, 'lost', 'Lost', words, true), job: { losses, retryAt } };
}

/** Nobody's failure, and it ends: each time there is one checkpoint less to go on from. */
function goOnFrom(left: Checkpoint | null, job: Job, nowMs: number, why: string): Ending {
  const from = left === null ? 'begins anew' : `goes on from ${describeCheckpoint(left)}`;
  const words = ending('lost', waitingPhase(job), 'CheckpointLost', `${why.replace(/\.$/, '')}; it ${from}`, null);
  return { ...words, job: { retryAt: new Date(nowMs + job.spec.retry.backoffSeconds * 1_000) } };
}

function retryOrFail(job: Job, nowMs: number, why: string, exitCode: number | null): Ending {
  const { limit, exitCodes } = job.spec.retry;
  const failures = job.failures + 1;
  const fault = why.replace(/\.$/, '');
  const isWorthIt = exitCode === null || (exitCodes?.includes(exitCode) ?? !USELESS_EXIT_CODES.has(exitCode));
  if (!isWorthIt || failures > limit) {
    const end = isWorthIt ? `; that was try ${failures} of ${limit + 1}` : '; that is not worth a retry';
    return {
      ...ending('failed', 'Failed', 'Failed', limit === 0 ? why : `${fault}${end}`, exitCode),
      job: { failures },
    };
  }
  const seconds = backoffSeconds(job.spec.retry.backoffSeconds, failures);
  const reason = `${fault}; tried again in ${seconds} s (${failures} of ${limit} retries)`;
  const retryAt = new Date(nowMs + seconds * 1_000);
  return { ...ending('failed', waitingPhase(job), 'Retried', reason, exitCode), job: { failures, retryAt } };
}

/** What went wrong, of the reason of a job that is tried again. */
export function faultOf(reason: string): string {
  return reason.replace(/; tried again in \d+ s(?: \(\d+ of \d+ retries\))?$/, '').replace(/\.$/, '');
}

/** Doubled with each failure. */
export function backoffSeconds(first: number, failures: number): number {
  return Math.min(RETRY_BACKOFF_SECONDS_MAX, first * 2 ** Math.min(failures - 1, 30));
}

function requeue(job: Job, outcome: AttemptOutcome, kind: string, why: string, isSaved: boolean): Ending {
  const from = job.spec.checkpoint.mode !== 'none' && !isSaved ? '; nothing was saved' : '';
  return ending(outcome, waitingPhase(job), kind, `${why}${from}`, null);
}

function waitingPhase({ suspended }: Job): JobPhase {
  return suspended ? 'Suspended' : 'Queued';
}

function ending(
  outcome: AttemptOutcome,
  phase: JobPhase,
  kind: string,
  reason: string,
  exitCode: number | null,
): Ending {
  return { outcome, phase, kind, reason, exitCode, job: {} };
}

/** Of a job that does not run. */
export function finishWithoutAttempt(facts: JobFacts, phase: 'Cancelled' | 'Failed', reason: string): JobStep {
  return {
    job: { phase, reason, nomination: null, endedAt: new Date(facts.nowMs) },
    attempt: null,
    events: [{ kind: phase, message: reason }],
    ended: null,
  };
}
