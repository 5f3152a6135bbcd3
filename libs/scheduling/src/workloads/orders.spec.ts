import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { QUEUE_ORDERS, type QueueOrder } from '#domain';
import {
  classWeight,
  dynamicWeight,
  EXPECTED_SECONDS_DEFAULT,
  nextRequest,
  type OrderOptions,
  orderPending,
  orderRequests,
  QUEUE_ORDER_POLICIES,
  type RequestOrder,
  remainingSeconds,
} from './orders.ts';
import type { PendingWorkload } from './snapshot.ts';
import { gang, NOW_MS, pending } from './workloads.builders.ts';

const ids = (entries: readonly { id: string }[]) => entries.map(({ id }) => id);

describe('the order of jobs', () => {
  const table: {
    name: string;
    order: QueueOrder;
    entries: PendingWorkload[];
    options?: Parameters<typeof orderPending>[3];
    want: string[];
  }[] = [
    {
      name: 'fcfs: by arrival, whatever else',
      order: 'fcfs',
      entries: [pending('late', { priority: 10, waitsSeconds: 1 }), pending('early', { priority: 0, waitsSeconds: 2 })],
      want: ['early', 'late'],
    },
    {
      name: 'static-priority: the higher one, then by arrival',
      order: 'static-priority',
      entries: [
        pending('low', { priority: 2, waitsSeconds: 1_000_000 }),
        pending('late', { priority: 8, waitsSeconds: 1 }),
        pending('early', { priority: 8, waitsSeconds: 2 }),
      ],
      want: ['early', 'late', 'low'],
    },
    {
      name: 'dynamic-weighted: 50 s of waiting are worth 2.5 levels',
      order: 'dynamic-weighted',
      entries: [
        pending('new', { priority: 6 }), // level 3.4: 2.04
        pending('waits', { priority: 0, waitsSeconds: 50 }), // level 1: 0.6 + 1.5
        pending('higher', { priority: 7 }), // level 3.8: 2.28
      ],
      want: ['higher', 'waits', 'new'],
    },
    {
      name: 'dynamic-weighted: the more modest first, by the share of the fleet that it asks for',
      order: 'dynamic-weighted',
      entries: [pending('half', { devices: 8 }), pending('some', { devices: 1, gang: gang(4) })],
      options: { totals: { 'nvidia.com/gpu': 16 } },
      want: ['some', 'half'],
    },
    {
      name: 'dynamic-weighted: of a fleet of unknown size everything is asked for',
      order: 'dynamic-weighted',
      entries: [pending('b', { devices: 1 }), pending('a', { devices: 8 })],
      want: ['a', 'b'],
    },
    {
      name: 'class-shortest: least device-time left in the class',
      order: 'class-shortest',
      entries: [
        pending('low', { priority: 2, expectedSeconds: 60 }),
        pending('long', { expectedSeconds: 1_000 }),
        pending('wide', { expectedSeconds: 200, devices: 2, gang: gang(4) }),
        pending('nearly-done', { expectedSeconds: 100_000, savedSeconds: 99_500 }),
      ],
      want: ['nearly-done', 'long', 'wide', 'low'],
    },
    {
      name: 'class-shortest: an unknown length is the median one',
      order: 'class-shortest',
      entries: [
        pending('unknown'),
        pending('above', { expectedSeconds: EXPECTED_SECONDS_DEFAULT + 1 }),
        pending('below', { expectedSeconds: EXPECTED_SECONDS_DEFAULT - 1 }),
      ],
      want: ['below', 'unknown', 'above'],
    },
    {
      name: 'S01 class-shortest: beyond the cap first in its class, the oldest of these before',
      order: 'class-shortest',
      entries: [
        pending('short', { expectedSeconds: 60, waitsSeconds: 10 }),
        pending('long', { expectedSeconds: 9_000, waitsSeconds: 101 }),
        pending('longer', { expectedSeconds: 99_000, waitsSeconds: 200 }),
        pending('at-the-cap', { expectedSeconds: 9_000, waitsSeconds: 100 }),
      ],
      options: { waitCapSeconds: 100 },
      want: ['longer', 'long', 'short', 'at-the-cap'],
    },
    {
      name: 'S01 class-shortest: a cap that is also some times its own worker-time; first whose cap was over first',
      order: 'class-shortest',
      entries: [
        pending('short', { expectedSeconds: 60, waitsSeconds: 400 }), // over since 300 s
        pending('long', { expectedSeconds: 9_000, waitsSeconds: 44_000 }), // not over for 1,000 s yet
        pending('longer', { expectedSeconds: 9_100, waitsSeconds: 46_000 }), // over since 500 s
        pending('wide', { expectedSeconds: 60, devices: 2, waitsSeconds: 400 }), // not over for 200 s yet
      ],
      options: { waitCapSeconds: 100, waitCapRuns: 5 },
      want: ['longer', 'short', 'wide', 'long'],
    },
    {
      name: 'S02 class-shortest: and before all below it, never before an urgent one above',
      order: 'class-shortest',
      entries: [
        pending('low', { priority: 2, expectedSeconds: 60 }),
        pending('urgent', { priority: 8, expectedSeconds: 99_000 }),
        pending('aged', { expectedSeconds: 99_000, waitsSeconds: 1_000_000 }),
        pending('aged-low', { priority: 2, waitsSeconds: 9_000_000 }),
      ],
      options: { waitCapSeconds: 100 },
      want: ['urgent', 'aged', 'aged-low', 'low'],
    },
    {
      name: 'c-mu: the most weight for the device-time',
      order: 'c-mu',
      entries: [
        pending('low-short', { priority: 2, expectedSeconds: 100 }), // 4 / 100
        pending('high-long', { priority: 8, expectedSeconds: 10_000 }), // 256 / 10,000
        pending('high', { priority: 8, expectedSeconds: 5_000 }), // 256 / 5,000
      ],
      want: ['high', 'low-short', 'high-long'],
    },
  ];
  it.each(table)('$name', ({ order, entries, options, want }) => {
    expect(ids(orderPending(entries, order, NOW_MS, options))).toEqual(want);
  });

  it.each([
    [{ expectedSeconds: 100, savedSeconds: 30 }, 70],
    [{ expectedSeconds: 100, savedSeconds: 200 }, 60],
    [{ expectedSeconds: null, savedSeconds: 0 }, 10_800],
  ])('%j leaves %i s', (work, want) => {
    expect(remainingSeconds(work)).toBe(want);
  });

  it.each([
    [1, 0, 0, 0.7],
    [0, 50, 1, 1.5],
    [0, 500, 1, 1.5],
    [5, 0, 0, 3.1],
    [5, 25, 0.5, 3.8],
  ])('S05 level %d, %d s, demand %d of the reference formula is %d', (level, seconds, demand, want) => {
    expect(dynamicWeight(level, seconds, demand)).toBeCloseTo(want, 12);
  });

  it('a step of priority is worth twice the device-time in c-mu', () => {
    expect([2, 5, 8].map(classWeight)).toEqual([4, 32, 256]);
  });

  it('every order says what it means', () => {
    expect(Object.keys(QUEUE_ORDER_POLICIES)).toEqual([...QUEUE_ORDERS]);
    expect(Object.values(QUEUE_ORDER_POLICIES).filter(({ meaning }) => meaning === '')).toEqual([]);
  });
});

