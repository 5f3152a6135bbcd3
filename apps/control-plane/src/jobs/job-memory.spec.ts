import { describe, expect, it } from '@jest/globals';
import type { Job } from '#domain';
import { JobMemory } from './job-memory.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const MINUTE_MS = 60_000;
const job = (retryAtMs: number | null, failures = 1) =>
  ({
    id: 'j',
    retryAt: retryAtMs === null ? null : new Date(retryAtMs),
    failures,
    spec: { retry: { limit: 3, backoffSeconds: 10, exitCodes: null } },
  }) as Pick<Job, 'id' | 'retryAt' | 'failures' | 'spec'> as Job;

describe('R22: before what a job is not tried again', () => {
  it.each<[string, Job, number | null]>([
    ['at once', job(null), null],
    ['what its row says', job(NOW_MS + 4_000), NOW_MS + 4_000],
    ['what is past already', job(NOW_MS - MINUTE_MS), NOW_MS - MINUTE_MS],
    ['its backoff, when the clock of who wrote it was ahead', job(NOW_MS + 10 * MINUTE_MS), NOW_MS + 10_000],
    ['the backoff of its third failure', job(NOW_MS + 10 * MINUTE_MS, 3), NOW_MS + 40_000],
    ['the first backoff when nothing of it has failed', job(NOW_MS + 10 * MINUTE_MS, 0), NOW_MS + 10_000],
  ])('%s', (_case, given, want) => {
    expect(new JobMemory().notBeforeMs(given, NOW_MS)).toBe(want);
  });

  it('is counted from the first look, not from each', () => {
    const memory = new JobMemory();
    const waits = job(NOW_MS + 10 * MINUTE_MS);
    const looks = [0, 3_000, 60_000].map((afterMs) => memory.notBeforeMs(waits, NOW_MS + afterMs));
    expect(looks).toEqual([NOW_MS + 10_000, NOW_MS + 10_000, NOW_MS + 10_000]);
  });

  it('of another failure anew', () => {
    const memory = new JobMemory();
    memory.notBeforeMs(job(NOW_MS + 10 * MINUTE_MS), NOW_MS);
    expect(memory.notBeforeMs(job(NOW_MS + 11 * MINUTE_MS, 2), NOW_MS + MINUTE_MS)).toBe(NOW_MS + MINUTE_MS + 20_000);
  });
});
