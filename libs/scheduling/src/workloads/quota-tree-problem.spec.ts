import { describe, expect, it } from '@jest/globals';
import type { DeviceCounts, DeviceType } from '#domain';
import { QuotaTree } from './quota-tree.ts';
import { type QueueShape, queueTreeProblem, quotaWarning } from './quota-tree-problem.ts';
import { queue } from './workloads.builders.ts';

const GPU = 'nvidia.com/gpu';
const own = (name: string, quota: number | null, rest: Partial<QueueShape> = {}): QueueShape =>
  queue(name, { quota: quota === null ? {} : { [GPU]: quota }, ...rest });

describe('which queues may be', () => {
  const org = own('org', 8);
  const team = own('team', 6, { parentId: 'org' });
  const mine = own('mine', 2, { parentId: 'team' });
  const unnamed = own('unnamed', null, { parentId: 'org' });
  const table: { name: string; queues: QueueShape[]; candidate: QueueShape; want: string | null }[] = [
    { name: 'the first', queues: [], candidate: org, want: null },
    { name: 'a third level that fits', queues: [org, team], candidate: mine, want: null },
    { name: 'a change of one that is there', queues: [org, team, mine], candidate: own('org', 6), want: null },
    { name: 'the same again', queues: [org, team, mine], candidate: team, want: null },
    {
      name: 'F14 a negative quota',
      queues: [],
      candidate: own('q', -1),
      want: 'quota: nvidia.com/gpu must not be negative',
    },
    {
      name: 'F14 more than 2^53',
      queues: [],
      candidate: own('q', 2 ** 53 + 2),
      want: 'quota: nvidia.com/gpu must be at most 1000000000',
    },
    {
      name: 'F14 half a device to borrow',
      queues: [],
      candidate: own('q', 1, { borrowingLimit: { cpu: 0.5 } }),
      want: 'borrowingLimit: cpu must be a whole number',
    },
    {
      name: 'F14 a negative lending limit',
      queues: [],
      candidate: own('q', 1, { lendingLimit: { [GPU]: -1 } }),
      want: 'lendingLimit: nvidia.com/gpu must not be negative',
    },
    ...[-1, 5e-324, 0.0009, 1_001, Number.NaN].map((weight) => ({
      name: `F14 a weight of ${weight}`,
      queues: [],
      candidate: own('q', 1, { weight }),
      want: 'weight must be 0, or from 0.001 to 1000',
    })),
    { name: 'F07 a weight of zero', queues: [], candidate: own('q', 1, { weight: 0 }), want: null },
    {
      name: 'no such parent',
      queues: [org],
      candidate: own('q', 1, { parentId: 'gone' }),
      want: 'there is no such parent queue',
    },
    {
      name: 'a parent of another tenant, which is not to be told from none',
      queues: [org],
      candidate: own('q', 1, { parentId: 'org', tenantId: 'other' }),
      want: 'there is no such parent queue',
    },
    {
      name: 'its own parent',
      queues: [org],
      candidate: own('org', 8, { parentId: 'org' }),
      want: 'queue org cannot be its own parent',
    },
    {
      name: 'below its own child',
      queues: [org, team, mine],
      candidate: own('org', 8, { parentId: 'mine' }),
      want: 'queue org would be below itself',
    },
    {
      name: 'a fourth level',
      queues: [org, team, mine],
      candidate: own('q', 1, { parentId: 'mine' }),
      want: 'queues are at most 3 levels deep, this makes 4',
    },
    {
      name: 'a fourth level made by moving what has children',
      queues: [org, team, mine, own('top', 9)],
      candidate: own('org', 8, { parentId: 'top' }),
      want: 'queues are at most 3 levels deep, this makes 4',
    },
    {
      name: 'more than its parent has left',
      queues: [org, team],
      candidate: own('q', 3, { parentId: 'org' }),
      want: 'the queues below org have a quota of 9 nvidia.com/gpu together, it has 8',
    },
    {
      name: 'less than its children have',
      queues: [org, team, mine],
      candidate: own('org', 5),
      want: 'the queues below org have a quota of 6 nvidia.com/gpu together, it has 5',
    },
    {
      name: 'more than its grandparent has left, through a parent that names none',
      queues: [org, team, unnamed],
      candidate: own('q', 3, { parentId: 'unnamed' }),
      want: 'the queues below org have a quota of 9 nvidia.com/gpu together, it has 8',
    },
    {
      name: 'any quota of a type that no queue above names',
      queues: [org],
      candidate: queue('q', { parentId: 'org', quota: { cpu: 1_000 } }),
      want: null,
    },
    {
      name: 'beside queues of other tenants, whatever these have',
      queues: [org, own('other', 8, { tenantId: 'other' })],
      candidate: own('q', 8, { parentId: 'org' }),
      want: null,
    },
  ];

  it.each(table)('$name', ({ queues, candidate, want }) => {
    expect(queueTreeProblem(queues, candidate)).toBe(want);
  });
});