const request = (id: string, rest: Partial<RequestOrder> = {}): RequestOrder => ({
  id,
  class: 5,
  arrivalMs: NOW_MS,
  predictedWorkerMs: 100,
  demand: 1,
  ...rest,
});

describe('the order of requests', () => {
  const requests = [
    request('low', { class: 2, predictedWorkerMs: 1, arrivalMs: NOW_MS - 60_000 }),
    request('high', { class: 8, predictedWorkerMs: 900, arrivalMs: NOW_MS - 1_000 }),
    request('short', { predictedWorkerMs: 10, arrivalMs: NOW_MS - 2_000 }),
    request('long', { predictedWorkerMs: 5_000, arrivalMs: NOW_MS - 40_000 }),
  ];
  it.each<[QueueOrder, OrderOptions, string[]]>([
    ['fcfs', {}, ['low', 'long', 'short', 'high']],
    ['static-priority', {}, ['high', 'long', 'short', 'low']],
    // Levels 1.8, 4.2, 3, 3 and waits of 60, 1, 2, 40 s.
    ['dynamic-weighted', {}, ['long', 'low', 'high', 'short']],
    // Levels 0.2, 0.8, 0.5, 0.5: ageing inverts the classes.
    ['dynamic-weighted', { levels: [0, 1] }, ['low', 'long', 'high', 'short']],
    ['class-shortest', {}, ['high', 'short', 'long', 'low']],
    ['class-shortest', { waitCapSeconds: 30 }, ['high', 'long', 'short', 'low']],
    ['c-mu', {}, ['low', 'short', 'high', 'long']],
  ])('%s %j', (order, options, want) => {
    expect(ids(orderRequests(requests, order, NOW_MS, options))).toEqual(want);
    expect(nextRequest(requests, order, NOW_MS, options)?.id).toBe(want[0]);
  });

  it('none waits', () => {
    expect([orderRequests([], 'fcfs', NOW_MS), nextRequest([], 'fcfs', NOW_MS)]).toEqual([[], null]);
  });

  it('a request of no predicted time divides by nothing', () => {
    const free = request('free', { predictedWorkerMs: 0 });
    expect(ids(orderRequests([request('some'), free], 'c-mu', NOW_MS))).toEqual(['free', 'some']);
  });
});

