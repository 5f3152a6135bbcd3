/** How an attempt ended, and what becomes of its job: phases, counts, accounts. */
import { describe, it } from '@jest/globals';
import { checkpointOf, JOBS_NOW } from '#testing';
import { at, type Case, check, DIGEST, NOW_MS, running, saved, stopFor, stopped } from './job-lifecycle.builders.ts';

describe('an attempt that ended by itself', () => {
  it.each<Case>([
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
      title: 'a command that left nothing where its output is required is not tried again',
      job: { phase: 'Running' },
      attempt: running,
      members: [{ phase: 'Failed', exitCode: 0, reason: 'it left no output' }],
      want: {
        job: {
          ...{ phase: 'Failed', failures: 1 },
          reason: 'member 0 failed in dc-1: it left no output; that is not worth a retry',
        },
        attempt: { exitCode: 0 },
      },
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
      title: 'ended by its agent once: counted as lost, and waited for shortly',
      job: { phase: 'Running' },
      attempt: running,
      members: [{ ...stopped, reason: 'no contact.' }],
      want: {
        job: {
          losses: 1,
          failures: 0,
          reason: 'member 0 was stopped in dc-1: no contact.',
          retryAt: new Date(NOW_MS + 10_000),
        },
      },
    },
    {
      title: 'ended by its agent again and again with nothing saved: longer each time, and it says how often',
      job: { phase: 'Running', losses: 3 },
      attempt: running,
      members: [{ ...stopped, reason: 'no contact.' }],
      want: {
        job: {
          phase: 'Queued',
          losses: 4,
          failures: 0,
          reason:
            'member 0 was stopped in dc-1: no contact; lost 4 times since anything was saved; tried again in 80 s',
          retryAt: new Date(NOW_MS + 80_000),
        },
        events: ['Lost'],
      },
    },
    {
      title: 'what it saved before it was lost is progress: counted anew',
      job: { phase: 'Running', losses: 3 },
      attempt: running,
      members: [{ ...stopped, ...saved(100) }],
      want: { job: { losses: 1, retryAt: new Date(NOW_MS + 10_000) } },
    },
    {
      title: 'lost with its cluster: at once elsewhere; the second time it waits',
      job: { phase: 'Running', losses: 1 },
      attempt: running,
      members: [{ cluster: { phase: 'Left' } }],
      want: {
        job: {
          losses: 2,
          reason: 'cluster dc-1 left; lost 2 times since anything was saved; tried again in 10 s',
          retryAt: new Date(NOW_MS + 10_000),
        },
      },
    },
    {
      title: 'a failure in between forgets no loss',
      job: { phase: 'Running', losses: 3 },
      attempt: running,
      members: [{ phase: 'Failed', exitCode: 1 }],
      want: { job: { losses: 3, failures: 1 } },
    },
    {
      title: 'one that saved before it failed forgets them',
      job: { phase: 'Running', losses: 3 },
      attempt: running,
      members: [{ phase: 'Failed', exitCode: 1, ...saved(100) }],
      want: { job: { losses: 0, failures: 1 } },
    },
  ])('$title', check);
});

describe('an attempt that was ended', () => {
  it.each<Case>([
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
      title: 'ended by its deadline is failed, without a retry',
      job: { phase: 'Stopping' },
      attempt: stopFor('deadline'),
      members: [stopped],
      want: { job: { phase: 'Failed', failures: 0 }, attempt: { outcome: 'failed' } },
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

describe('an attempt whose checkpoint is lost', () => {
  const lost = checkpointOf({ attemptId: 'first', sequence: 2, progress: 'step 20', savedDeviceSeconds: 200 });
  const before = checkpointOf({ attemptId: 'first', sequence: 1, progress: 'step 10', savedDeviceSeconds: 100 });
  const fails = { phase: 'Failed', ranSeconds: 0, reason: 'Its checkpoint is lost.' } as const;

  it.each<Case>([
    {
      title: 'goes on from the one before it: nobody’s failure, and no fault of the cluster',
      facts: { left: before },
      members: [fails],
      want: {
        job: {
          phase: 'Queued',
          checkpoint: before,
          failures: 0,
          retryAt: new Date(NOW_MS + 10_000),
          reason: 'member 0 failed in dc-1: Its checkpoint is lost; it goes on from checkpoint 1 (step 10)',
        },
        attempt: { outcome: 'lost' },
        events: ['CheckpointLost'],
        ended: { lostDeviceSeconds: 0, failedToStartIn: [] },
      },
    },
    {
      title: 'begins anew where none is left, whatever the limit of its retries',
      spec: { retry: { limit: 0, backoffSeconds: 10, exitCodes: null } },
      facts: { left: null },
      members: [fails],
      want: {
        job: {
          phase: 'Queued',
          checkpoint: null,
          reason: 'member 0 failed in dc-1: Its checkpoint is lost; it begins anew',
        },
      },
    },
    {
      title: 'is not begun again when it was cancelled meanwhile',
      job: { phase: 'Starting', cancelRequestedAt: JOBS_NOW },
      facts: { left: null },
      members: [fails],
      want: { job: { phase: 'Cancelled', checkpoint: null } },
    },
    {
      title: 'of a gang: the others are ended first',
      facts: { left: null },
      members: [fails, { phase: 'Fetching' }],
      want: { job: { phase: 'Stopping' }, attempt: { stop: { cause: 'gang-member-lost' } } },
    },
    {
      title: 'fails as any other that cannot begin, where the checkpoint is there after all',
      members: [fails],
      want: {
        job: { phase: 'Queued', failures: 1, checkpoint: lost },
        ended: { failedToStartIn: ['cluster-0'] },
      },
    },
  ])('$title', (given) =>
    check({
      ...given,
      job: { phase: 'Starting', attempts: 2, checkpoint: lost, ...given.job },
      attempt: { number: 2, resumedFrom: lost },
    }),
  );
});
