/** Situations of a job as a table names them, and the check of the step that each leads to. */
import { expect } from '@jest/globals';
import { attemptOf, JOBS_NOW, jobOf, jobSpecOf } from '#testing';
import type { TaskFacts } from './attempt-tasks.ts';
import { type JobFacts, type JobStep, stepJob } from './job-lifecycle.ts';
import type { Attempt, Job, JobSpec, StopCause, TaskReport } from './jobs.ts';

export const NOW_MS = JOBS_NOW.getTime() + 1_000_000;
export const DIGEST = 'd'.repeat(64);
const SPEC: Parameters<typeof jobSpecOf>[0] = {
  claim: { deviceType: 'nvidia.com/gpu', count: 4, schedulingPolicy: { topologyScope: 'node' } },
  checkpoint: { mode: 'file', signal: 'SIGUSR1', intervalSeconds: null },
};

type Member = Partial<TaskReport> & {
  readonly cluster?: Partial<TaskFacts['cluster']>;
  /** Not in the newest report of its cluster, which answers the newest document or does not. */
  readonly unreported?: 'settled' | 'not-settled';
};

/** Whatever is named of it, parts of its parts too. */
type Some<T> = T extends Date ? T : T extends object ? { readonly [Name in keyof T]?: Some<T[Name]> } : T;

export interface Case {
  readonly title: string;
  readonly job?: Partial<Job>;
  readonly spec?: Partial<Omit<JobSpec, 'gang'>>;
  /** Absent: no live attempt. */
  readonly attempt?: Partial<Attempt>;
  readonly members?: readonly Member[];
  readonly facts?: Partial<Pick<JobFacts, 'dependencies' | 'isMassUnknown' | 'left'>>;
  /** Null: no step. */
  readonly want: {
    readonly job?: Some<Job>;
    readonly attempt?: Some<Attempt> | null;
    readonly events?: readonly string[];
    readonly ended?: Partial<NonNullable<JobStep['ended']>> | null;
  } | null;
}

function report(rank: number, attempt: Attempt, member: Member): TaskReport {
  const { cluster: _cluster, unreported: _unreported, ...change } = member;
  return {
    taskId: `${attempt.id}-${rank}`,
    attemptId: attempt.id,
    jobId: attempt.jobId,
    rank,
    epoch: attempt.epoch,
    phase: 'Running',
    reason: '',
    ranSeconds: 100,
    ...change,
  };
}

export function factsOf({ job: change, spec, attempt: made, members = [], facts }: Case): JobFacts {
  const job = jobOf({ spec: jobSpecOf({ ...SPEC, ...spec }), attempts: made === undefined ? 0 : 1, ...change });
  const tasks = members.map((_member, rank) => ({ rank, clusterId: `cluster-${rank}`, devices: null }));
  const attempt = made === undefined ? null : attemptOf(job, { id: 'attempt', tasks, ...made });
  return {
    nowMs: NOW_MS,
    job,
    attempt,
    tasks: members.map((member, rank) => ({
      rank,
      cluster: { name: `dc-${rank + 1}`, phase: 'Ready', unknownSeconds: 0, isEmptied: false, ...member.cluster },
      report: member.unreported === undefined ? report(rank, attempt!, member) : null,
      isSettled: member.unreported !== 'not-settled',
    })),
    dependencies: { state: 'ready' },
    isMassUnknown: false,
    ...facts,
  };
}

/** What is wanted is how job and attempt stand after the step. */
export function check(given: Case): void {
  const facts = factsOf(given);
  const step = stepJob(facts);
  if (given.want === null) {
    expect(step).toBeNull();
    return;
  }
  const { events = step!.events.map(({ kind }) => kind), ...want } = given.want;
  const attempt = step!.attempt === null ? null : { ...facts.attempt, ...step!.attempt };
  const after = { ...step!, job: { ...facts.job, ...step!.job }, attempt };
  expect(after).toMatchObject(want);
  expect(step!.events.map(({ kind }) => kind)).toEqual(events);
}

export const stopFor = (cause: StopCause, reason = 'because') => ({
  phase: 'Stopping' as const,
  startedAt: JOBS_NOW,
  stop: { cause, reason, byJobId: null, at: JOBS_NOW },
});
export const running = { phase: 'Running' as const, startedAt: JOBS_NOW };
export const stopped = { phase: 'Stopped', ranSeconds: 100 } as const;
export const saved = (ranSeconds: number, sequence = 1) => ({
  checkpoint: { sequence, manifestDigest: DIGEST, sizeBytes: 10, progress: 'step 9', ranSeconds },
});
export const at = new Date(NOW_MS);