const workArbitrary = fc.array(
  fc.record({
    priority: fc.integer({ min: 0, max: 10 }),
    waitsSeconds: fc.integer({ min: -100, max: 200 }),
    expectedSeconds: fc.option(fc.integer({ min: 1, max: 100_000 })),
    devices: fc.integer({ min: 1, max: 8 }),
  }),
  { maxLength: 12 },
);
const orderArbitrary = fc.constantFrom(...QUEUE_ORDERS);
const workOf = (sketches: Parameters<typeof pending>[1][]) => sketches.map((sketch, at) => pending(`j${at}`, sketch));

describe('any order', () => {
  it('S04 does not depend on the order given, and loses nobody', () => {
    fc.assert(
      fc.property(workArbitrary, orderArbitrary, fc.infiniteStream(fc.nat(99)), (sketches, order, keys) => {
        const entries = workOf(sketches);
        const shuffled = entries
          .map((entry) => ({ entry, key: keys.next().value! }))
          .sort((left, right) => left.key - right.key)
          .map(({ entry }) => entry);
        const want = ids(orderPending(entries, order, NOW_MS, { waitCapSeconds: 100 }));
        expect(ids(orderPending(shuffled, order, NOW_MS, { waitCapSeconds: 100 }))).toEqual(want);
        expect([...want].sort()).toEqual(ids(entries).sort());
      }),
    );
  });

  it('S04 equal in everything: by id; and the input is left alone', () => {
    for (const order of QUEUE_ORDERS) {
      const entries = ['c', 'a', 'b'].map((name) => pending(name));
      expect(ids(orderPending(entries, order, NOW_MS))).toEqual(['a', 'b', 'c']);
      expect(ids(entries)).toEqual(['c', 'a', 'b']);
    }
  });

  it('is the order of any two of them: total, so that who is left does not change by who is taken', () => {
    fc.assert(
      fc.property(workArbitrary, orderArbitrary, (sketches, order) => {
        const entries = orderPending(workOf(sketches), order, NOW_MS, { waitCapSeconds: 100 });
        const pairs = entries.flatMap((first, at) => entries.slice(at + 1).map((second) => [first, second] as const));
        const swapped = pairs.filter(
          ([first, second]) =>
            orderPending([second, first], order, NOW_MS, { waitCapSeconds: 100 })[0]!.id !== first.id,
        );
        expect(swapped).toEqual([]);
      }),
    );
  });

  it('S03 of two that differ by arrival the earlier is first, wherever the clock stands', () => {
    fc.assert(
      fc.property(
        workArbitrary,
        orderArbitrary,
        fc.integer({ min: -1_000_000, max: 1_000_000 }),
        fc.integer({ min: 1, max: 500_000 }),
        (sketches, order, shiftMs, apartMs) => {
          for (const earlier of workOf(sketches)) {
            const later = { ...earlier, id: 'a', queuedAtMs: earlier.queuedAtMs + apartMs };
            const options = { waitCapSeconds: 100 };
            const [first] = orderPending([later, earlier], order, NOW_MS + shiftMs, options);
            expect(first!.id).toBe(earlier.id);
          }
        },
      ),
    );
  });

  it('S03 a clock that was set back reorders no queue that it had in order', () => {
    const entries = [3, 2, 1].map((waitsSeconds) => pending(`waits-${waitsSeconds}`, { waitsSeconds }));
    for (const order of QUEUE_ORDERS) {
      for (const backSeconds of [0, 1, 2.5, 3_600, 1_000_000]) {
        expect(ids(orderPending(entries, order, NOW_MS - backSeconds * 1_000))).toEqual([
          'waits-3',
          'waits-2',
          'waits-1',
        ]);
      }
    }
  });
});

