/** S4. Fixture: a root that was given 8 devices, half of them to a queue below it, and one that was given nothing by name. */
import { describe, expect, it } from '@jest/globals';
import { selfGrantProblem } from './queue-grants.ts';
import type { QueueShape } from './quota-tree-problem.ts';
import { queue } from './workloads.builders.ts';

const GPU = 'nvidia.com/gpu';
const org = queue('org', { quota: { [GPU]: 8 }, weight: 2, borrowingLimit: { [GPU]: 4 } });
const team = queue('team', { parentId: 'org', quota: { [GPU]: 4 } });
const loose = queue('loose');
const below = queue('below', { parentId: 'loose' });

describe('S4 a tenant', () => {
  it.each<[string, QueueShape, string | null]>([
    ['changes nothing', org, null],
    ['gives a root a greater weight', { ...org, weight: 3 }, 'queue org has a weight of 2'],
    ['gives a root more quota', { ...org, quota: { [GPU]: 9 } }, 'queue org has a quota of 8 nvidia.com/gpu'],
    ['gives a root quota of another type', { ...org, quota: { [GPU]: 8, cpu: 1 } }, 'queue org has a quota of 0 cpu'],
    ['lets a root borrow more', { ...org, borrowingLimit: { [GPU]: 5 } }, 'queue org may borrow 4 nvidia.com/gpu'],
    ['lets a root borrow without end', { ...org, borrowingLimit: null }, 'queue org may borrow 4 nvidia.com/gpu'],
    ['has less', { ...org, weight: 1, quota: { [GPU]: 7 }, borrowingLimit: { [GPU]: 0 } }, null],
    ['lends less', { ...org, lendingLimit: { [GPU]: 0 } }, null],
    ['divides what it has', { ...team, quota: { [GPU]: 8 }, weight: 9, borrowingLimit: null }, null],
    ['makes another part', queue('more', { parentId: 'org' }), null],
    ['makes another root', queue('more'), 'a queue without a parent is another part of the fleet; name a parent'],
    ['gives quota below a root that names none', { ...below, quota: { cpu: 1 } }, 'queue loose has a quota of 0 cpu'],
  ])('%s', (_name, candidate, want) => {
    expect(selfGrantProblem([org, team, loose, below], candidate)).toBe(want);
  });
});
