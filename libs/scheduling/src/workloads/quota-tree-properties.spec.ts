/** The account under any trees and any use; and small simulations that are served by nothing but it. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DEVICE_TYPES, type DeviceCounts, type DeviceType } from '#domain';
import { QuotaTree } from './quota-tree.ts';
import type { QueueSnapshot } from './snapshot.ts';
import { queue } from './workloads.builders.ts';

const GPU = 'nvidia.com/gpu';
const TYPES = [GPU, 'cpu'] as const;
const TOTALS: DeviceCounts = { [GPU]: 20, cpu: 40 };
const NAMES = ['a', 'b', 'a1', 'a2', 'a1x', 'b1'];
/** Parents by place in NAMES: two roots, the first of three levels. */
const PARENTS = [null, null, 'a', 'a', 'a1', 'b'];

const countsArbitrary = fc.record(
  { [GPU]: fc.integer({ min: 0, max: 8 }), cpu: fc.integer({ min: 0, max: 8 }) },
  { requiredKeys: [] },
);
const queueArbitrary = fc.record({
  weight: fc.constantFrom(0, 1, 1, 2, 3),
  quota: countsArbitrary,
  borrowingLimit: fc.option(countsArbitrary, { nil: null }),
  lendingLimit: fc.option(countsArbitrary, { nil: null }),
});
const queuesArbitrary = fc
  .tuple(...NAMES.map(() => queueArbitrary))
  .map((sketches): QueueSnapshot[] =>
    sketches.map((sketch, at) => queue(NAMES[at]!, { ...sketch, parentId: PARENTS[at]! })),
  );
const moveArbitrary = fc.record({
  name: fc.constantFrom(...NAMES),
  deviceType: fc.constantFrom<DeviceType>(...TYPES),
  count: fc.integer({ min: 0, max: 9 }),
  isRefund: fc.boolean(),
});
type Move = typeof moveArbitrary extends fc.Arbitrary<infer Value> ? Value : never;
const movesArbitrary = fc.array(moveArbitrary, { maxLength: 30 });

/** Own work of each queue, by `<queue> <type>`. */
type Ledger = Map<string, number>;

/** Carries the moves out, leaving out refunds of what is not there, and keeps its own books. */
function move(tree: QuotaTree, moves: readonly Move[], ledger: Ledger = new Map()): Ledger {
  for (const { name, deviceType, count, isRefund } of moves) {
    const has = ledger.get(`${name} ${deviceType}`) ?? 0;
    if (isRefund && count > has) expect(() => tree.refund(name, deviceType, count)).toThrow(RangeError);
    else {
      if (isRefund) tree.refund(name, deviceType, count);
      else tree.charge(name, deviceType, count);
      ledger.set(`${name} ${deviceType}`, has + (isRefund ? -count : count));
    }
  }
  return ledger;
}

/** All that can be asked of an account. */
function answers(tree: QuotaTree): unknown {
  const pairs = NAMES.flatMap((left) => NAMES.map((right) => [left, right] as const));
  return {
    usage: NAMES.map((name) => tree.usage(name)),
    shares: NAMES.map((name) => tree.share(name)),
    admits: NAMES.map((name) => TYPES.map((type) => [1, 3, 9].map((count) => tree.admits(name, type, count)))),
    order: pairs.map(([left, right]) => [tree.compare(left, right), tree.compareBorrowers(left, right)]),
    reclaim: pairs.map(([left, right]) => tree.mayReclaim(left, GPU, 2, right, 1)),
  };
}

