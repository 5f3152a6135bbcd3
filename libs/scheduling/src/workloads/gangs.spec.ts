/** Gangs through a whole cycle: all or nothing, as starters, as preemptors and as victims. */
import { describe, expect, it } from '@jest/globals';
import { plan, words } from './cycle.builders.ts';
import type { PendingWorkload, RunningWorkload, WorkloadCluster } from './snapshot.ts';
import {
  binding,
  claim,
  gang,
  gpuCluster,
  on,
  type PendingSketch,
  pending,
  queue,
  type RunningSketch,
  running,
  within,
} from './workloads.builders.ts';

const gangOf = (size: number, devices: number, rest: PendingSketch = {}, policy: Parameters<typeof gang>[1] = {}) =>
  pending('gang', { devices, gang: gang(size, policy), priority: 8, ...rest });

/** A job of a whole node. */
const whole = (name: string, node: number, rest: RunningSketch = {}) =>
  running(name, { node: `c1-n${node}`, devices: 8, ...rest });

interface Row {
  readonly name: string;
  readonly clusters?: WorkloadCluster[];
  readonly running?: RunningWorkload[];
  readonly pending: PendingWorkload[];
  readonly want: string[];
}

function check(rows: readonly Row[]): void {
  it.each(rows)('$name', ({ name: _name, want, ...parts }) => {
    expect(words(plan(parts))).toEqual(want);
  });
}

describe('starting', () => {
  const three = [gpuCluster('c1', 3)];
  check([
    {
      name: 'G01 3 of 4 fit: none starts, nothing is held',
      clusters: three,
      pending: [gangOf(4, 8), pending('other', { devices: 8, priority: 2 })],
      want: ['+other c1-n1'],
    },
    {
      name: 'G01 all of them when all fit',
      clusters: three,
      pending: [gangOf(3, 8)],
      want: ['+gang c1-n1 c1-n2 c1-n3'],
    },
    {
      name: 'G02 with fewer, when at least the minimum fits',
      clusters: three,
      pending: [gangOf(4, 8, {}, { minimum: 2 })],
      want: ['+gang c1-n1 c1-n2 c1-n3'],
    },
    {
      name: 'G05 of two gangs that would each fit in half, one holds',
      clusters: [gpuCluster('c1', 4)],
      pending: [gangOf(3, 8), pending('second', { devices: 8, gang: gang(3), priority: 8, waitsSeconds: -1 })],
      want: ['+gang c1-n1 c1-n2 c1-n3'],
    },
    {
      name: 'G07 not over two clusters',
      clusters: [gpuCluster('c1'), gpuCluster('c2')],
      pending: [gangOf(2, 8)],
      want: [],
    },
    {
      name: 'G07 over two clusters where it says so',
      clusters: [gpuCluster('c1'), gpuCluster('c2')],
      pending: [gangOf(2, 8, {}, { spansClusters: true })],
      want: ['+gang c1-n1 c2-n1'],
    },
  ]);

  it('G02 no more members than the quota admits', () => {
    const got = plan({
      clusters: three,
      queues: [queue('default', { quota: { 'nvidia.com/gpu': 17 }, borrowingLimit: { 'nvidia.com/gpu': 0 } })],
      pending: [gangOf(3, 8, {}, { minimum: 1 })],
    });
    expect(words(got)).toEqual(['+gang c1-n1 c1-n2']);
  });
});

