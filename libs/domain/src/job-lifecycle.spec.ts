/** Situations and the step that each leads to, up to the end of an attempt; how that counts is attempt-ending.spec.ts. */
import { describe, expect, it } from '@jest/globals';
import { checkpointOf, JOBS_NOW } from '#testing';
import { LOST_MARGIN_SECONDS } from './attempt-tasks.ts';
import { at, type Case, check, factsOf, running, stopFor } from './job-lifecycle.builders.ts';
import { stepJob } from './job-lifecycle.ts';
import { LOST_AFTER_SECONDS_MIN } from './jobs.ts';

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
      title: 'its run deadline ends it',
      job: { phase: 'Running', ranSeconds: 50 },
      spec: { runDeadlineSeconds: 150 },
      attempt: running,
      members: [{ ranSeconds: 100 }],
      want: { attempt: { stop: { cause: 'deadline', reason: 'it ran for its 150 s and was not done' } } },
    },
    {
      title: 'its cluster is drained: it saves and goes elsewhere',
      job: { phase: 'Running' },
      attempt: running,
      members: [{ cluster: { phase: 'Draining', isEmptied: true } }],
      want: { attempt: { stop: { cause: 'drained', reason: 'cluster dc-1 is being drained' } } },
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
      title: 'a bound below the least, of an older release: its agent counts by the least',
      spec: { lostAfterSeconds: 2 },
      attempt: running,
      members: [unknown(LOST_AFTER_SECONDS_MIN + LOST_MARGIN_SECONDS)],
      want: null,
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
