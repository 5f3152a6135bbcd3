import { describe, expect, it } from '@jest/globals';
import type { WorkloadVerdict } from '#scheduling';
import { jobOf } from '#testing';
import { DECIDED_PLACES_MAX, JobDecisions } from './job-decisions.ts';

const job = jobOf();

function verdict(change: Partial<WorkloadVerdict> = {}): WorkloadVerdict {
  return {
    workloadId: job.id,
    state: 'waiting',
    place: 1,
    reason: 'no room',
    candidates: [],
    victims: [],
    changes: ['free one'],
    startsByMs: Date.UTC(2026, 0, 1),
    ...change,
  };
}

/** Whether the second is stored, `secondsLater` after the first was. */
function isStored(first: WorkloadVerdict, second: WorkloadVerdict, secondsLater = 0): boolean {
  const decisions = new JobDecisions(3);
  if (decisions.decide(job, first, 0) !== null) decisions.remember(job.id, first, 0);
  return decisions.decide(job, second, secondsLater * 1_000) !== null;
}

describe('decisions about a job', () => {
  it('say what was decided, and all that explains it', () => {
    expect(new JobDecisions(3).decide(job, verdict(), 5_000)).toMatchObject({
      subjectKind: 'job',
      subjectId: job.id,
      epoch: 3,
      outcome: 'no room',
      detail: { victims: [], changes: ['free one'], place: 1, startsBy: '2026-01-01T00:00:00.000Z' },
      decidedAt: new Date(5_000),
    });
  });

  it.each<{ title: string; first?: WorkloadVerdict; second: WorkloadVerdict; later?: number; want: boolean }>([
    { title: 'the same again', second: verdict(), later: 3_600, want: false },
    { title: 'another place in the queue', second: verdict({ place: 9 }), later: 3_600, want: false },
    { title: 'another reason, at once', second: verdict({ reason: 'no quota' }), later: 1, want: false },
    { title: 'another reason, a while later', second: verdict({ reason: 'no quota' }), later: 30, want: true },
    { title: 'another state, at once', second: verdict({ state: 'held', reason: 'paused' }), want: true },
    { title: 'a start', second: verdict({ state: 'started', place: null }), want: true },
    {
      title: 'a second start',
      first: verdict({ state: 'started', place: null }),
      second: verdict({ state: 'started', place: null }),
      want: true,
    },
    {
      title: 'waiting far behind',
      first: verdict({ state: 'started' }),
      second: verdict({ place: DECIDED_PLACES_MAX + 1 }),
      want: false,
    },
    {
      title: 'victims, however far behind',
      first: verdict({ state: 'started' }),
      second: verdict({ state: 'nominated', place: DECIDED_PLACES_MAX + 1 }),
      want: true,
    },
  ])('are stored when they are news: $title', ({ first = verdict(), second, later, want }) => {
    expect(isStored(first, second, later)).toBe(want);
  });

  it('are stored again when the commit failed', () => {
    const decisions = new JobDecisions(3);
    const twice = [decisions.decide(job, verdict(), 0), decisions.decide(job, verdict(), 0)];
    expect(twice.every((decision) => decision !== null)).toBe(true);
  });
});
