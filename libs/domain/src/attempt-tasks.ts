/**
 * How each member of an attempt stands, by what its own cluster says of it and how that cluster itself stands. What a
 * cluster does not say is not taken for anything until its report answers a document that names the member.
 */
import type { ClusterPhase } from './clusters.ts';
import {
  type Attempt,
  type Checkpoint,
  deviceCountOf,
  isTaskEnded,
  type Job,
  lostAfterSecondsOf,
  type SavedState,
  type TaskReport,
} from './jobs.ts';

/**
 * An agent that is out of contact has ended an attempt after `lostAfterSeconds` of silence, grace included, by its own
 * clock. The centre counts from Unknown, which is later, and waits this much longer.
 */
export const LOST_MARGIN_SECONDS = 60;

/** A member's cluster, as far as the member's fate hangs on it. */
export interface ClusterStanding {
  readonly name: string;
  /** `Left` also when there is no such cluster any more. */
  readonly phase: ClusterPhase;
  /** Seconds that it has been Unknown, as this leader watched it; 0 in other phases. */
  readonly unknownSeconds: number;
  /** True: it is being emptied, and what runs there is to go. */
  readonly isEmptied: boolean;
}

export interface TaskFacts {
  readonly rank: number;
  readonly cluster: ClusterStanding;
  /** Of this member, from its own cluster; null: not in its newest report. */
  readonly report: TaskReport | null;
  /** True: that report answers a document that names this member, so that what it leaves out does not run. */
  readonly isSettled: boolean;
}

/**
 * coming, running: it runs, or may. succeeded, failed: it ended by itself, or could not begin. stopped: it was ended.
 * lost: with its cluster.
 */
export type MemberState = 'coming' | 'running' | 'succeeded' | 'failed' | 'stopped' | 'lost';

export interface MemberJudgement {
  readonly rank: number;
  readonly state: MemberState;
  /** One sentence; empty while there is nothing to say. */
  readonly reason: string;
  readonly exitCode: number | null;
  readonly ranSeconds: number;
}

/** In the order of `tasks`. */
export function judgeMembers(
  job: Job,
  attempt: Attempt,
  tasks: readonly TaskFacts[],
  isMassUnknown: boolean,
): MemberJudgement[] {
  return tasks.map((task) => {
    const { rank, report } = task;
    const { state, reason } = judgeMember(job, attempt, task, isMassUnknown);
    const exitCode = state === 'failed' ? (report?.exitCode ?? null) : null;
    return { rank, state, reason, exitCode, ranSeconds: report?.ranSeconds ?? 0 };
  });
}

function judgeMember(
  job: Job,
  attempt: Attempt,
  { rank, cluster, report, isSettled }: TaskFacts,
  isMassUnknown: boolean,
): Pick<MemberJudgement, 'state' | 'reason'> {
  if (report !== null && isTaskEnded(report.phase)) return judgeEnded(report, cluster.name);
  if (cluster.phase === 'Left') return { state: 'lost', reason: `cluster ${cluster.name} left` };
  if (isLost(job, cluster) && !isMassUnknown) {
    const seconds = Math.floor(cluster.unknownSeconds);
    return { state: 'lost', reason: `cluster ${cluster.name} was out of contact for ${seconds} s` };
  }
  if (report !== null) return { state: RUNNING_PHASES.has(report.phase) ? 'running' : 'coming', reason: '' };
  if (!isSettled) return { state: 'coming', reason: '' };
  const reason = `cluster ${cluster.name} does not know of member ${rank}`;
  return { state: attempt.phase === 'Stopping' ? 'stopped' : 'failed', reason };
}

const RUNNING_PHASES: ReadonlySet<TaskReport['phase']> = new Set(['Running', 'Checkpointing', 'Stopping', 'Uploading']);