describe('any account', () => {
  it('is never negative, and a queue uses what its children and its own work use', () => {
    fc.assert(
      fc.property(queuesArbitrary, movesArbitrary, (queues, moves) => {
        const tree = new QuotaTree(queues, TOTALS);
        const ledger = move(tree, moves);
        for (const type of TYPES) {
          const use = (name: string): number => tree.usage(name)[type] ?? 0;
          for (const name of NAMES) {
            const children = NAMES.filter((_, at) => PARENTS[at] === name);
            const want = children.reduce((sum, child) => sum + use(child), ledger.get(`${name} ${type}`) ?? 0);
            expect(use(name)).toBe(want);
            expect(use(name)).toBeGreaterThanOrEqual(0);
          }
        }
      }),
    );
  });

  it('answers after a rollback exactly as it did at the mark', () => {
    fc.assert(
      fc.property(queuesArbitrary, movesArbitrary, movesArbitrary, (queues, before, after) => {
        const tree = new QuotaTree(queues, TOTALS);
        const ledger = move(tree, before);
        const want = answers(tree);
        const mark = tree.mark();
        move(tree, after, ledger);
        tree.rollback(mark);
        expect(answers(tree)).toEqual(want);
      }),
      { numRuns: 300 },
    );
  });

  it('answers by what is charged, whatever way it came to be', () => {
    fc.assert(
      fc.property(queuesArbitrary, movesArbitrary, (queues, moves) => {
        const tree = new QuotaTree(queues, TOTALS);
        const fresh = new QuotaTree([...queues].reverse(), TOTALS);
        for (const [key, count] of move(tree, moves)) {
          const [name, deviceType] = key.split(' ') as [string, DeviceType];
          fresh.charge(name, deviceType, count);
        }
        expect(answers(fresh)).toEqual(answers(tree));
      }),
      { numRuns: 300 },
    );
  });

  it('what was admitted exceeds no ceiling, and what is refused for good is refused by an empty account', () => {
    fc.assert(
      fc.property(queuesArbitrary, movesArbitrary, (queues, moves) => {
        const tree = new QuotaTree(queues, TOTALS);
        const empty = new QuotaTree(queues, TOTALS);
        for (const { name, deviceType, count } of moves) {
          const refused = tree.admits(name, deviceType, count);
          if (refused === null) tree.charge(name, deviceType, count);
          else expect(refused.couldFit).toBe(empty.admits(name, deviceType, count) === null);
        }
        for (const { id, quota, borrowingLimit } of queues.filter(({ parentId }) => parentId !== null)) {
          const children = queues.filter(({ parentId }) => parentId === id);
          if (children.length > 0) continue; // the nominal of an inner queue may be the sum of its children's
          for (const type of TYPES) {
            const ceiling = (quota[type] ?? 0) + (borrowingLimit?.[type] ?? Number.POSITIVE_INFINITY);
            expect(tree.usage(id)[type] ?? 0).toBeLessThanOrEqual(ceiling);
          }
        }
      }),
    );
  });

  it('more is never admitted where less is not', () => {
    fc.assert(
      fc.property(queuesArbitrary, movesArbitrary, moveArbitrary, (queues, moves, { name, deviceType, count }) => {
        const tree = new QuotaTree(queues, TOTALS);
        move(tree, moves);
        if (tree.admits(name, deviceType, count + 1) === null) {
          expect(tree.admits(name, deviceType, count)).toBeNull();
        }
      }),
    );
  });

  it('F04 no reclaim is answered by its reverse, by either right and whatever the sizes', () => {
    const sizes = fc.integer({ min: 1, max: 6 });
    let granted = 0;
    fc.assert(
      fc.property(
        queuesArbitrary,
        movesArbitrary,
        moveArbitrary,
        fc.constantFrom(...NAMES),
        fc.tuple(sizes, sizes, sizes),
        (queues, moves, { name, deviceType }, victim, [count, lost, back]) => {
          const tree = new QuotaTree(queues, TOTALS);
          const has = move(tree, moves).get(`${victim} ${deviceType}`) ?? 0;
          if (lost > has || tree.mayReclaim(name, deviceType, count, victim, lost) === null) return;
          granted += 1;
          tree.refund(victim, deviceType, lost);
          tree.charge(name, deviceType, count);
          for (const wants of [lost, back]) {
            expect(tree.mayReclaim(victim, deviceType, wants, name, count)).toBeNull();
          }
        },
      ),
      { numRuns: 2_000 },
    );
    expect(granted).toBeGreaterThan(0);
  });

  it('F01 what is a queue’s own is admitted, at the latest when all that borrow have given back', () => {
    let reclaimed = 0;
    fc.assert(
      fc.property(queuesArbitrary, movesArbitrary, moveArbitrary, (queues, moves, { name, deviceType, count }) => {
        const tree = new QuotaTree(queues, TOTALS);
        move(tree, moves);
        const isInner = queues.some(({ parentId }) => parentId === name);
        if (isInner || !tree.isWithinNominal(name, deviceType, count)) return;
        const own = new Map(NAMES.map((each) => [each, ownUse(tree, each, deviceType)]));
        while (tree.admits(name, deviceType, count) !== null) {
          const victim = NAMES.find(
            (each) => own.get(each)! > 0 && tree.mayReclaim(name, deviceType, count, each, 1) === 'nominal',
          );
          expect(victim).toBeDefined();
          tree.refund(victim!, deviceType, 1);
          own.set(victim!, own.get(victim!)! - 1);
          reclaimed += 1;
        }
      }),
      { numRuns: 2_000 },
    );
    expect(reclaimed).toBeGreaterThan(0);
  });

  it('orders are total: each compares as the reverse of the other, and three never in a circle', () => {
    fc.assert(
      fc.property(queuesArbitrary, movesArbitrary, (queues, moves) => {
        const tree = new QuotaTree(queues, TOTALS);
        move(tree, moves);
        for (const compare of [tree.compare.bind(tree), tree.compareBorrowers.bind(tree)]) {
          const wrong = triples(NAMES).filter(
            ([left, middle, right]) =>
              compare(left, middle) + compare(middle, left) !== 0 ||
              (compare(left, middle) === 0) !== (left === middle) ||
              (compare(left, middle) < 0 && compare(middle, right) < 0 && compare(left, right) >= 0),
          );
          expect(wrong).toEqual([]);
        }
      }),
      { numRuns: 200 },
    );
  });
});

