import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ScalingSample } from './samples.ts';
import { decideScaling, type ScalingInput } from './scale.ts';
import { input, NOW_MS, sample, series, simulate } from './scaling.builders.ts';
import {
  DEFAULT_SCALING_POLICY,
  SCALING_POLICIES,
  SCALING_POLICY_NAMES,
  type ScalingPolicyName,
} from './scaling-policies.ts';

const HOT = { p99Ms: 250, utilisation: 0.9 };
const CALM = { utilisation: 0.5 };

describe('how many replicas', () => {
  const table: { name: string; policy: ScalingPolicyName; input: ScalingInput; want: number; because?: RegExp }[] = [
    {
      name: 'reference: slow and busy for five minutes, out to where it would be 70 % busy',
      policy: 'reference',
      input: input(series(300, HOT)),
      want: 6,
      because: /^P99 was above 200 ms and utilisation above 80 % for 300 s$/,
    },
    { name: 'reference: for a sample less it holds', policy: 'reference', input: input(series(285, HOT)), want: 4 },
    {
      name: 'reference: calm for ten minutes, in',
      policy: 'reference',
      input: input(series(600, CALM)),
      want: 3,
      because: /^utilisation was below 60 % for 600 s$/,
    },
    { name: 'reference: for a sample less it holds', policy: 'reference', input: input(series(585, CALM)), want: 4 },
    {
      name: 'reference: in between nothing is done',
      policy: 'reference',
      input: input(series(900, { utilisation: 0.7 })),
      want: 4,
    },
    {
      name: 'E01 slow but not busy: the reference rule holds',
      policy: 'reference',
      input: input(series(900, { p99Ms: 900, utilisation: 0.7, queueLength: 6 })),
      want: 4,
    },
    {
      name: 'E01 and queue tracking acts on what waits',
      policy: 'queue-tracking',
      input: input(series(900, { p99Ms: 900, utilisation: 0.7, queueLength: 6 })),
      want: 8,
    },
    {
      name: 'queue tracking: one waiting request a replica is what it aims at',
      policy: 'queue-tracking',
      input: input(series(900, { utilisation: 0.7, queueLength: 4 })),
      want: 4,
    },
    {
      name: 'target tracking: out at once',
      policy: 'target-tracking',
      input: input(series(900, { utilisation: 0.7 }, (ago) => (ago === 0 ? { utilisation: 0.9 } : {}))),
      want: 6,
    },
    {
      name: 'target tracking: a tenth more is no reason',
      policy: 'target-tracking',
      input: input(series(900, { utilisation: 0.76 })),
      want: 4,
    },
    {
      name: 'trend: level, slope and noise, for 80 % utilisation',
      policy: 'trend',
      // Rises by one busy replica in 15 minutes: (3 − 1/6 that the mean lags + 0.3 for 270 s) ÷ 0.8.
      input: input(series(1_800, { readyReplicas: 4 }, (ago) => ({ utilisation: (3 - ago / 900) / 4 }))),
      want: 4,
    },
    {
      name: 'trend: out before the load is there',
      policy: 'trend',
      input: input(series(1_800, { readyReplicas: 4 }, (ago) => ({ utilisation: (3.15 - ago / 900) / 4 }))),
      want: 5,
    },
    {
      name: 'trend: noise is kept free',
      policy: 'trend',
      input: input(series(1_800, {}, (ago) => ({ utilisation: ago % 30 === 0 ? 0.55 : 0.5 }))),
      want: 4,
    },
    {
      name: 'trend: more noise, more room',
      policy: 'trend',
      // 2.2 busy on average, neighbours 1.2 apart: (2.2 + 4.5 × 1.26) ÷ 0.8.
      input: input(series(1_800, {}, (ago) => ({ utilisation: ago % 30 === 0 ? 0.7 : 0.4 }))),
      want: 10,
    },
    {
      name: 'full replicas hide what is asked: by the rate of requests it is seen',
      policy: 'target-tracking',
      input: input(series(900, {}, (ago) => (ago === 0 ? { utilisation: 1, requestsPerSecond: 60 } : {}))),
      want: 18, // 60 a second × 0.2 replica-seconds ÷ 0.7
    },
    {
      name: 'E04 a start that failed is asked for already',
      policy: 'target-tracking',
      input: input(series(900, { readyReplicas: 4, utilisation: 1, requestsPerSecond: null }), { replicas: 6 }),
      want: 6,
    },
    {
      name: 'E06 one dip resets the reference rule',
      policy: 'reference',
      input: input(series(900, HOT, (ago) => (ago === 150 ? { utilisation: 0.79 } : {}))),
      want: 4,
    },
    {
      name: 'E06 one fast minute does too',
      policy: 'reference',
      input: input(series(900, HOT, (ago) => (ago === 150 ? { p99Ms: 200 } : {}))),
      want: 4,
    },
    {
      name: 'E06 one busy moment resets the way in',
      policy: 'reference',
      input: input(series(900, CALM, (ago) => (ago === 450 ? { utilisation: 0.6 } : {}))),
      want: 4,
    },
    {
      name: 'E06 of the other policies too',
      policy: 'target-tracking',
      input: input(series(900, { utilisation: 0.2 }, (ago) => (ago === 450 ? { utilisation: 0.7 } : {}))),
      want: 4,
    },
    {
      name: 'E06 without it, in to what the second half of the window needed',
      policy: 'target-tracking',
      input: input(series(900, { utilisation: 0.2 }, (ago) => (ago === 450 ? { utilisation: 0.5 } : {}))),
      want: 2,
    },
    {
      name: 'E06 a gap in the series is a dip',
      policy: 'reference',
      input: input(series(900, HOT).filter(({ atMs }) => atMs < NOW_MS - 240_000 || atMs > NOW_MS - 140_000)),
      want: 4,
    },
    {
      name: 'E06 a window begins anew at the last change',
      policy: 'reference',
      input: input(series(900, HOT), { lastOutAtMs: NOW_MS - 200_000 }),
      want: 4,
    },
    {
      name: 'E07 an unknown P99 is not a fast one, nor a slow one',
      policy: 'reference',
      input: input(series(900, { ...HOT, p99Ms: null })),
      want: 4,
    },
    {
      name: 'E07 an unknown utilisation is not an idle one',
      policy: 'reference',
      input: input(series(900, { utilisation: null })),
      want: 4,
    },
    ...(['trend', 'target-tracking'] as const).map((policy) => ({
      name: `E07 nor for ${policy}`,
      policy,
      input: input(series(1_800, { utilisation: null })),
      want: 4,
      because: /^what it depends on is not measured now$/,
    })),
    {
      name: 'E07 an unknown queue is not an empty one',
      policy: 'queue-tracking',
      input: input(series(1_800, { utilisation: 0.1, queueLength: null })),
      want: 4,
    },
    {
      name: 'E07 one unknown moment resets the way in',
      policy: 'trend',
      input: input(series(1_800, { utilisation: 0.1 }, (ago) => (ago === 300 ? { utilisation: null } : {}))),
      want: 4,
    },
  ];

  it.each(table)('$name', ({ policy, input: given, want, because = /./ }) => {
    const decision = decideScaling(given, policy);
    expect(decision).toEqual({ replicas: want, reason: expect.stringMatching(because) });
  });

  it('the default is trend, and every policy says what it means', () => {
    expect(DEFAULT_SCALING_POLICY).toBe('trend');
    expect(Object.keys(SCALING_POLICIES).sort()).toEqual([...SCALING_POLICY_NAMES].sort());
    expect(Object.values(SCALING_POLICIES).filter(({ meaning }) => meaning === '')).toEqual([]);
  });
});

