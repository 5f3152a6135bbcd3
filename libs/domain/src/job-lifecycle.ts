/**
 * What becomes of a job next: its intent, its live attempt and what the clusters say of its tasks in, one step out.
 *
 * Invariants: a job has at most one attempt that is not Ended, and a new one is made only when there is none; an attempt
 * ends only when every member is known not to run: it said so, its cluster left, its report answers a document that names
 * the member and leaves it out, or its cluster was silent so long that its agent has ended it by its own clock
 * (DESIGN §7.4). The same facts give the same step, and a step that was taken gives none: what comes twice or late
 * changes nothing. Who commits steps, and starts attempts, is the leader's.
 */
import { endAttempt, finishWithoutAttempt } from './attempt-ending.ts';
import {
  describeCheckpoint,
  firstFailed,
  isAlive,
  judgeMembers,
  type MemberJudgement,
  type TaskFacts,
} from './attempt-tasks.ts';
import { type Attempt, type Checkpoint, isFinal, type Job, type StopCause, type StopRequest } from './jobs.ts';
import type { AttemptChange, JobChange } from './ports/jobs.ts';

/** How the jobs that a job waits for stand. */
export type DependencyStanding =
  | { readonly state: 'ready' }
  | { readonly state: 'waiting'; readonly reason: string }
  | { readonly state: 'cancel'; readonly reason: string };

export interface JobFacts {
  /** Unix milliseconds. */
  readonly nowMs: number;
  readonly job: Job;
  /** The one that is not Ended; null when there is none. */
  readonly attempt: Attempt | null;
  /** One for each task of the attempt. */
  readonly tasks: readonly TaskFacts[];
  readonly dependencies: DependencyStanding;
  /** True: so many clusters are Unknown that the fault is taken for ours, and nothing counts as lost (X05). */
  readonly isMassUnknown: boolean;
  /**
   * Set where the checkpoint that the attempt was to resume from turned out to be lost: what is left instead, null for
   * nothing.
   */
  readonly left?: Checkpoint | null;
}

export interface StepEvent {
  /** One word, as `JobEvent.kind`. */
  readonly kind: string;
  /** One sentence. */
  readonly message: string;
}

/** Committed whole: the job with its attempt. */
export interface JobStep {
  readonly job: JobChange;
  readonly attempt: AttemptChange | null;
  readonly events: readonly StepEvent[];
  /** Set when the attempt ended: what is charged, and where it should not be tried again for now. */
  readonly ended: EndedAttempt | null;
}

export interface EndedAttempt {
  /** Held devices × seconds, from the assignment to now. */
  readonly usedDeviceSeconds: number;
  readonly lostDeviceSeconds: number;
  /** Clusters in which a member failed before all of them ran. */
  readonly failedToStartIn: readonly string[];
}

/** The next step, or null when nothing is to be done. */
export function stepJob(facts: JobFacts): JobStep | null {
  if (isFinal(facts.job.phase)) return null;
  if (facts.attempt === null) return stepWithoutAttempt(facts);
  const members = judgeMembers(facts.job, facts.attempt, facts.tasks, facts.isMassUnknown);

  // 1 What is over, is over: also when it was to be stopped.
  if (!members.some(isAlive)) return endAttempt(facts, facts.attempt, members);

  // 2 Once it is to stop, only an operator's word changes how; the agents do the rest.
  if (facts.attempt.phase === 'Stopping') return escalate(facts, facts.attempt);

  // 3 A gang does not go on without a member, nor against intent, deadline or drain.
  const stop = stopForMembers(facts, members) ?? stopForIntent(facts, members);
  if (stop !== null) return beginStop(stop, firstFailed(members)?.exitCode ?? null);

  // 4 It runs once all of its members do.
  const runs = members.every(({ state }) => state === 'running' || state === 'succeeded');
  return runs && facts.attempt.phase === 'Assigned' ? beginRunning(facts, facts.attempt) : null;
}

function stepWithoutAttempt(facts: JobFacts): JobStep | null {
  const { job, nowMs } = facts;
  if (job.cancelRequestedAt !== null) return finishWithoutAttempt(facts, 'Cancelled', 'cancelled on request');
  const overdue = overdueReason(facts);
  if (overdue !== null) return finishWithoutAttempt(facts, 'Failed', overdue);
  if (job.suspended) return job.phase === 'Suspended' ? null : suspend();
  if (job.phase === 'Queued') return null;
  if (job.phase !== 'Waiting' && job.queuedAt !== null) return queue(job, nowMs);
  return stepDependencies(facts);
}

function suspend(): JobStep {
  const reason = 'suspended on request';
  return plainStep({ phase: 'Suspended', reason, nomination: null }, { kind: 'Suspended', message: reason });
}