describe('F14 a quota below what is used, or above what there is, is a warning', () => {
  const parts = own('part', 3, { parentId: 'q' });
  const table: {
    name: string;
    quota: DeviceCounts;
    used: DeviceCounts;
    below?: QueueShape[];
    fleet?: DeviceCounts;
    want: string | null;
  }[] = [
    { name: 'above', quota: { [GPU]: 4 }, used: { [GPU]: 3 }, want: null },
    { name: 'equal', quota: { [GPU]: 4 }, used: { [GPU]: 4 }, want: null },
    {
      name: 'below',
      quota: { [GPU]: 4, cpu: 2 },
      used: { [GPU]: 6, cpu: 3 },
      want: 'queue q uses 6 nvidia.com/gpu of a quota of 4 and 3 cpu of a quota of 2 now: what is above is borrowed and may be reclaimed',
    },
    ...[{ [GPU]: 0 }, {}, { cpu: 2 }].map((quota) => ({
      name: `a type that is named with 0, or not named, is 0: ${JSON.stringify(quota)}`,
      quota,
      used: { [GPU]: 1 },
      want: 'queue q uses 1 nvidia.com/gpu of a quota of 0 now: what is above is borrowed and may be reclaimed',
    })),
    { name: 'not named: what the queues below add up to', quota: {}, used: { [GPU]: 3 }, below: [parts], want: null },
    {
      name: 'not named, and more than the queues below add up to',
      quota: {},
      used: { [GPU]: 4 },
      below: [parts],
      want: 'queue q uses 4 nvidia.com/gpu of a quota of 3 now: what is above is borrowed and may be reclaimed',
    },
    { name: 'as much as there is', quota: { [GPU]: 16 }, used: {}, want: null },
    {
      name: 'more than there is',
      quota: { [GPU]: 17, 'cambricon.com/mlu': 1 },
      used: {},
      want: 'queue q has a quota of 17 nvidia.com/gpu, and the fleet has 16; of 1 cambricon.com/mlu, and the fleet has 0',
    },
    {
      name: 'both',
      quota: { cpu: 9 },
      used: { [GPU]: 1 },
      want: 'queue q uses 1 nvidia.com/gpu of a quota of 0 now: what is above is borrowed and may be reclaimed; queue q has a quota of 9 cpu, and the fleet has 4',
    },
  ];

  it.each(table)('$name', ({ quota, used, below = [], fleet = { [GPU]: 16, cpu: 4 }, want }) => {
    expect(quotaWarning(below, queue('q', { quota }), { used, fleet })).toBe(want);
  });

  it('counts as the planner does: what is warned of is above nominal there', () => {
    for (const { quota, used, below = [], want } of table) {
      const queues = [queue('q', { quota }), ...below.map((each) => queue(each.name, each))];
      const tree = new QuotaTree(queues, { [GPU]: 16, cpu: 4 });
      for (const [type, count] of Object.entries(used)) tree.charge(below[0]?.id ?? 'q', type as DeviceType, count);
      const isWithin = Object.keys(used).every((type) => tree.isWithinNominal('q', type as DeviceType));
      expect({ quota, isWarned: /borrowed/.test(want ?? '') }).toEqual({ quota, isWarned: !isWithin });
    }
  });
});