/** Without its children's. */
function ownUse(tree: QuotaTree, name: string, deviceType: DeviceType): number {
  const children = NAMES.filter((_, at) => PARENTS[at] === name);
  const use = (each: string) => tree.usage(each)[deviceType] ?? 0;
  return children.reduce((left, child) => left - use(child), use(name));
}

function triples(names: readonly string[]): (readonly [string, string, string])[] {
  return names.flatMap((left) => names.flatMap((middle) => names.map((right) => [left, middle, right] as const)));
}

interface Want {
  readonly queueId: string;
  readonly deviceType: DeviceType;
  readonly count: number;
}

/**
 * Serves endless work on `totals`: again and again the first queue by `compare` whose next job fits starts it. Then jobs
 * end, one at a time, in a fixed pseudo-random order, and the room is given out anew. Returns the account at the end.
 */
function serve(
  queues: readonly QueueSnapshot[],
  totals: DeviceCounts,
  wants: readonly Want[],
  ends: number,
): QuotaTree {
  const tree = new QuotaTree(queues, totals);
  const free: Record<string, number> = { ...totals };
  const runs: Want[] = [];
  const fill = () => {
    for (;;) {
      const fitting = wants.filter(
        ({ queueId, deviceType, count }) =>
          count <= free[deviceType]! && tree.admits(queueId, deviceType, count) === null,
      );
      const next = fitting.sort((left, right) => tree.compare(left.queueId, right.queueId, left, right))[0];
      if (next === undefined) return;
      tree.charge(next.queueId, next.deviceType, next.count);
      free[next.deviceType]! -= next.count;
      runs.push(next);
    }
  };
  fill();
  for (let end = 1, state = 1; end <= ends; end += 1) {
    state = (state * 48_271) % 2_147_483_647;
    const [ended] = runs.splice(state % runs.length, 1);
    tree.refund(ended!.queueId, ended!.deviceType, ended!.count);
    free[ended!.deviceType]! += ended!.count;
    fill();
  }
  return tree;
}

