import { describe, expect, it } from '@jest/globals';
import { account, GPU, own } from './quota-tree.builders.ts';
import type { QueueSnapshot } from './snapshot.ts';

describe('who may take back from whom', () => {
  const tree = {
    org: own('org', 8),
    team: own('team', 6, { parentId: 'org' }),
    mine: own('mine', 2, { parentId: 'team' }),
    mate: own('mate', 4, { parentId: 'team' }),
    other: own('other', 4),
    deep: own('deep', 2, { parentId: 'other' }),
  };
  const table: {
    name: string;
    queues: QueueSnapshot[];
    uses: Record<string, number>;
    take: [string, number];
    from: [string, number];
    want: 'nominal' | 'fairness' | null;
  }[] = [
    {
      name: 'F01 what is lent comes back to its owner',
      queues: [own('a', 4), own('b', null)],
      uses: { b: 100 },
      take: ['a', 4],
      from: ['b', 1],
      want: 'nominal',
    },
    {
      name: 'F01 also by one job that is larger than what was borrowed',
      queues: [own('a', 4), own('b', 7)],
      uses: { b: 8 },
      take: ['a', 1],
      from: ['b', 8],
      want: 'nominal',
    },
    {
      name: 'F02 nobody is above nominal',
      queues: [own('a', 4), own('b', 4)],
      uses: { a: 2, b: 4 },
      take: ['a', 1],
      from: ['b', 1],
      want: null,
    },
    {
      name: 'F03 the smaller share takes from the larger',
      queues: [own('a', null), own('b', null)],
      uses: { a: 3, b: 5 },
      take: ['a', 1],
      from: ['b', 1],
      want: 'fairness',
    },
    {
      name: 'F03 equal shares: a move would only swap the imbalance',
      queues: [own('a', null), own('b', null)],
      uses: { a: 4, b: 4 },
      take: ['a', 1],
      from: ['b', 1],
      want: null,
    },
    {
      name: 'F03 a move so large that it would swap the imbalance',
      queues: [own('a', null), own('b', null)],
      uses: { a: 3, b: 5 },
      take: ['a', 2],
      from: ['b', 2],
      want: null,
    },
    {
      name: 'F03 a small move for which much larger work would end: whoever takes would then have more',
      queues: [own('a', null), own('b', null)],
      uses: { b: 4 },
      take: ['a', 1],
      from: ['b', 4],
      want: null,
    },
    {
      name: 'F03 the largest work that may end for it: both then have the same',
      queues: [own('a', null), own('b', null)],
      uses: { b: 4 },
      take: ['a', 1],
      from: ['b', 3],
      want: 'fairness',
    },
    {
      name: 'F03 by weight: 2 may have twice what 1 has',
      queues: [own('a', null, { weight: 2 }), own('b', null)],
      uses: { a: 5, b: 4 },
      take: ['a', 1],
      from: ['b', 1],
      want: 'fairness',
    },
    {
      name: 'F03 only what is borrowed counts as a share',
      queues: [own('a', 50), own('b', null)],
      uses: { a: 50, b: 3 },
      take: ['a', 1],
      from: ['b', 1],
      want: 'fairness',
    },
    {
      name: 'F03 fairness takes nothing that is not borrowed',
      queues: [own('a', null), own('b', 4)],
      uses: { b: 6 },
      take: ['a', 1],
      from: ['b', 3],
      want: null,
    },
    {
      name: 'F05 a queue within its nominal is safe',
      queues: [own('a', null), own('b', 4, { weight: 0 })],
      uses: { b: 4 },
      take: ['a', 1],
      from: ['b', 1],
      want: null,
    },
    {
      name: 'F05 so is a queue that uses its parent’s',
      queues: Object.values(tree),
      uses: { deep: 4 },
      take: ['mine', 1],
      from: ['deep', 1],
      want: null,
    },
    {
      name: 'F07 whoever has weight takes from weight zero',
      queues: [own('a', null), own('b', null, { weight: 0 })],
      uses: { a: 90, b: 1 },
      take: ['a', 1],
      from: ['b', 1],
      want: 'fairness',
    },
    {
      name: 'F07 weight zero takes from nobody',
      queues: [own('a', null, { weight: 0 }), own('b', null), own('c', null, { weight: 0 })],
      uses: { b: 50, c: 50 },
      take: ['a', 1],
      from: ['c', 1],
      want: null,
    },
    {
      name: 'F07 but what is its own',
      queues: [own('a', 1, { weight: 0 }), own('b', null)],
      uses: { b: 100 },
      take: ['a', 1],
      from: ['b', 1],
      want: 'nominal',
    },
    {
      name: 'F10 above its own, within its team’s: from outside',
      queues: Object.values(tree),
      uses: { mine: 3, deep: 5 },
      take: ['mine', 1],
      from: ['deep', 1],
      want: 'nominal',
    },
    {
      name: 'F10 above its team’s, within the organisation’s: from outside that',
      queues: Object.values(tree),
      uses: { mine: 6, deep: 5 },
      take: ['mine', 2],
      from: ['deep', 1],
      want: 'nominal',
    },
    {
      name: 'F10 not beyond every nominal above it, when it then has more than the victim',
      queues: Object.values(tree),
      uses: { mine: 8, deep: 5 },
      take: ['mine', 1],
      from: ['deep', 1],
      want: null,
    },
    {
      name: 'F10 not from inside the subtree by the subtree’s right',
      queues: Object.values(tree),
      uses: { mine: 2, mate: 4 },
      take: ['mine', 1],
      from: ['mate', 1],
      want: null,
    },
    {
      name: 'F10 inside the subtree by its own right',
      queues: Object.values(tree),
      uses: { mate: 6 },
      take: ['mine', 2],
      from: ['mate', 1],
      want: 'nominal',
    },
    {
      name: 'F10 what is kept back inside a subtree makes its neighbour a borrower from outside',
      queues: [
        own('org', 4),
        own('keeps', 2, { parentId: 'org', lendingLimit: { [GPU]: 0 } }),
        own('takes', 2, { parentId: 'org' }),
        own('mine', 4),
      ],
      uses: { takes: 3 },
      take: ['mine', 4],
      from: ['takes', 1],
      want: 'nominal',
    },
    {
      name: 'within one queue priorities decide, not quota',
      queues: [own('a', null)],
      uses: { a: 9 },
      take: ['a', 1],
      from: ['a', 1],
      want: null,
    },
    {
      name: 'an inner queue’s own work is like a child without quota',
      queues: [own('org', 4), own('team', 4, { parentId: 'org' })],
      uses: { org: 2, team: 2 },
      take: ['team', 2],
      from: ['org', 1],
      want: 'nominal',
    },
  ];

  it.each(table)('$name', ({ queues, uses, take, from, want }) => {
    expect(account(queues, uses).mayReclaim(take[0], GPU, take[1], ...from)).toBe(want);
  });

  it('F01 the largest borrower for its weight gives back first', () => {
    const queues = [own('a', 4), own('b', 10), own('c', null), own('d', null, { weight: 10 })];
    const tree = account(queues, { b: 12, c: 5, d: 30 });
    expect(['a', 'b', 'c', 'd'].sort((left, right) => tree.compareBorrowers(left, right))).toEqual([
      'c',
      'd',
      'b',
      'a',
    ]);
  });

  it.each([
    ['cpu', GPU],
    [GPU, 'cpu'],
  ] as const)('F08 what a queue has most of is its share: %s against %s', (heavyType, otherType) => {
    const tree = account([own('more', null), own('less', null)]);
    tree.charge('more', heavyType, 60);
    tree.charge('less', otherType, 40);
    expect([tree.share('more'), tree.share('less')]).toEqual([0.6, 0.4]);
    expect(tree.compare('less', 'more')).toBeLessThan(0);
    expect(tree.compareBorrowers('more', 'less')).toBeLessThan(0);
    expect(tree.mayReclaim('less', heavyType, 5, 'more', 5)).toBe('fairness');
    expect(tree.mayReclaim('more', otherType, 5, 'less', 5)).toBeNull();
  });

  it('F04 what was just taken is not taken back, though the shares of another type differ', () => {
    const tree = account([own('a', null), own('b', 0)], { a: 50, b: 60 });
    tree.charge('b', 'cpu', 10);
    expect(tree.mayReclaim('a', 'cpu', 5, 'b', 5)).toBe('fairness');
    tree.refund('b', 'cpu', 5);
    tree.charge('a', 'cpu', 5);
    expect(tree.mayReclaim('b', 'cpu', 5, 'a', 5)).toBeNull();
  });
});
