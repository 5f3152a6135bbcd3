import { describe, expect, it } from '@jest/globals';
import type { Attempt, Job } from '#domain';
import { attemptOf, JOBS_NOW, jobOf, jobSpecOf } from '#testing';
import { nextSteps } from './next-steps.ts';
import { waitingReason } from './waiting-reason.ts';

const later = new Date(JOBS_NOW.getTime() + 60_000);
const ended = (exitCode: number | null): Partial<Attempt> => ({ phase: 'Ended', outcome: 'failed', exitCode });

describe('what somebody can do about a job', () => {
  const table: {
    name: string;
    job: Partial<Job>;
    spec?: Parameters<typeof jobSpecOf>[0];
    newest?: Partial<Attempt>;
    want: string[];
  }[] = [
    { name: 'that runs: nothing', job: { phase: 'Running' }, want: [] },
    { name: 'that succeeded: nothing', job: { phase: 'Succeeded' }, want: [] },
    { name: 'that waits for room: the planner says it', job: { phase: 'Queued' }, want: [] },
    {
      name: 'that is suspended',
      job: { phase: 'Suspended', suspended: true },
      want: ['resume it: atoll job resume count'],
    },
    {
      name: 'that is about to be suspended',
      job: { phase: 'Queued', suspended: true },
      want: ['resume it: atoll job resume count'],
    },
    {
      name: 'that is suspended and being cancelled: nothing',
      job: { phase: 'Stopping', suspended: true, cancelRequestedAt: JOBS_NOW },
      want: [],
    },
    {
      name: 'that waits for its next try',
      job: { phase: 'Queued', retryAt: later },
      want: [`it is tried again by itself at ${later.toISOString()}; cancel it if that cannot help`],
    },
    { name: 'whose next try may come', job: { phase: 'Queued', retryAt: JOBS_NOW }, want: [] },
    {
      name: 'that waits for others',
      job: { phase: 'Waiting', queuedAt: null, dependsOn: [{ jobId: 'x', when: 'always', name: 'prepare' }] },
      want: ['it goes on by itself once prepare ended as it asks; retry what fails before that'],
    },
    {
      name: 'that was cancelled',
      job: { phase: 'Cancelled', cancelRequestedAt: JOBS_NOW },
      want: ['retry it: atoll job retry count'],
    },
    {
      name: 'that was cancelled because of what it depends on',
      job: { phase: 'Cancelled', queuedAt: null, dependsOn: [{ jobId: 'x', when: 'success', name: 'prepare' }] },
      want: ['retry first what it depends on (prepare), then it: atoll job retry count'],
    },
    {
      name: 'that ran out of its time',
      job: { phase: 'Failed', ranSeconds: 61 },
      spec: { runDeadlineSeconds: 60 },
      want: ['submit it anew with a runDeadlineSeconds above 60: a retry would end at once'],
    },
    {
      name: 'that found no room in time',
      job: { phase: 'Failed' },
      spec: { startDeadlineSeconds: 5 },
      want: ['submit it anew with a startDeadlineSeconds above 5, or wait for that long again: atoll job retry count'],
    },
    {
      name: 'whose command is not there',
      job: { phase: 'Failed' },
      newest: ended(127),
      want: [
        'mend the command (exit code 127: it was not found where it ran), and submit it anew; once that is so without a change: atoll job retry count',
      ],
    },
    {
      name: 'that left nothing',
      job: { phase: 'Failed' },
      newest: ended(0),
      want: [
        expect.stringMatching(/^let its command leave what it asks for in ATOLL_OUTPUT_DIR \(exit code 0/) as never,
      ],
    },
    {
      name: 'that failed more often than it may',
      job: { phase: 'Failed' },
      spec: { retry: { limit: 2, backoffSeconds: 1, exitCodes: null } },
      newest: ended(7),
      want: [
        'mend what made it end with exit code 7 (its log: atoll job logs count), then atoll job retry count',
        'a retry.limit above 2 gives it more tries by itself; that asks for submitting it anew',
      ],
    },
    {
      name: 'whose exit code is not worth a retry by its own policy',
      job: { phase: 'Failed' },
      spec: { retry: { limit: 2, backoffSeconds: 1, exitCodes: [75] } },
      newest: ended(7),
      want: [
        'mend what made it end with exit code 7 (its log: atoll job logs count), then atoll job retry count',
        'with 7 among retry.exitCodes it is tried again by itself; that asks for submitting it anew',
      ],
    },
    {
      name: 'that failed otherwise',
      job: { phase: 'Failed' },
      newest: ended(null),
      want: ['retry it: atoll job retry count'],
    },
  ];

  it.each(table)('$name', ({ job: change, spec = {}, newest, want }) => {
    const job = jobOf({ name: 'count', spec: jobSpecOf(spec), ...change });
    const attempt = newest === undefined ? null : attemptOf(job, newest);
    expect(nextSteps({ job, newest: attempt, nowMs: JOBS_NOW.getTime() })).toEqual(want);
  });
});

describe('why a job waits in its queue', () => {
  const verdict = 'it is tried again at 2026-01-01T00:01:00.000Z';
  it.each([
    ['the scheduler’s word', { retryAt: null, reason: 'waits for room' }, verdict],
    [
      'between tries how the last one ended, and that',
      { retryAt: later, reason: 'member 0 failed in dc-1: no disk; tried again in 10 s (1 of 3 retries)' },
      `member 0 failed in dc-1: no disk; ${verdict}`,
    ],
    [
      'whatever it says when it was resumed meanwhile',
      { retryAt: later, reason: 'resumed on request; waits for room' },
      `resumed on request; waits for room; ${verdict}`,
    ],
  ])('%s', (_name, job, want) => {
    expect(waitingReason(job, verdict)).toBe(want);
  });
});