/** Back from Suspended. The time in which it could not run does not count for one that never ran. */
function queue({ phase, startedAt, queuedAt }: Job, nowMs: number): JobStep {
  const since = startedAt === null ? new Date(nowMs) : queuedAt;
  const why = phase === 'Suspended' ? 'resumed on request' : 'its attempt is gone';
  const reason = `${why}; waits for room`;
  return plainStep({ phase: 'Queued', reason, queuedAt: since }, { kind: 'Queued', message: reason });
}

function stepDependencies({ job, nowMs, dependencies }: JobFacts): JobStep | null {
  if (dependencies.state === 'cancel') {
    const { reason } = dependencies;
    const change: JobChange = { phase: 'Cancelled', reason, endedAt: new Date(nowMs) };
    return plainStep(change, { kind: 'Cancelled', message: reason });
  }
  if (dependencies.state === 'waiting') {
    const { reason } = dependencies;
    if (job.phase === 'Waiting' && job.reason === reason) return null;
    return { ...plainStep({ phase: 'Waiting', reason }), events: [] };
  }
  const reason = job.dependsOn.length === 0 ? 'waits for room' : 'what it depends on is done; waits for room';
  return plainStep({ phase: 'Queued', reason, queuedAt: new Date(nowMs) }, { kind: 'Queued', message: reason });
}

/** Why a job that does not run must no longer wait, or null. The start deadline does not count while it is suspended. */
function overdueReason({ job, nowMs }: JobFacts): string | null {
  const { startDeadlineSeconds: start, runDeadlineSeconds: run } = job.spec;
  if (run !== null && job.ranSeconds >= run) return `it ran for its ${run} s and was not done`;
  if (start === null || job.suspended || job.startedAt !== null || job.queuedAt === null) return null;
  if (nowMs - job.queuedAt.getTime() <= start * 1_000) return null;
  return `it found no room within its ${start} s`;
}

/** G04: a gang that lost a member cannot go on; what is left of it is ended before it is tried again. */
function stopForMembers(facts: JobFacts, members: readonly MemberJudgement[]): StopRequest | null {
  const gone = firstFailed(members) ?? members.find(({ state }) => state === 'lost' || state === 'stopped');
  return gone === undefined ? null : stopRequest(facts, 'gang-member-lost', gone.reason);
}

function stopForIntent(facts: JobFacts, members: readonly MemberJudgement[]): StopRequest | null {
  const { job, tasks } = facts;
  if (job.cancelRequestedAt !== null) return stopRequest(facts, 'cancelled', 'cancelled on request');
  if (job.suspended) return stopRequest(facts, 'suspended', 'suspended on request');
  const { runDeadlineSeconds: most } = job.spec;
  const ranSeconds = job.ranSeconds + Math.max(0, ...members.map((member) => member.ranSeconds));
  if (most !== null && ranSeconds >= most) {
    return stopRequest(facts, 'deadline', `it ran for its ${most} s and was not done`);
  }
  const drained = tasks.find(({ cluster }) => cluster.isEmptied);
  if (drained === undefined) return null;
  return stopRequest(facts, 'drained', `cluster ${drained.cluster.name} is being drained`);
}

function stopRequest({ nowMs }: JobFacts, cause: StopCause, reason: string): StopRequest {
  return { cause, reason, byJobId: null, at: new Date(nowMs) };
}

function beginStop(stop: StopRequest, exitCode: number | null): JobStep {
  const attempt: AttemptChange = { phase: 'Stopping', stop, ...(exitCode === null ? {} : { exitCode }) };
  const job: JobChange = { phase: 'Stopping', reason: stop.reason };
  return { job, attempt, events: [{ kind: 'Stopping', message: stop.reason }], ended: null };
}

/** Who cancels does not wait for the checkpoint of another cause. */
function escalate(facts: JobFacts, { stop }: Attempt): JobStep | null {
  if (facts.job.cancelRequestedAt === null || stop?.cause === 'cancelled') return null;
  return beginStop(stopRequest(facts, 'cancelled', 'cancelled on request'), null);
}

function beginRunning({ job, nowMs, tasks }: JobFacts, attempt: Attempt): JobStep {
  const at = new Date(nowMs);
  const where = [...new Set(tasks.map(({ cluster }) => cluster.name))].sort().join(', ');
  const from = attempt.resumedFrom === null ? '' : `, resumed from ${describeCheckpoint(attempt.resumedFrom)}`;
  const reason = `running in ${where}${from}`;
  return {
    job: { phase: 'Running', reason, startedAt: job.startedAt ?? at },
    attempt: { phase: 'Running', startedAt: at },
    events: [{ kind: 'Started', message: `attempt ${attempt.number} is ${reason}` }],
    ended: null,
  };
}

function plainStep(job: JobChange, ...events: StepEvent[]): JobStep {
  return { job, attempt: null, events, ended: null };
}
