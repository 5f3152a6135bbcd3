import { describe, expect, it } from '@jest/globals';
import type { DeviceType } from '#domain';
import { account, GPU, gpus, own } from './quota-tree.builders.ts';
import type { QuotaTree } from './quota-tree.ts';
import type { QueueSnapshot } from './snapshot.ts';
import { queue } from './workloads.builders.ts';

/** The most that the queue could start now, up to 200. */
function most(tree: QuotaTree, name: string): number {
  let count = 0;
  while (count < 200 && tree.admits(name, GPU, count + 1) === null) count += 1;
  return count;
}

describe('how much may be borrowed', () => {
  /** org (quota 8) ⊃ team (4) ⊃ mine (2), beside team the queue mate (4). */
  const three = (limits: Record<string, Partial<QueueSnapshot>>, rest: QueueSnapshot[] = []) => [
    own('org', 8, limits.org),
    own('team', 4, { parentId: 'org', ...limits.team }),
    own('mine', 2, { parentId: 'team', ...limits.mine }),
    own('mate', 4, { parentId: 'org', ...limits.mate }),
    ...rest,
  ];
  const up = (count: number) => ({ borrowingLimit: gpus(count) });
  const down = (count: number) => ({ lendingLimit: gpus(count) });
  const table: {
    name: string;
    queues: QueueSnapshot[];
    uses?: Record<string, number>;
    total?: number;
    want: number;
  }[] = [
    { name: 'F09 without limits as far as there is a fleet', queues: three({}), want: 200 },
    { name: 'F09 its own limit', queues: three({ mine: up(3), team: up(9), org: up(9) }), want: 5 },
    { name: 'F09 its parent’s limit', queues: three({ team: up(2), org: up(9) }), want: 6 },
    { name: 'F09 its grandparent’s limit', queues: three({ org: up(2) }), want: 10 },
    { name: 'F09 none at all', queues: three({ mine: up(0) }), want: 2 },
    { name: 'F09 beside what a sibling of its parent uses', queues: three({ org: up(2) }), uses: { mate: 3 }, want: 7 },
    { name: 'F09 and what that one keeps back', queues: three({ org: up(2), mate: down(1) }), want: 7 },
    {
      name: 'F09 which is the same devices while it uses them',
      queues: three({ org: up(2), mate: down(1) }),
      uses: { mate: 3 },
      want: 7,
    },
    {
      name: 'F09 and no more than what is used beyond',
      queues: three({ org: up(2), mate: down(1) }),
      uses: { mate: 5 },
      want: 5,
    },
    {
      name: 'F09 its parent keeps back from others what its child may still use',
      queues: three({ org: up(0), team: down(0), mate: down(4) }),
      uses: { mate: 4 },
      want: 4,
    },
    {
      name: 'F09 another tenant’s root keeps back',
      queues: three({ mate: down(1) }, [own('rich', 90, down(10))]),
      want: 17,
    },
    {
      name: 'F09 another tenant’s root lends all',
      queues: three({}, [own('rich', 90)]),
      want: 200,
    },
    {
      name: 'what is its own and kept back is always its own',
      queues: [own('mine', 4, down(0)), own('greedy', null)],
      uses: { greedy: 100 },
      want: 4,
    },
    {
      name: 'where the fleet is smaller than what was promised, devices decide',
      queues: [own('mine', 80, up(0)), own('rich', 90, down(0))],
      want: 80,
    },
    {
      name: 'but while another borrows, what is kept back is',
      queues: [own('mine', 80, up(0)), own('rich', 50, down(0)), own('greedy', null)],
      uses: { greedy: 1 },
      want: 49,
    },
    {
      name: 'a limit of one type says nothing of another',
      queues: [queue('mine', { borrowingLimit: { cpu: 0 }, lendingLimit: { cpu: 0 } })],
      want: 200,
    },
    {
      name: 'a parent that names no quota has what its children have',
      queues: [own('org', null, up(1)), own('mine', 2, { parentId: 'org' }), own('mate', 3, { parentId: 'org' })],
      want: 6,
    },
  ];
  it.each(table)('$name', ({ queues, uses, total, want }) => {
    expect(most(account(queues, uses, total), 'mine')).toBe(want);
  });

  const refusals: {
    name: string;
    queues: QueueSnapshot[];
    uses: Record<string, number>;
    count: number;
    want: object;
  }[] = [
    {
      name: 'at its own limit, for now',
      queues: three({ mine: up(3) }),
      uses: { mine: 4 },
      count: 2,
      want: {
        because: `queue mine uses 4 ${GPU}; 2 more would exceed its quota of 2 and the 3 that it may borrow`,
        change: `wait until queue mine gives back 1 ${GPU}, or raise the quota or the borrowing limit of queue mine`,
        queueId: 'mine',
        couldFit: true,
      },
    },
    {
      name: 'at a limit above, for good',
      queues: three({ org: up(0), mate: down(1) }),
      uses: { mine: 1, mate: 1 },
      count: 8,
      want: {
        because: `queue org uses 2 (and its queues keep back 2) ${GPU}; 8 more would exceed its quota of 8 and the 0 that it may borrow`,
        change: 'raise the quota or the borrowing limit of queue org',
        queueId: 'org',
        couldFit: false,
      },
    },
    {
      name: 'at what others keep back',
      queues: three({}, [own('rich', 90, down(0)), own('poor', null)]),
      uses: { poor: 10 },
      count: 1,
      want: {
        because: `of the fleet's 100 ${GPU} 10 are in use and 90 are kept back by lending limits of queues; 1 more cannot be borrowed`,
        change: 'wait until others give back what they borrow, or raise the lending limits of other queues',
        queueId: null,
        couldFit: true,
      },
    },
  ];
  it.each(refusals)('says why not: $name', ({ queues, uses, count, want }) => {
    expect(account(queues, uses).admits('mine', GPU, count)).toEqual(want);
  });

  it('whether devices are free is not asked here: within nominal, and without limits, all is admitted', () => {
    const tree = account([own('mine', 4), own('other', null)], { other: 8 }, 8);
    expect([tree.admits('mine', GPU, 4), tree.admits('other', GPU, 1)]).toEqual([null, null]);
  });

  it('F11 two workloads of one cycle do not both get the last unit', () => {
    const tree = account([own('mine', 4, up(0))], { mine: 3 });
    expect(tree.admits('mine', GPU, 1)).toBeNull();
    tree.charge('mine', GPU, 1);
    expect(tree.admits('mine', GPU, 1)).toMatchObject({ queueId: 'mine', couldFit: true });
  });

  it('F11 nor do two of different queues under one parent', () => {
    const tree = account(three({ org: up(0) }), { mate: 5 });
    expect([tree.admits('mine', GPU, 3), tree.admits('team', GPU, 3)]).toEqual([null, null]);
    tree.charge('mine', GPU, 3);
    expect(tree.admits('team', GPU, 1)).toMatchObject({ queueId: 'org' });
  });
});

