/** Situations and the step that each leads to: phases, causes, counts, accounts. Long, because it is one table. */
import { describe, expect, it } from '@jest/globals';
import { attemptOf, checkpointOf, JOBS_NOW, jobOf, jobSpecOf } from '#testing';
import { LOST_MARGIN_SECONDS, type TaskFacts } from './attempt-tasks.ts';
import { type JobFacts, type JobStep, stepJob } from './job-lifecycle.ts';
import type { Attempt, Job, JobSpec, StopCause, TaskReport } from './jobs.ts';

const NOW_MS = JOBS_NOW.getTime() + 1_000_000;
const DIGEST = 'd'.repeat(64);
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

interface Case {
  readonly title: string;
  readonly job?: Partial<Job>;
  readonly spec?: Partial<Omit<JobSpec, 'gang'>>;
  /** Absent: no live attempt. */
  readonly attempt?: Partial<Attempt>;
  readonly members?: readonly Member[];
  readonly facts?: Partial<Pick<JobFacts, 'dependencies' | 'isMassUnknown'>>;
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

function factsOf({ job: change, spec, attempt: made, members = [], facts }: Case): JobFacts {
  const job = jobOf({ spec: jobSpecOf({ ...SPEC, ...spec }), attempts: made === undefined ? 0 : 1, ...change });
  const tasks = members.map((_member, rank) => ({ rank, clusterId: `cluster-${rank}`, devices: null }));
  const attempt = made === undefined ? null : attemptOf(job, { id: 'attempt', tasks, ...made });
  return {
    nowMs: NOW_MS,
    job,
    attempt,
    tasks: members.map((member, rank) => ({
      rank,
      cluster: { name: `dc-${rank + 1}`, phase: 'Ready', unknownSeconds: 0, ...member.cluster },
      report: member.unreported === undefined ? report(rank, attempt!, member) : null,
      isSettled: member.unreported !== 'not-settled',
    })),
    dependencies: { state: 'ready' },
    isMassUnknown: false,
    ...facts,
  };
}

/** What is wanted is how job and attempt stand after the step. */
function check(given: Case): void {
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

const stopFor = (cause: StopCause, reason = 'because') => ({
  phase: 'Stopping' as const,
  startedAt: JOBS_NOW,
  stop: { cause, reason, byJobId: null, at: JOBS_NOW },
});
const running = { phase: 'Running' as const, startedAt: JOBS_NOW };
const stopped = { phase: 'Stopped', ranSeconds: 100 } as const;
const saved = (ranSeconds: number, sequence = 1) => ({
  checkpoint: { sequence, manifestDigest: DIGEST, sizeBytes: 10, progress: 'step 9', ranSeconds },
});
const at = new Date(NOW_MS);

describe('without an attempt', () => {
  it.each<Case>([
    {
      title: 'D01 waits for what it depends on, and says for what',
      job: { phase: 'Waiting', queuedAt: null, reason: '' },
      facts: { dependencies: { state: 'waiting', reason: 'waits for job prepare' } },
      want: { job: { phase: 'Waiting', reason: 'waits for job prepare' }, events: [] },
    },
    {
      title: 'D01 says so once',
      job: { phase: 'Waiting', queuedAt: null, reason: 'waits for job prepare' },
      facts: { dependencies: { state: 'waiting', reason: 'waits for job prepare' } },
      want: null,
    },
    {
      title: 'D01 is queued once that succeeded; ageing counts from then',
      job: { phase: 'Waiting', queuedAt: null, dependsOn: [{ jobId: 'prepare', when: 'success' }] },
      want: {
        job: { phase: 'Queued', queuedAt: at, reason: 'what it depends on is done; waits for room' },
        events: ['Queued'],
      },
    },
    {
      title: 'D02 is cancelled with the reason when that failed',
      job: { phase: 'Waiting', queuedAt: null },
      facts: { dependencies: { state: 'cancel', reason: 'job prepare failed' } },
      want: { job: { phase: 'Cancelled', reason: 'job prepare failed', endedAt: at }, events: ['Cancelled'] },
    },
    { title: 'queued: room is the scheduler’s matter', want: null },
    {
      title: 'cancelled while it waits in the queue',
      job: { cancelRequestedAt: JOBS_NOW },
      want: { job: { phase: 'Cancelled', nomination: null, endedAt: at }, attempt: null, events: ['Cancelled'] },
    },
    {
      title: 'suspended while it waits in the queue: what was held for it is let go',
      job: { suspended: true },
      want: { job: { phase: 'Suspended', nomination: null }, events: ['Suspended'] },
    },
    { title: 'suspended twice is suspended', job: { phase: 'Suspended', suspended: true }, want: null },
    {
      title: 'resumed before it ever ran: the pause does not age it',
      job: { phase: 'Suspended' },
      want: { job: { phase: 'Queued', queuedAt: at }, events: ['Queued'] },
    },
    {
      title: 'resumed after it ran: it keeps its place',
      job: { phase: 'Suspended', startedAt: JOBS_NOW },
      want: { job: { phase: 'Queued', queuedAt: JOBS_NOW } },
    },
    {
      title: 'resumed while its dependencies are not done',
      job: { phase: 'Suspended', queuedAt: null },
      facts: { dependencies: { state: 'waiting', reason: 'waits for job prepare' } },
      want: { job: { phase: 'Waiting' } },
    },
    {
      title: 'cancelled while suspended',
      job: { phase: 'Suspended', suspended: true, cancelRequestedAt: JOBS_NOW },
      want: { job: { phase: 'Cancelled' } },
    },
    {
      title: 'no room within its start deadline',
      spec: { startDeadlineSeconds: 999 },
      want: { job: { phase: 'Failed', reason: 'it found no room within its 999 s', endedAt: at }, events: ['Failed'] },
    },
    { title: 'still within its start deadline', spec: { startDeadlineSeconds: 1_000 }, want: null },
    {
      title: 'a start deadline is for the first start only',
      spec: { startDeadlineSeconds: 10 },
      job: { startedAt: JOBS_NOW },
      want: null,
    },
    {
      title: 'preempted when its run deadline was over',
      spec: { runDeadlineSeconds: 50 },
      job: { ranSeconds: 50, startedAt: JOBS_NOW },
      want: { job: { phase: 'Failed', reason: 'it ran for its 50 s and was not done' } },
    },
    { title: 'what succeeded stays so', job: { phase: 'Succeeded', cancelRequestedAt: JOBS_NOW }, want: null },
    {
      title: 'a phase that needs an attempt which is gone heals',
      job: { phase: 'Running', startedAt: JOBS_NOW },
      want: { job: { phase: 'Queued', reason: 'its attempt is gone; waits for room' } },
    },
  ])('$title', check);
});

describe('with an attempt', () => {
  it.each<Case>([
    {
      title: 'X03 nothing heard yet: it is on its way',
      job: { phase: 'Starting' },
      attempt: {},
      members: [{ unreported: 'not-settled' }],
      want: null,
    },
    {
      title: 'a gang is not running before its last member is',
      job: { phase: 'Starting' },
      attempt: {},
      members: [{}, { phase: 'Fetching' }],
      want: null,
    },
    {
      title: 'runs once all members run',
      job: { phase: 'Starting' },
      attempt: {},
      members: [{}, { phase: 'Succeeded' }],
      want: {
        job: { phase: 'Running', reason: 'running in dc-1, dc-2', startedAt: at },
        attempt: { phase: 'Running', startedAt: at },
        events: ['Started'],
      },
    },
    {
      title: 'a later attempt says what it resumed from, and keeps the first start',
      job: { phase: 'Starting', startedAt: JOBS_NOW },
      attempt: { resumedFrom: checkpointOf({ sequence: 3, progress: 'step 40' }) },
      members: [{}],
      want: { job: { reason: 'running in dc-1, resumed from checkpoint 3 (step 40)', startedAt: JOBS_NOW } },
    },
    { title: 'goes on', job: { phase: 'Running' }, attempt: running, members: [{}], want: null },
    {
      title: 'all ended well: succeeded with the output of the lowest rank',
      job: { phase: 'Running' },
      attempt: running,
      members: [{ phase: 'Succeeded' }, { phase: 'Succeeded', outputDigest: DIGEST, ranSeconds: 120 }],
      want: {
        job: {
          phase: 'Succeeded',
          outputDigest: DIGEST,
          endedAt: at,
          ranSeconds: 120,
          usedDeviceSeconds: 8_000,
          lostDeviceSeconds: 0,
        },
        attempt: { phase: 'Ended', outcome: 'succeeded', lostDeviceSeconds: 0, endedAt: at },
        events: ['Succeeded'],
        ended: { usedDeviceSeconds: 8_000, lostDeviceSeconds: 0, failedToStartIn: [] },
      },
    },
    {
      title: 'output missing at the end',
      job: { phase: 'Running' },
      spec: { output: { required: true, publish: null } },
      attempt: running,
      members: [{ phase: 'Succeeded' }],
      want: {
        job: { phase: 'Failed', reason: 'it ended without output, and output is required', endedAt: at },
        attempt: { outcome: 'failed' },
      },
    },
    {
      title: 'failed: tried again after the backoff, from what was saved',
      job: { phase: 'Running', failures: 1 },
      attempt: running,
      members: [{ phase: 'Failed', exitCode: 3, reason: 'no such file.', ...saved(60) }],
      want: {
        job: {
          phase: 'Queued',
          failures: 2,
          retryAt: new Date(NOW_MS + 20_000),
          reason: 'member 0 failed with exit code 3 in dc-1: no such file; tried again in 20 s (2 of 3 retries)',
          endedAt: null,
          checkpoint: checkpointOf({
            attemptId: 'attempt',
            manifestDigest: DIGEST,
            sizeBytes: 10,
            progress: 'step 9',
            savedDeviceSeconds: 240,
            at,
          }),
          lostDeviceSeconds: 160,
        },
        attempt: { phase: 'Ended', outcome: 'failed', exitCode: 3, lostDeviceSeconds: 160 },
        events: ['Retried'],
      },
    },
    {
      title: 'failed more often than its limit',
      job: { phase: 'Running', failures: 3 },
      attempt: running,
      members: [{ phase: 'Failed', exitCode: 1 }],
      want: {
        job: {
          phase: 'Failed',
          failures: 4,
          endedAt: at,
          reason: 'member 0 failed with exit code 1 in dc-1; that was try 4 of 4',
        },
      },
    },
    {
      title: 'a command that is not there is not tried again',
      job: { phase: 'Starting' },
      attempt: {},
      members: [{ phase: 'Failed', exitCode: 127, reason: 'no such command' }],
      want: { job: { phase: 'Failed', failures: 1 }, attempt: { exitCode: 127 } },
    },
    {
      title: 'an exit code that its policy does not name is not tried again',
      job: { phase: 'Running' },
      spec: { retry: { limit: 3, backoffSeconds: 10, exitCodes: [75] } },
      attempt: running,
      members: [{ phase: 'Failed', exitCode: 1 }],
      want: { job: { phase: 'Failed' } },
    },
    {
      title: 'an exit code that its policy names is; the backoff ends at an hour',
      job: { phase: 'Running', failures: 30 },
      spec: { retry: { limit: 100, backoffSeconds: 10, exitCodes: [75] } },
      attempt: running,
      members: [{ phase: 'Failed', exitCode: 75 }],
      want: { job: { phase: 'Queued', retryAt: new Date(NOW_MS + 3_600_000) } },
    },
    {
      title: 'refused by its agent: a failed start, not tried there at once',
      job: { phase: 'Starting' },
      attempt: {},
      members: [{ phase: 'Refused', reason: 'the device is gone', ranSeconds: 0 }],
      want: {
        job: { phase: 'Queued', failures: 1, startedAt: null },
        attempt: { outcome: 'failed' },
        ended: { failedToStartIn: ['cluster-0'] },
      },
    },
    {
      title: 'its agent has the document and knows nothing of it',
      job: { phase: 'Running' },
      attempt: running,
      members: [{ unreported: 'settled' }],
      want: { job: { phase: 'Queued', failures: 1 }, ended: { failedToStartIn: [] } },
    },
    {
      title: 'ended by its agent, which was out of contact: again, without counting a failure',
      job: { phase: 'Running' },
      attempt: running,
      members: [{ ...stopped, reason: 'no contact for 300 s', ...saved(100) }],
      want: {
        job: { phase: 'Queued', failures: 0, preemptions: 0, retryAt: new Date(NOW_MS + 10_000), lostDeviceSeconds: 0 },
        attempt: { outcome: 'lost' },
        events: ['Lost'],
      },
    },
    {
      title: 'G04 a member failed: the others are ended too',
      job: { phase: 'Running' },
      attempt: running,
      members: [{}, { phase: 'Failed', exitCode: 9 }, { phase: 'Stopping' }],
      want: {
        job: { phase: 'Stopping', reason: 'member 1 failed with exit code 9 in dc-2' },
        attempt: { phase: 'Stopping', exitCode: 9, stop: { cause: 'gang-member-lost', byJobId: null } },
        events: ['Stopping'],
        ended: null,
      },
    },
    {
      title: 'the others have ended: the failure counts, and the first exit code is kept',
      job: { phase: 'Stopping' },
      attempt: { ...stopFor('gang-member-lost', 'member 1 failed'), exitCode: 9 },
      members: [stopped, { phase: 'Failed', exitCode: 9 }, { phase: 'Failed', exitCode: 143 }],
      want: { job: { phase: 'Queued', failures: 1 }, attempt: { outcome: 'failed', exitCode: 9 } },
    },
    {
      title: 'one member’s cluster left: the others are ended, and it is lost, not failed',
      job: { phase: 'Stopping' },
      attempt: stopFor('gang-member-lost', 'cluster dc-2 left'),
      members: [stopped, { cluster: { phase: 'Left' } }],
      want: { job: { phase: 'Queued', failures: 0, reason: 'cluster dc-2 left' }, attempt: { outcome: 'lost' } },
    },
    {
      title: 'cancelled while it runs',
      job: { phase: 'Running', cancelRequestedAt: JOBS_NOW },
      attempt: running,
      members: [{}],
      want: { job: { phase: 'Stopping' }, attempt: { phase: 'Stopping', stop: { cause: 'cancelled' } } },
    },
    {
      title: 'cancelled while it is preempted: the grace of the other cause is not waited for',
      job: { phase: 'Stopping', cancelRequestedAt: JOBS_NOW },
      attempt: stopFor('preempted'),
      members: [{ phase: 'Checkpointing' }],
      want: { attempt: { stop: { cause: 'cancelled' } } },
    },
    {
      title: 'cancelled once is cancelled',
      job: { phase: 'Stopping', cancelRequestedAt: JOBS_NOW },
      attempt: stopFor('cancelled'),
      members: [{ phase: 'Stopping' }],
      want: null,
    },
    {
      title: 'cancelled and over',
      job: { phase: 'Stopping', cancelRequestedAt: JOBS_NOW },
      attempt: stopFor('cancelled'),
      members: [stopped],
      want: { job: { phase: 'Cancelled', endedAt: at }, attempt: { outcome: 'cancelled' }, events: ['Cancelled'] },
    },
    {
      title: 'suspended while it runs, then over',
      job: { phase: 'Stopping', suspended: true },
      attempt: stopFor('suspended'),
      members: [{ ...stopped, ...saved(90) }],
      want: {
        job: { phase: 'Suspended', endedAt: null, lostDeviceSeconds: 40 },
        attempt: { outcome: 'suspended' },
        events: ['Suspended'],
      },
    },
    {
      title: 'resumed before it was over',
      job: { phase: 'Stopping', suspended: false },
      attempt: stopFor('suspended'),
      members: [stopped],
      want: { job: { phase: 'Queued' } },
    },
    {
      title: 'its run deadline ends it',
      job: { phase: 'Running', ranSeconds: 50 },
      spec: { runDeadlineSeconds: 150 },
      attempt: running,
      members: [{ ranSeconds: 100 }],
      want: { attempt: { stop: { cause: 'deadline', reason: 'it ran for its 150 s and was not done' } } },
    },
    {
      title: 'ended by its deadline is failed, without a retry',
      job: { phase: 'Stopping' },
      attempt: stopFor('deadline'),
      members: [stopped],
      want: { job: { phase: 'Failed', failures: 0 }, attempt: { outcome: 'failed' } },
    },
    {
      title: 'its cluster is drained: it saves and goes elsewhere',
      job: { phase: 'Running' },
      attempt: running,
      members: [{ cluster: { phase: 'Draining' } }],
      want: { attempt: { stop: { cause: 'drained', reason: 'cluster dc-1 is being drained' } } },
    },
    {
      title: 'drained is no preemption',
      job: { phase: 'Stopping' },
      attempt: stopFor('drained'),
      members: [stopped],
      want: { job: { phase: 'Queued', preemptions: 0 } },
    },
    {
      title: 'preempted: back in the queue, counted, with what it lost',
      job: { phase: 'Stopping', preemptions: 2, lostDeviceSeconds: 5 },
      attempt: stopFor('preempted', 'preempted by job big (priority 8 over 2)'),
      members: [{ ...stopped, ...saved(75, 4) }],
      want: {
        job: {
          phase: 'Queued',
          preemptions: 3,
          failures: 0,
          lostDeviceSeconds: 105,
          reason: 'preempted by job big (priority 8 over 2)',
          queuedAt: JOBS_NOW,
        },
        attempt: { outcome: 'preempted', lostDeviceSeconds: 100 },
        events: ['Preempted'],
      },
    },
    {
      title: 'P20 the checkpoint exceeded the grace: killed, and all of it is lost',
      job: { phase: 'Stopping' },
      attempt: stopFor('preempted', 'preempted by job big'),
      members: [{ ...stopped, ranSeconds: 250, reason: 'killed after 60 s of grace' }],
      want: {
        job: {
          phase: 'Queued',
          checkpoint: null,
          lostDeviceSeconds: 1_000,
          reason: 'preempted by job big; nothing was saved',
        },
      },
    },
    {
      title: 'P20 what an earlier attempt saved is not lost',
      job: {
        phase: 'Stopping',
        attempts: 2,
        checkpoint: checkpointOf({ attemptId: 'first', savedDeviceSeconds: 400 }),
      },
      attempt: {
        ...stopFor('preempted'),
        number: 2,
        resumedFrom: checkpointOf({ attemptId: 'first', savedDeviceSeconds: 400 }),
      },
      members: [stopped],
      want: { job: { checkpoint: { attemptId: 'first' }, lostDeviceSeconds: 400, reason: 'because' } },
    },
    {
      title: 'P19 the victim was done before it was asked',
      job: { phase: 'Stopping' },
      attempt: stopFor('preempted'),
      members: [{ phase: 'Succeeded' }],
      want: { job: { phase: 'Succeeded' }, attempt: { outcome: 'succeeded' } },
    },
    {
      title: 'to be stopped before its agent ever heard of it: the document does without it',
      job: { phase: 'Stopping' },
      attempt: { ...stopFor('preempted'), startedAt: null },
      members: [{ unreported: 'settled' }],
      want: { job: { phase: 'Queued', lostDeviceSeconds: 0, failures: 0 }, ended: { failedToStartIn: [] } },
    },
    {
      title: 'a checkpoint of which the event came first is not taken twice',
      job: {
        phase: 'Stopping',
        checkpoint: checkpointOf({ attemptId: 'attempt', sequence: 2, savedDeviceSeconds: 320 }),
      },
      attempt: stopFor('preempted'),
      members: [{ ...stopped, ...saved(40, 1) }],
      want: { job: { checkpoint: { sequence: 2, savedDeviceSeconds: 320 }, lostDeviceSeconds: 80 } },
    },
  ])('$title', check);
});

describe('out of contact', () => {
  const unknown = (unknownSeconds: number) => ({ cluster: { phase: 'Unknown' as const, unknownSeconds } });
  const bound = 300 + LOST_MARGIN_SECONDS;
  it.each<Case>([
    { title: 'Unknown for a while: it may still run', attempt: running, members: [unknown(bound)], want: null },
    {
      title: 'X01 Unknown for longer than its agent can have run it: lost, and again elsewhere',
      attempt: running,
      members: [unknown(bound + 1)],
      want: {
        job: { phase: 'Queued', failures: 0, reason: `cluster dc-1 was out of contact for ${bound + 1} s` },
        attempt: { outcome: 'lost' },
        events: ['Lost'],
      },
    },
    {
      title: 'X05 with most clusters Unknown nothing is lost',
      attempt: running,
      members: [unknown(bound + 1)],
      facts: { isMassUnknown: true },
      want: null,
    },
    {
      title: 'it ended before the contact did',
      attempt: running,
      members: [{ phase: 'Succeeded', ...unknown(1) }],
      want: { job: { phase: 'Succeeded' } },
    },
    {
      title: 'its cluster left: at once',
      attempt: running,
      members: [{ cluster: { phase: 'Left' } }],
      want: { job: { phase: 'Queued', reason: 'cluster dc-1 left' }, attempt: { outcome: 'lost' } },
    },
    {
      title: 'lost while it was to be stopped: the cause decides',
      job: { suspended: true },
      attempt: stopFor('suspended'),
      members: [unknown(bound + 1)],
      want: { job: { phase: 'Suspended' }, attempt: { outcome: 'suspended' } },
    },
    {
      title: 'suspect is no reason for anything',
      attempt: running,
      members: [{ cluster: { phase: 'Suspect' } }],
      want: null,
    },
  ])('$title', (given) => check({ ...given, job: { phase: 'Running', ...given.job } }));
});

it('a step that was taken leads to no second one', () => {
  const facts = factsOf({ title: '', job: { phase: 'Starting' }, attempt: {}, members: [{}], want: null });
  const { job, attempt } = stepJob(facts)!;
  const after = { ...facts, job: { ...facts.job, ...job }, attempt: { ...facts.attempt!, ...attempt } };
  expect(stepJob(after)).toBeNull();
});