function judgeEnded({ phase, rank, reason, exitCode }: TaskReport, clusterName: string) {
  if (phase === 'Succeeded') return { state: 'succeeded', reason: '' } as const;
  const why = reason === '' ? '' : `: ${reason}`;
  if (phase === 'Stopped')
    return { state: 'stopped', reason: `member ${rank} was stopped in ${clusterName}${why}` } as const;
  const how = phase === 'Refused' ? 'was refused' : exitCode ? `failed with exit code ${exitCode}` : 'failed';
  return { state: 'failed', reason: `member ${rank} ${how} in ${clusterName}${why}` } as const;
}

function isLost({ spec }: Job, { phase, unknownSeconds }: ClusterStanding): boolean {
  return phase === 'Unknown' && unknownSeconds > lostAfterSecondsOf(spec) + LOST_MARGIN_SECONDS;
}

export function isAlive({ state }: MemberJudgement): boolean {
  return state === 'coming' || state === 'running';
}

/** That of the lowest rank. */
export function firstFailed(members: readonly MemberJudgement[]): MemberJudgement | undefined {
  return members.filter(({ state }) => state === 'failed').sort((left, right) => left.rank - right.rank)[0];
}

/** Seconds that the attempt has run: of the member that ran longest. */
export function ranSecondsOf(members: readonly MemberJudgement[]): number {
  return Math.max(0, ...members.map(({ ranSeconds }) => ranSeconds));
}

/**
 * Whether a checkpoint may become the job's: it is of the job's newest attempt and newer than what the job has of that
 * one. The newest by (attempt, sequence) wins, in whatever order they come.
 */
export function isNewerCheckpoint(
  job: Pick<Job, 'attempts' | 'checkpoint'>,
  attempt: Pick<Attempt, 'id' | 'number'>,
  sequence: number,
): boolean {
  if (attempt.number !== job.attempts) return false;
  const { checkpoint } = job;
  return checkpoint === null || checkpoint.attemptId !== attempt.id || sequence > checkpoint.sequence;
}

/** What a member reported as saved, as the checkpoint of a job that has had this one until now. */
export function checkpointOf(
  attempt: Attempt,
  saved: NonNullable<TaskReport['checkpoint']>,
  nowMs: number,
  had: Checkpoint | null,
): Checkpoint {
  const savedBefore = attempt.resumedFrom?.savedDeviceSeconds ?? 0;
  return {
    attemptId: attempt.id,
    sequence: saved.sequence,
    manifestDigest: saved.manifestDigest,
    sizeBytes: saved.sizeBytes,
    progress: saved.progress,
    savedDeviceSeconds: savedBefore + deviceCountOf(attempt) * saved.ranSeconds,
    at: new Date(nowMs),
    ...(had === null ? {} : { before: alone(had) }),
  };
}

/** Without the one before it: two are kept. */
function alone({ before: _before, ...state }: Checkpoint): SavedState {
  return state;
}

/** The newest checkpoint once what the first member's report tells is counted too; the event of it may come later. */
export function newestCheckpoint(
  job: Job,
  attempt: Attempt,
  tasks: readonly TaskFacts[],
  nowMs: number,
): Checkpoint | null {
  const saved = tasks.find(({ rank }) => rank === 0)?.report?.checkpoint;
  if (saved === undefined || !isNewerCheckpoint(job, attempt, saved.sequence)) return job.checkpoint;
  return checkpointOf(attempt, saved, nowMs, job.checkpoint);
}

export function describeCheckpoint({ sequence, progress }: Pick<SavedState, 'sequence' | 'progress'>): string {
  return progress === '' ? `checkpoint ${sequence}` : `checkpoint ${sequence} (${progress})`;
}

/** Device-seconds that were run and that no checkpoint keeps. */
export function lostDeviceSecondsOf(attempt: Attempt, ranSeconds: number, checkpoint: Checkpoint | null): number {
  const ran = deviceCountOf(attempt) * ranSeconds;
  if (checkpoint?.attemptId !== attempt.id) return ran;
  return Math.max(0, ran - (checkpoint.savedDeviceSeconds - (attempt.resumedFrom?.savedDeviceSeconds ?? 0)));
}