describe('what is charged', () => {
  it('F12 work that ends and starts again is charged as before', () => {
    const tree = account([own('default', 8)], { default: 3 });
    tree.refund('default', GPU, 3);
    tree.charge('default', GPU, 3);
    expect(tree.usage('default')).toEqual(gpus(3));
  });

  it('nothing is refunded that was not charged', () => {
    const tree = account([own('a', 8), own('b', 8)], { a: 2 });
    expect(() => tree.refund('a', GPU, 3)).toThrow(new RangeError(`queue a has 2 ${GPU} charged, not 3`));
    expect(() => tree.refund('b', GPU, 1)).toThrow(RangeError);
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 53])('%d is no number of devices', (count) => {
    const tree = account([own('a', 8)], { a: 2 });
    expect(() => tree.charge('a', GPU, count)).toThrow(RangeError);
    expect(() => tree.refund('a', GPU, count)).toThrow(RangeError);
    expect(tree.usage('a')).toEqual(gpus(2));
  });

  it('queues that do not exist, and types that are none, are mistakes of the caller', () => {
    const tree = account([own('a', 8)]);
    expect(() => tree.charge('b', GPU, 1)).toThrow('no queue b');
    expect(() => tree.charge('a', 'abacus' as DeviceType, 1)).toThrow('abacus is no device type');
  });

  it.each([
    ['below one that is not there', [own('a', 8, { parentId: 'gone' })]],
    ['in a circle', [own('a', 8, { parentId: 'b' }), own('b', 8, { parentId: 'a' })]],
  ])('queues %s are no tree', (_name, queues) => {
    expect(() => account(queues)).toThrow(/queue a has no parent, or is its own ancestor/);
  });
});