describe('making room', () => {
  const four = [gpuCluster('c1', 4)];
  check([
    {
      name: 'G03 the cheapest nodes for the whole gang, with what is free',
      clusters: four,
      running: [whole('a', 1), whole('b', 2, { ranSeconds: 60 }), whole('c', 3, { ranSeconds: 90 })],
      pending: [gangOf(3, 8)],
      want: ['gang stops b', 'gang stops c', 'gang waits for c1-n2 c1-n3 c1-n4'],
    },
    {
      name: 'G03 only if the whole gang then fits',
      clusters: four,
      running: [
        whole('a', 1),
        whole('b', 2),
        whole('fixed', 3, { preemptible: false }),
        whole('higher', 4, { priority: 9 }),
      ],
      pending: [gangOf(3, 8)],
      want: [],
    },
    {
      name: 'G03 a gang that may start smaller makes room for no more than that',
      clusters: four,
      running: [whole('a', 1), whole('b', 2), whole('c', 3), whole('d', 4)],
      pending: [gangOf(4, 8, {}, { minimum: 2 })],
      want: ['gang stops a', 'gang stops b', 'gang waits for c1-n1 c1-n2'],
    },
    {
      name: 'G03 the lowest priorities that do, before the cost',
      clusters: four,
      running: [
        whole('m1', 1, { priority: 5, ranSeconds: 1 }),
        whole('m2', 2, { priority: 5, ranSeconds: 1 }),
        whole('l1', 3),
        whole('l2', 4),
      ],
      pending: [gangOf(2, 8)],
      want: ['gang stops l1', 'gang stops l2', 'gang waits for c1-n3 c1-n4'],
    },
    {
      name: 'T02 in one rack where that is required, though other nodes lose less',
      clusters: [gpuCluster('c1', 4, 8, { nodesPerRack: 2 })],
      running: [
        whole('a', 1, { ranSeconds: 1 }),
        whole('fixed', 2, { preemptible: false }),
        whole('b', 3),
        whole('c', 4),
      ],
      pending: [gangOf(2, 8, {}, within('rack'))],
      want: ['gang stops b', 'gang stops c', 'gang waits for c1-n3 c1-n4'],
    },
    {
      name: 'two members a node where that loses less',
      clusters: [gpuCluster('c1', 2)],
      running: [
        running('a', { node: 'c1-n1', devices: 4, ranSeconds: 10 }),
        running('b', { node: 'c1-n1', firstDevice: 4, devices: 4, ranSeconds: 10 }),
        whole('c', 2),
      ],
      pending: [gangOf(2, 4)],
      want: ['gang stops a', 'gang stops b', 'gang waits for c1-n1 c1-n1'],
    },
    {
      name: 'P21 within one cluster, though one node of another loses less',
      clusters: [gpuCluster('c1', 2), gpuCluster('c2', 1)],
      running: [
        whole('a', 1),
        whole('b', 2),
        running('c', { cluster: 'c2', node: 'c2-n1', devices: 8, ranSeconds: 1 }),
      ],
      pending: [gangOf(2, 8)],
      want: ['gang stops a', 'gang stops b', 'gang waits for c1-n1 c1-n2'],
    },
  ]);

  it('G04 a victim gang ends whole, and its room in all nodes is used', () => {
    const tasks = [1, 2].map((node) => binding(node - 1, 'c1', [on(`c1-n${node}`, 8)]));
    const got = plan({
      clusters: four,
      running: [running('victims', { tasks, claim: claim(8), ranSeconds: 10 }), whole('c', 3), whole('d', 4)],
      pending: [gangOf(2, 8)],
    });
    expect(words(got)).toEqual(['gang stops victims', 'gang waits for c1-n1 c1-n2']);
    expect(got.stops[0]!.lostDeviceSeconds).toBe(10 * 16);
  });

  it('G04 for one member, too, and counted whole against others', () => {
    const tasks = [1, 2].map((node) => binding(node - 1, 'c1', [on(`c1-n${node}`, 8)]));
    const got = plan({
      clusters: [gpuCluster('c1', 3)],
      running: [running('victims', { tasks, claim: claim(8), ranSeconds: 10 }), whole('c', 3, { ranSeconds: 19 })],
      pending: [pending('high', { priority: 8, devices: 8 })],
    });
    expect(words(got)).toEqual(['high stops c', 'high waits for c1-n3']);
  });

  it('G06 no cascade: what was evicted for one makes no room by evicting others in the same cycle', () => {
    const got = plan({
      clusters: [gpuCluster('c1', 2)],
      running: [whole('m', 1, { priority: 5 }), whole('l', 2, { ranSeconds: 9 })],
      pending: [gangOf(2, 8), pending('m-again', { priority: 5, devices: 8 })],
    });
    expect(words(got)).toEqual(['gang stops l', 'gang stops m', 'gang waits for c1-n1 c1-n2']);
  });
});
