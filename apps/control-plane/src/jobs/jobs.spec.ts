import { describe, expect, it } from '@jest/globals';
import { refuse } from '#domain';
import { jobOf } from '#testing';
import { INTENTS, tooManyJobs } from './jobs.ts';

const ACTOR = { tenantId: 't', keyId: 'k', name: 'key:k', role: 'operator' } as const;

describe('a tenant has room for one more job', () => {
  it.each([
    ['without any', [], true],
    ['with one less than the most, over all of its queues', [30_000, 19_999], true],
    ['not with the most', [30_000, 20_000], false],
  ])('%s', (_name, counts, hasRoom) => {
    expect(tooManyJobs(counts.map((count) => ({ count }))) === null).toBe(hasRoom);
  });
});

describe('a job that is being cancelled', () => {
  it.each(['suspend', 'resume'] as const)('takes no %s', (intent) => {
    const now = new Date();
    const job = jobOf({ name: 'going', phase: 'Stopping', suspended: intent === 'resume', cancelRequestedAt: now });
    expect(() => INTENTS[intent](job, ACTOR, now)).toThrow(
      expect.objectContaining({ refusal: refuse.conflict('job "going" is being cancelled') }),
    );
  });
});
