import { describe, expect, it } from '@jest/globals';
import { logNormalFactor, seededRandom } from './random.ts';
import { changePercent, mean, quantile, rangeOf, rangesOf } from './statistics.ts';

describe('statistics', () => {
  it('of nothing are null, not zero', () => {
    expect([
      mean([]),
      quantile([], 0.5),
      rangeOf([]),
      rangeOf([null]),
      changePercent(1, 0),
      changePercent(null, 1),
    ]).toEqual([null, null, null, null, null, null]);
  });

  it.each([
    [0.5, 2],
    [0.51, 3],
    [0.99, 4],
    [1, 4],
  ])('the quantile %d of four values is by nearest rank', (share, want) => {
    expect(quantile([4, 1, 3, 2], share)).toBe(want);
  });

  it('ranges leave out what is missing, and changes are per cent of the base', () => {
    expect(rangesOf<{ of: number | null }>([{ of: 1 }, { of: null }, { of: 3 }])).toEqual({
      of: { mean: 2, min: 1, max: 3 },
    });
    expect(changePercent(65, 100)).toBeCloseTo(-35);
  });
});

describe('random numbers', () => {
  const draw = (seed: number, stream: string, count = 5) => {
    const random = seededRandom(seed, stream);
    return Array.from({ length: count }, random);
  };

  it('are the same for a seed and stream, and others for other ones', () => {
    expect(draw(1, 'a')).toEqual(draw(1, 'a'));
    expect(draw(1, 'a')).not.toEqual(draw(2, 'a'));
    expect(draw(1, 'a')).not.toEqual(draw(1, 'b'));
  });

  it('are spread evenly over [0, 1)', () => {
    const values = draw(7, 'spread', 10_000);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    const tenths = Array.from(
      { length: 10 },
      (_, tenth) => values.filter((each) => Math.floor(each * 10) === tenth).length,
    );
    for (const count of tenths) expect(Math.abs(count - 1_000)).toBeLessThan(120);
  });

  it('make estimates whose median error is none, and exactly none at σ 0', () => {
    const random = seededRandom(3, 'errors');
    const factors = Array.from({ length: 4_001 }, () => logNormalFactor(random, 0.6));
    expect(quantile(factors, 0.5)).toBeCloseTo(1, 1);
    expect(logNormalFactor(random, 0)).toBe(1);
  });
});