describe('bounds, cooldowns, zero', () => {
  const idle = { readyReplicas: 1, utilisation: 0, queueLength: 0, requestsPerSecond: 0, p99Ms: null };
  const asleep = { ...idle, readyReplicas: 0, utilisation: null };
  const table: {
    name: string;
    samples: ScalingSample[];
    rest?: Partial<ScalingInput>;
    want: number;
    because: RegExp;
  }[] = [
    {
      name: 'above its maximum',
      samples: [],
      rest: { replicas: 30 },
      want: 20,
      because: /^its maximum is 20$/,
    },
    { name: 'below its minimum', samples: [], rest: { replicas: 0 }, want: 1, because: /^its minimum is 1$/ },
    {
      name: 'not beyond its maximum',
      samples: series(1_800, { utilisation: 1, requestsPerSecond: null }),
      rest: { bounds: { minimum: 1, maximum: 4 } },
      want: 4,
      because: /, its maximum is 4$/,
    },
    {
      name: 'not below its minimum',
      samples: series(1_800, { utilisation: 0.1 }),
      rest: { bounds: { minimum: 3, maximum: 9 } },
      want: 3,
      because: /, its minimum is 3$/,
    },
    {
      name: 'no second out at once',
      samples: series(1_800, { utilisation: 1 }),
      rest: { lastOutAtMs: NOW_MS - 59_000 },
      want: 4,
      because: /; 60 s must pass after the last change$/,
    },
    {
      name: 'an out after an in at once',
      samples: series(1_800, { utilisation: 1 }),
      rest: { lastInAtMs: NOW_MS - 1_000 },
      want: 5,
      because: /^5\.0 replicas are needed$/,
    },
    {
      name: 'a change of the future, from before a clock was set back, cools nothing',
      samples: series(1_800, { utilisation: 1 }),
      rest: { lastOutAtMs: NOW_MS + 3_600_000 },
      want: 5,
      because: /needed/,
    },
    {
      name: 'samples of the future are none',
      samples: [sample(-3_600, { utilisation: 1 })],
      want: 4,
      because: /^there are no measurements of the last 90 s$/,
    },
    {
      name: 'E07 old samples are none',
      samples: series(1_800, { utilisation: 0 }).slice(0, -7),
      want: 4,
      because: /^there are no measurements of the last 90 s$/,
    },
    { name: 'E07 no samples at all', samples: [], want: 4, because: /^there are no measurements/ },
    {
      name: 'idle for ten minutes, to zero',
      samples: series(600, idle),
      rest: { replicas: 1, bounds: { minimum: 0, maximum: 4 } },
      want: 0,
      because: /^no request came for 600 s$/,
    },
    {
      name: 'not a sample earlier',
      samples: series(585, idle),
      rest: { replicas: 1, bounds: { minimum: 0, maximum: 4 } },
      want: 1,
      because: /needed/,
    },
    {
      name: 'not to zero when that is not allowed',
      samples: series(1_800, idle),
      rest: { replicas: 2 },
      want: 1,
      because: /its minimum is 1$/,
    },
    {
      name: 'E07 not to zero by a rate that is not known',
      samples: series(1_800, { ...idle, requestsPerSecond: null }),
      rest: { replicas: 1, bounds: { minimum: 0, maximum: 4 } },
      want: 1,
      because: /its minimum is 1$/,
    },
    {
      name: 'one request wakes it',
      samples: [sample(0, { ...asleep, queueLength: 1 })],
      rest: { replicas: 0, bounds: { minimum: 0, maximum: 4 } },
      want: 1,
      because: /^requests wait for it$/,
    },
    {
      name: 'nothing does not',
      samples: [sample(0, asleep)],
      rest: { replicas: 0, bounds: { minimum: 0, maximum: 4 } },
      want: 0,
      because: /^nothing asks for it$/,
    },
    {
      name: 'never to zero while something is served',
      samples: series(1_800, { ...idle, requestsPerSecond: 0.01 }),
      rest: { replicas: 1, bounds: { minimum: 0, maximum: 4 } },
      want: 1,
      because: /its minimum is 1$/,
    },
  ];

  it.each(table)('$name', ({ samples, rest, want, because }) => {
    const decision = decideScaling(input(samples, rest));
    expect(decision).toEqual({ replicas: want, reason: expect.stringMatching(because) });
  });

  it('any samples, any policy: a whole number within bounds, and a reason', () => {
    const metric = (max: number) => fc.option(fc.double({ min: 0, max, noNaN: true }));
    const samplesArbitrary = fc.array(
      fc.record({
        atMs: fc.integer({ min: NOW_MS - 2_000_000, max: NOW_MS + 60_000 }),
        readyReplicas: fc.integer({ min: 0, max: 12 }),
        p99Ms: metric(1_000),
        utilisation: metric(1),
        queueLength: metric(100),
        requestsPerSecond: metric(100),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(
        samplesArbitrary,
        fc.constantFrom(...SCALING_POLICY_NAMES),
        fc.integer({ min: 0, max: 12 }),
        fc.integer({ min: 0, max: 3 }),
        fc.integer({ min: 0, max: 5 }),
        fc.constantFrom(0, 60, 600),
        (samples, policy, replicas, minimum, more, windowSeconds) => {
          const maximum = minimum + more;
          const sorted = samples.toSorted((left, right) => left.atMs - right.atMs);
          const windows = { outSeconds: windowSeconds, inSeconds: windowSeconds, levelSeconds: windowSeconds };
          const decision = decideScaling(input(sorted, { replicas, bounds: { minimum, maximum } }), policy, windows);
          expect(Number.isInteger(decision.replicas) && decision.reason !== '').toBe(true);
          expect(decision.replicas).toBeGreaterThanOrEqual(minimum);
          expect(decision.replicas).toBeLessThanOrEqual(maximum);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('over time', () => {
  const hours = (low: number, high: number) =>
    Array.from({ length: 10 * 120 }, (_, minute) => (minute % 120 < 60 ? low : high));
  const cases = SCALING_POLICY_NAMES.flatMap((policy) =>
    [
      [1, 10],
      [3, 5],
      [8, 30],
      [0.5, 1.5],
    ].map(([low, high]) => ({ policy, low: low!, high: high! })),
  );
  it.each(cases)(
    'E02 $policy acts at most twice a period of a square wave from $low to $high',
    ({ policy, low, high }) => {
      const minutes = simulate(hours(low, high), policy, Math.ceil(low / 0.7));
      const actions = minutes.filter(({ asked }, at) => at > 0 && asked !== minutes[at - 1]!.asked);
      const byPeriod = Map.groupBy(actions, ({ atMinute }) => Math.floor((atMinute - 60) / 120));
      expect(Math.max(...[...byPeriod.values()].map((each) => each.length))).toBeLessThanOrEqual(2);
    },
  );

  it('E04 a start that fails again and again leads to no more starts, and none is forgotten', () => {
    let asked = 4;
    const samples: ScalingSample[] = [];
    for (let minute = 0; minute < 60; minute += 1) {
      // Of what is asked for beyond four, no start ever succeeds.
      samples.push({ ...sample(0, { utilisation: 0.95, p99Ms: 300 }), atMs: NOW_MS + minute * 60_000 });
      const nowMs = NOW_MS + minute * 60_000;
      asked = decideScaling(input(samples, { nowMs, replicas: asked }), 'trend').replicas;
    }
    expect(asked).toBe(5);
  });

  describe('two days with a daily curve, 5 % noise and a burst', () => {
    const loads = twoDays();
    const peak = Math.max(...loads) / 0.8;
    const judge = (policy: ScalingPolicyName) => {
      const minutes = simulate(loads, policy, Math.ceil(peak));
      const fast = minutes.filter(({ isFast }) => isFast).length / minutes.length;
      const cost = minutes.reduce((sum, { ready }) => sum + ready, 0) / minutes.length / peak;
      return { fast, cost };
    };

    it('the default is fast in 99 % of minutes at a third less than a static peak; the reference is cheaper and is not', () => {
      const trend = judge('trend');
      const reference = judge('reference');
      expect(trend.fast).toBeGreaterThanOrEqual(0.99);
      expect(trend.cost).toBeLessThan(0.67);
      expect(reference.fast).toBeLessThan(0.95);
      expect(reference.cost).toBeLessThan(trend.cost);
    });
  });
});

/** Busy replicas by the minute: 10 … 50 over each day, noise from a fixed seed, twenty minutes of half as much again. */
function twoDays(): number[] {
  let state = 7;
  const uniform = () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  const normal = () => Array.from({ length: 12 }, uniform).reduce((sum, value) => sum + value, -6);
  return Array.from({ length: 2 * 1_440 }, (_, minute) => {
    const curve = 30 - 20 * Math.cos((2 * Math.PI * minute) / 1_440);
    const burst = minute >= 2_000 && minute < 2_020 ? 1.5 : 1;
    return Math.max(0, curve * burst * (1 + 0.05 * normal()));
  });
}
