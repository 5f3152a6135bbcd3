import { describe, expect, it } from '@jest/globals';
import { account, gpus, own } from '../quota-tree.builders.ts';
import type { RunningWorkload } from '../snapshot.ts';
import { claim, running } from '../workloads.builders.ts';
import { Charges } from './charges.ts';
import { Roster } from './roster.ts';

const QUEUES = [own('org', 8), own('default', 8, { parentId: 'org', borrowingLimit: gpus(0) })];
const SHRUNK = running('job', { holderId: 'old', claim: claim(2) });
const GROWN: RunningWorkload = { ...SHRUNK, holderId: 'new', claim: claim(3) };
const TASKS = [0, 1, 2].map((rank) => ({ rank, clusterId: 'c1', devices: null }));

const cases: readonly {
  readonly name: string;
  /** One snapshot after the other. */
  readonly runs: readonly (readonly RunningWorkload[])[];
  readonly spared?: readonly RunningWorkload[];
  readonly want: number;
}[] = [
  {
    name: 'F12 work that runs in two places while it moves is charged once, at its largest',
    runs: [[SHRUNK, GROWN, running('another')]],
    want: 4,
  },
  { name: 'F12 once it has moved, it is charged as it is', runs: [[SHRUNK, GROWN], [GROWN]], want: 3 },
  {
    name: 'F12 of two holders one is spared, and the other is charged',
    runs: [[SHRUNK, GROWN]],
    spared: [GROWN],
    want: 2,
  },
  {
    name: 'F13 serving and jobs are one account, whole gangs counted',
    runs: [[running('replica', { kind: 'serving', devices: 2 }), running('job', { tasks: TASKS })]],
    want: 5,
  },
  {
    name: 'what ends is not charged any more, and what changes as it is now',
    runs: [[running('a', { devices: 2 }), running('b', { devices: 4 })], [running('b', { devices: 1 })]],
    want: 1,
  },
  { name: 'what is of no queue is charged to none', runs: [[running('a', { queueId: 'gone', devices: 2 })]], want: 0 },
];

describe('what runs', () => {
  it.each(cases)('$name', ({ runs, spared = [], want }) => {
    const [roster, charges, tree] = [new Roster(), new Charges(), account(QUEUES)];
    for (const each of runs) charges.update(roster.update(each));
    charges.chargeTo(tree, new Map(QUEUES.map((queue) => [queue.id, queue])), roster, new Set(spared));
    expect([tree.usage('org'), tree.usage('default')]).toEqual(want === 0 ? [{}, {}] : [gpus(want), gpus(want)]);
  });
});
