/**
 * Of victims that were proposed by counting, what the what-if on the accounts then decides: who is given back, what never
 * fits, where the room is. Fixture: nodes of 8 devices; priorities H 8 > M 5 > L 2.
 */
import { describe, expect, it } from '@jest/globals';
import { fill, H, HOUR, high, L, M, plan, words } from './cycle.builders.ts';
import { openCycle } from './open-cycle.ts';
import { RunningBooks } from './running/books.ts';
import type { PendingWorkload, QueueSnapshot, RunningWorkload, WorkloadCluster } from './snapshot.ts';
import { claim, gang, gpuCluster, pending, queue, request, snapshot } from './workloads.builders.ts';

const GPU = 'nvidia.com/gpu';
/** A queue that may not borrow. */
const full = (quota: number): QueueSnapshot =>
  queue('default', { quota: { [GPU]: quota }, borrowingLimit: { [GPU]: 0 } });

const rows: {
  readonly name: string;
  readonly clusters?: readonly WorkloadCluster[];
  readonly queues?: readonly QueueSnapshot[];
  readonly running: readonly RunningWorkload[];
  readonly pending: readonly PendingWorkload[];
  readonly want: readonly string[];
}[] = [
  {
    name: 'P06 give-back: the 2 that were asked first, and are not enough, are spared once the 4 are asked',
    queues: [full(6)],
    running: fill('c1-n1', { two: { devices: 2, ranSeconds: 1 }, four: { devices: 4, ranSeconds: 600 } }),
    pending: [high(4)],
    want: ['high stops four', 'high waits for c1-n1'],
  },
  {
    name: 'P16 of two nodes the one with the fewest overdrawn budgets, at any loss and class',
    clusters: [gpuCluster('c1', 2)],
    running: [
      ...fill('c1-n1', {
        a: { devices: 4, budget: { id: 'ring', allowed: 1 }, ranSeconds: 1 },
        b: { devices: 4, budget: { id: 'ring', allowed: 1 }, ranSeconds: 1 },
      }),
      ...fill('c1-n2', { c: { devices: 8, priority: M, ranSeconds: 100 * HOUR } }),
    ],
    pending: [high(8)],
    want: ['high stops c', 'high waits for c1-n2'],
  },
  {
    name: 'P18 six would be free for two times three, but never three linked twice: nothing is evicted',
    clusters: [gpuCluster('c1', 1, 8, { devicesPerLink: 4 })],
    running: fill('c1-n1', { fixed: { devices: 2, preemptible: false }, l: { devices: 6 } }),
    pending: [pending('high', { priority: H, claim: claim(3, GPU, 'link'), gang: gang(2) })],
    want: [],
  },
  {
    name: 'P18 the devices would be free, but not the quota: nothing is evicted',
    queues: [full(4)],
    running: fill('c1-n1', { fixed: { devices: 3, preemptible: false }, l: { devices: 1 } }),
    pending: [high(4)],
    want: [],
  },
  {
    name: 'P21 where a quota is wanted the room is in the cluster that suffers, though another has some free',
    clusters: [gpuCluster('c1'), gpuCluster('c2', 1, 4)],
    queues: [full(8)],
    running: fill('c1-n1', { l: { devices: 8 } }),
    pending: [high(4, { preferredClusterIds: ['c2'] })],
    want: ['high stops l', 'high waits for c1-n1'],
  },
  {
    name: 'P21 a gang that may span clusters gets its room in one',
    clusters: [gpuCluster('c1', 2), gpuCluster('c2')],
    running: [...fill('c1-n1', { a: { devices: 8, ranSeconds: 1 } }), ...fill('c1-n2', { b: { devices: 8 } })],
    pending: [high(8, { gang: gang(2, { spansClusters: true }) })],
    want: ['high stops a', 'high stops b', 'high waits for c1-n1 c1-n2'],
  },
  {
    name: 'G03 the victims are those of the whole gang: a node that is half free is cheaper than a whole one',
    clusters: [gpuCluster('c1', 3)],
    running: [
      ...fill('c1-n1', { a: { devices: 8, ranSeconds: 1 } }),
      ...fill('c1-n2', { b: { devices: 8, ranSeconds: 15 } }),
      ...fill('c1-n3', { c: { devices: 4, ranSeconds: 20 } }),
    ],
    pending: [high(8, { gang: gang(2) })],
    want: ['high stops a', 'high stops c', 'high waits for c1-n1 c1-n3'],
  },
];

describe('what is tried on the accounts', () => {
  it.each(rows)('$name', ({ name: _name, want, ...parts }) => {
    expect(words(plan(parts))).toEqual(want);
  });
});

describe('G06 who was chosen in a cycle', () => {
  it('is no candidate any more, whoever asks', () => {
    const runs = fill('c1-n1', { l: { priority: L, devices: 4 }, other: { priority: L, devices: 4 } });
    const { victims, outlook } = openCycle(snapshot({ running: runs, pending: [high(4)] }), new RunningBooks());
    const [domain] = outlook.coming.domains('c1', request());
    const names = () => victims.in(domain!).map(({ victim }) => victim.running.id);
    expect(names()).toEqual(['l', 'other']);
    victims.choose(victims.of('l-attempt')!);
    expect([names(), victims.of('l-attempt')]).toEqual([['other'], undefined]);
  });
});