describe('S03 a clock that was set back before anything came', () => {
  it.each<[QueueOrder, readonly [string, string]]>([
    ['static-priority', ['urgent', 'early']],
    ['dynamic-weighted', ['urgent', 'early']],
    ['class-shortest', ['urgent', 'early']],
    ['c-mu', ['urgent', 'early']],
    ['fcfs', ['early', 'urgent']],
  ])('%s: makes nobody wait less than no time, which would count against the urgent', (order, want) => {
    const entries = [
      pending('early', { priority: 0, waitsSeconds: 200 }),
      pending('urgent', { priority: 10, waitsSeconds: 0 }),
    ];
    for (const backSeconds of [0, 200, 3_600, 1_000_000]) {
      expect(ids(orderPending(entries, order, NOW_MS - backSeconds * 1_000))).toEqual(want);
    }
  });
});

describe('one server under load', () => {
  /**
   * Urgent work of 9 s arrives every 10 s for ever (90 % load), and short low work of 1 s that fills every gap. One low job
   * of 6 s comes at the start. Returns how long it waits, in seconds; null: it did not run within the hour.
   */
  function waitOfTheLongOne(order: QueueOrder, waitCapSeconds: number): number | null {
    const horizonMs = 3_600_000;
    const stream = (name: string, everyMs: number, part: Partial<RequestOrder>) =>
      Array.from({ length: horizonMs / everyMs }, (_, at) =>
        request(`${name}-${at}`, { arrivalMs: at * everyMs, ...part }),
      );
    const arrivals = [
      ...stream('urgent', 10_000, { class: 8, predictedWorkerMs: 9_000 }),
      ...stream('short', 10_000, { class: 2, predictedWorkerMs: 1_000 }),
      request('long', { class: 2, arrivalMs: 1, predictedWorkerMs: 6_000 }),
    ];
    let waiting = arrivals;
    for (let nowMs = 0; nowMs < horizonMs; ) {
      const here = waiting.filter(({ arrivalMs }) => arrivalMs <= nowMs);
      const next = nextRequest(here, order, nowMs, { waitCapSeconds });
      if (next?.id === 'long') return (nowMs - next.arrivalMs) / 1_000;
      if (next !== null) waiting = waiting.filter((each) => each !== next);
      nowMs = next === null ? Math.min(...waiting.map(({ arrivalMs }) => arrivalMs)) : nowMs + next.predictedWorkerMs;
    }
    return null;
  }

  it('S01 a low job is served within its cap and the next gap, though urgent work never ends', () => {
    const capped = waitOfTheLongOne('class-shortest', 60);
    const uncapped = waitOfTheLongOne('class-shortest', Number.POSITIVE_INFINITY);
    expect(capped).toBeGreaterThan(60);
    expect(capped).toBeLessThanOrEqual(60 + 10);
    expect(uncapped).toBeNull();
  });
});
