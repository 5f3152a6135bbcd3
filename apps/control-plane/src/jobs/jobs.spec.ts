import { describe, expect, it } from '@jest/globals';
import { tooManyJobs } from './jobs.ts';

describe('a tenant has room for one more job', () => {
  it.each([
    ['without any', [], true],
    ['with one less than the most, over all of its queues', [30_000, 19_999], true],
    ['not with the most', [30_000, 20_000], false],
  ])('%s', (_name, counts, hasRoom) => {
    expect(tooManyJobs(counts.map((count) => ({ count }))) === null).toBe(hasRoom);
  });
});
