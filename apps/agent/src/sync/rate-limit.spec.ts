import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { pace, TokenBucket } from './rate-limit.ts';

describe('the token bucket', () => {
  it('without a limit never waits', () => {
    const bucket = new TokenBucket();
    bucket.charge(1e12, 0);
    expect(bucket.waitMs(0)).toBe(0);
  });

  const cases = [
    { name: 'an empty bucket is in debt by the piece', charges: [[500, 0]], atMs: 0, wantMs: 500 },
    { name: 'the debt is paid by time', charges: [[500, 0]], atMs: 300, wantMs: 200 },
    { name: 'paid, the next may come', charges: [[500, 0]], atMs: 500, wantMs: 0 },
    {
      name: 'two transfers pay together',
      charges: [
        [500, 0],
        [500, 0],
      ],
      atMs: 0,
      wantMs: 1_000,
    },
    {
      name: 'an hour of quiet saves up a quarter of a second',
      charges: [[500, 3_600_000]],
      atMs: 3_600_000,
      wantMs: 250,
    },
    {
      name: 'time that goes back gives nothing and takes nothing',
      charges: [
        [500, 1_000],
        [0, 0],
      ],
      atMs: 1_000,
      wantMs: 250,
    },
  ];
  it.each(cases)('$name', ({ charges, atMs, wantMs }) => {
    const bucket = new TokenBucket();
    bucket.limit(1_000, 0);
    for (const [bytes, nowMs] of charges) bucket.charge(bytes!, nowMs!);
    expect(bucket.waitMs(atMs)).toBe(wantMs);
  });

  it('a new rate keeps the debt, and pays it at the new pace', () => {
    const bucket = new TokenBucket();
    bucket.limit(1_000, 0);
    bucket.charge(1_000, 0);
    bucket.limit(10_000, 0);
    expect(bucket.waitMs(0)).toBe(100);
    bucket.limit(null, 0);
    expect(bucket.waitMs(0)).toBe(0);
  });

  it('keeps the average to the rate, whatever the pieces: never more than the rate, a burst and one piece', () => {
    const pieces = fc.array(
      fc.record({ bytes: fc.integer({ min: 1, max: 5_000 }), idleMs: fc.integer({ min: 0, max: 400 }) }),
      {
        minLength: 1,
        maxLength: 60,
      },
    );
    fc.assert(
      fc.property(pieces, fc.integer({ min: 100, max: 20_000 }), (taken, rate) => {
        const bucket = new TokenBucket();
        bucket.limit(rate, 0);
        let [nowMs, bytes, largest] = [0, 0, 0];
        for (const piece of taken) {
          nowMs += piece.idleMs + bucket.waitMs(nowMs + piece.idleMs);
          bucket.charge(piece.bytes, nowMs);
          bytes += piece.bytes;
          largest = Math.max(largest, piece.bytes);
          expect(bytes).toBeLessThanOrEqual((nowMs / 1000) * rate + rate * 0.25 + largest + 1e-3 * rate);
        }
      }),
    );
  });
});

describe('pace', () => {
  it('gives up the wait when it is told to', async () => {
    const bucket = new TokenBucket();
    bucket.limit(1, performance.now());
    const abort = new AbortController();
    const waiting = pace(bucket, 1_000_000, abort.signal);
    abort.abort(new Error('told to'));
    await expect(waiting).rejects.toThrow('told to');
  });

  it('comes back at once without a limit', async () => {
    await pace(new TokenBucket(), 1e12, new AbortController().signal);
  });
});