describe('who is next', () => {
  const table: { name: string; queues: QueueSnapshot[]; uses?: Record<string, number>; want: string[] }[] = [
    {
      name: 'the smaller share',
      queues: [own('a', null), own('b', null), own('c', null)],
      uses: { a: 3, b: 1, c: 2 },
      want: ['b', 'c', 'a'],
    },
    {
      name: 'by weight',
      queues: [own('a', null, { weight: 4 }), own('b', null)],
      uses: { a: 7, b: 2 },
      want: ['a', 'b'],
    },
    {
      name: 'who has quota left before who borrows, however much it uses',
      queues: [own('a', null), own('b', 50)],
      uses: { a: 1, b: 49 },
      want: ['b', 'a'],
    },
    {
      name: 'once it has none left, by what each borrows',
      queues: [own('a', null), own('b', 50)],
      uses: { a: 2, b: 51 },
      want: ['b', 'a'],
    },
    {
      name: 'equal shares: who used less lately, for its weight',
      queues: [
        own('a', null, { recentDeviceSeconds: 30 }),
        own('b', null, { recentDeviceSeconds: 20 }),
        own('c', null, { recentDeviceSeconds: 50, weight: 5 }),
      ],
      want: ['c', 'b', 'a'],
    },
    { name: 'then by name', queues: [own('b', null), own('a', null)], want: ['a', 'b'] },
    {
      name: 'two tenants’ queues of one name, by id',
      queues: [own('t2', null, { name: 'default' }), own('t1', null, { name: 'default' })],
      want: ['t1', 't2'],
    },
    {
      name: 'F07 weight zero last, whatever the others have',
      queues: [own('a', null, { weight: 0 }), own('b', null)],
      uses: { b: 99 },
      want: ['b', 'a'],
    },
    {
      name: 'from the root down: the smaller tenant first, though its queue has more than the other’s',
      queues: [own('x', null), own('x1', null, { parentId: 'x' }), own('x2', null, { parentId: 'x' }), own('y', null)],
      uses: { x1: 1, x2: 5, y: 4 },
      want: ['y', 'x1', 'x2'],
    },
    {
      name: 'the recent use of a tenant is that of all its queues',
      queues: [
        own('x', null),
        own('x1', null, { parentId: 'x', recentDeviceSeconds: 3 }),
        own('x2', null, { parentId: 'x', recentDeviceSeconds: 2 }),
        own('y', null, { recentDeviceSeconds: 4 }),
      ],
      want: ['y', 'x2', 'x1'],
    },
  ];
  it.each(table)('$name', ({ queues, uses, want }) => {
    const tree = account(queues, uses);
    const sorted = [...want].reverse().sort((left, right) => tree.compare(left, right));
    expect(sorted).toEqual(want);
  });

  it('quota of one type that is left is none for work that wants another', () => {
    const tree = account([queue('a', { quota: { cpu: 9, [GPU]: 1 } }), own('b', null)], { a: 1 });
    const wants = (deviceType: DeviceType) => ({ deviceType, count: 1 });
    expect(tree.compare('a', 'b')).toBe(-1);
    expect(tree.compare('a', 'b', wants(GPU), wants(GPU))).toBe(1);
    expect(tree.compare('a', 'b', wants('cpu'), wants(GPU))).toBe(-1);
  });

  it('a share is the largest of the types, for the weight', () => {
    const tree = account([own('org', null, { weight: 2 }), own('a', null, { parentId: 'org' })], { a: 10 });
    tree.charge('org', 'cpu', 40);
    tree.charge('a', 'huawei.com/ascend-npu', 5); // the fleet has none of them
    expect([tree.share('org'), tree.share('a')]).toEqual([0.2, 0.1]);
  });

  it('F07 without weight, its own or above, a share is infinite', () => {
    const tree = account([own('org', null, { weight: 0 }), own('a', null, { parentId: 'org' })]);
    expect([tree.share('org'), tree.share('a')]).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  });

  it.each([
    ['a', GPU, 2, true],
    ['a', GPU, 3, false],
    ['org', GPU, 5, true],
    ['org', GPU, 6, false],
    ['a', 'cpu', undefined, true],
    ['a', 'cpu', 1, false],
  ] as const)('%s with %s ×%s more is within nominal: %s', (name, deviceType, count, want) => {
    const tree = account([own('org', 10), own('a', 4, { parentId: 'org' })], { a: 2, org: 3 });
    expect(tree.isWithinNominal(name, deviceType, count)).toBe(want);
  });
});