describe('served by nothing but the account', () => {
  const gpu = (queueId: string, count: number): Want => ({ queueId, deviceType: GPU, count });
  const use = (tree: QuotaTree, name: string, type: DeviceType = GPU) => tree.usage(name)[type] ?? 0;

  it.each([
    [1, 1],
    [3, 2],
    [4, 4],
    [2, 7],
  ])('F06 weights 2:1 with jobs of %i and %i converge to 2:1 within one job', (large, small) => {
    const queues = [queue('a', { weight: 2 }), queue('b')];
    const tree = serve(queues, { [GPU]: 90 }, [gpu('a', large), gpu('b', small)], 500);
    expect(Math.abs(use(tree, 'a') - 60)).toBeLessThanOrEqual(Math.max(large, small));
    expect(Math.abs(use(tree, 'b') - 30)).toBeLessThanOrEqual(Math.max(large, small));
  });

  it('F06 from where one had everything too', () => {
    const queues = [queue('a', { weight: 2 }), queue('b')];
    const tree = new QuotaTree(queues, { [GPU]: 30 });
    tree.charge('b', GPU, 30);
    for (let moves = 0; moves < 100 && tree.mayReclaim('a', GPU, 2, 'b', 2) !== null; moves += 1) {
      tree.refund('b', GPU, 2);
      tree.charge('a', GPU, 2);
    }
    expect([use(tree, 'a'), use(tree, 'b')]).toEqual([20, 10]);
  });

  it('F07 weight zero gets what is over, and nothing while others wait', () => {
    const queues = [queue('a'), queue('idle', { weight: 0 })];
    const busy = serve(queues, { [GPU]: 10 }, [gpu('a', 1), gpu('idle', 1)], 50);
    const calm = serve(
      [queue('a', { borrowingLimit: { [GPU]: 4 } }), queues[1]!],
      { [GPU]: 10 },
      [gpu('a', 1), gpu('idle', 1)],
      50,
    );
    expect([use(busy, 'idle'), use(calm, 'idle'), use(calm, 'a')]).toEqual([0, 6, 4]);
  });

  it('F08 a cpu-heavy and a memory-heavy tenant end with equal dominant shares', () => {
    // The example of DRF (NSDI '11, §4.1): 9 CPUs and 18 GB; jobs of 1 CPU and 4 GB, and of 3 CPUs and 1 GB. Gigabytes
    // are counted as GPUs here. Three of the one and two of the other run: two thirds each of what they need most.
    const totals: DeviceCounts = { cpu: 9, [GPU]: 18 };
    const tree = new QuotaTree([queue('memory'), queue('cpus')], totals);
    const jobs = { memory: { cpu: 1, [GPU]: 4 }, cpus: { cpu: 3, [GPU]: 1 } } as const;
    const fits = (name: keyof typeof jobs) =>
      TYPES.every((type) => use(tree, 'memory', type) + use(tree, 'cpus', type) + jobs[name][type] <= totals[type]!);
    for (;;) {
      const [next] = (['memory', 'cpus'] as const).toSorted((left, right) => tree.compare(left, right));
      if (!fits(next!)) break;
      for (const type of TYPES) tree.charge(next!, type, jobs[next!][type]);
    }
    expect([tree.usage('memory'), tree.usage('cpus')]).toEqual([
      { cpu: 3, [GPU]: 12 },
      { cpu: 6, [GPU]: 2 },
    ]);
    expect([tree.share('memory'), tree.share('cpus')]).toEqual([2 / 3, 2 / 3]);
  });

  it('quota first, then what is over by weight', () => {
    const queues = [queue('a', { quota: { [GPU]: 40 } }), queue('b'), queue('c', { weight: 2 })];
    const tree = serve(queues, { [GPU]: 100 }, [gpu('a', 1), gpu('b', 1), gpu('c', 1)], 300);
    expect(['a', 'b', 'c'].map((name) => use(tree, name))).toEqual([55, 15, 30]);
  });

  it('tenants first, then the queues of each', () => {
    const queues = [queue('t'), queue('t1', { parentId: 't', weight: 3 }), queue('t2', { parentId: 't' }), queue('u')];
    const tree = serve(queues, { [GPU]: 80 }, [gpu('t1', 1), gpu('t2', 1), gpu('u', 1)], 300);
    expect(['t', 't1', 't2', 'u'].map((name) => use(tree, name))).toEqual([40, 30, 10, 40]);
  });

  it('every type that there is can be counted', () => {
    const tree = new QuotaTree([queue('a')], {});
    for (const type of DEVICE_TYPES) tree.charge('a', type, 1);
    expect([tree.usage('a'), tree.share('a')]).toEqual([Object.fromEntries(DEVICE_TYPES.map((type) => [type, 1])), 0]);
  });
});
