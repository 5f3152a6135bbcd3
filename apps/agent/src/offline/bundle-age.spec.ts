import { describe, expect, it } from '@jest/globals';
import { CLOCK_SKEW_MS_MAX } from '#domain';
import { ageMs, type BundleMarks, standingOf } from './bundle-age.ts';

const HOUR = 3_600_000;
const ISSUED = Date.parse('2026-11-30T00:00:00Z');
const term = { issuedAt: '2026-11-30T00:00:00Z', validForSeconds: 24 * 3_600, sequence: 7 };
const marks = (change: Partial<BundleMarks> = {}): BundleMarks => ({
  sequence: 7,
  ranMs: 0,
  wallMs: ISSUED,
  ...change,
});

describe('R22: the age of a bundle', () => {
  it.each([
    { name: 'just issued', wall: ISSUED, want: 0 },
    { name: 'a clock that is ten minutes slow', wall: ISSUED - 600_000, want: 0 },
    { name: 'a clock that is ten minutes fast', wall: ISSUED + 600_000, want: 0 },
    { name: 'issued more than that in the future', wall: ISSUED - CLOCK_SKEW_MS_MAX - 1, want: null },
    { name: 'five hours old by the wall clock', wall: ISSUED + 5 * HOUR, want: 5 * HOUR - CLOCK_SKEW_MS_MAX },
    {
      name: 'a wall clock that was set back to 1970',
      wall: 0,
      notes: marks({ wallMs: ISSUED + HOUR, ranMs: HOUR }),
      want: HOUR,
    },
    { name: 'set back by an hour again and again', wall: ISSUED, notes: marks({ ranMs: 23 * HOUR }), want: 23 * HOUR },
    { name: 'marks of another bundle', wall: ISSUED, notes: marks({ sequence: 6, ranMs: 30 * HOUR }), want: 0 },
  ])('$name', ({ wall, notes, want }) => {
    expect(ageMs(term, notes ?? null, wall)).toBe(want);
  });

  it.each([
    { age: 0, ran: 0, want: { state: 'valid', leftMs: 24 * HOUR } },
    { age: 23 * HOUR, ran: HOUR - 1, want: { state: 'valid', leftMs: 1 } },
    { age: 23 * HOUR, ran: HOUR, want: { state: 'expired', endedAgoMs: 0 } },
    { age: 0, ran: 26 * HOUR, want: { state: 'expired', endedAgoMs: 2 * HOUR } },
    { age: null, ran: 26 * HOUR, want: { state: 'early' } },
  ])('$age ms at the start, then $ran ms: $want.state', ({ age, ran, want }) => {
    expect(standingOf(term, age, ran)).toEqual(want);
  });
});
