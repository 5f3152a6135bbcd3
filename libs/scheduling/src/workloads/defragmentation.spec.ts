import { describe, expect, it } from '@jest/globals';
import { Capacity } from './capacity.ts';
import { proposeDefragmentation } from './defragmentation.ts';
import type { RunningWorkload, WorkloadCluster } from './snapshot.ts';
import {
  binding,
  claim,
  gang,
  gpuCluster,
  on,
  type PendingSketch,
  request,
  running,
  within,
} from './workloads.builders.ts';

function capacityOf(clusters: readonly WorkloadCluster[], runs: readonly RunningWorkload[]): Capacity {
  const capacity = new Capacity(clusters);
  for (const { holderId, claim: held, tasks } of runs) capacity.take(holderId, held, tasks);
  return capacity;
}

interface Case {
  readonly name: string;
  readonly clusters?: readonly WorkloadCluster[];
  readonly runs: readonly RunningWorkload[];
  readonly asks?: PendingSketch;
  /** `domain: workload ×devices …`; null: no proposal. */
  readonly want: string | null;
}

const at = (name: string, node: string, devices: number, firstDevice = 0, rest = {}) =>
  running(name, { node, devices, firstDevice, ...rest });

const cases: Case[] = [
  {
    name: 'T07 four and four are free, eight of one node are wanted',
    runs: [at('a', 'c1-n1', 4), at('b', 'c1-n2', 3), at('c', 'c1-n2', 1, 3)],
    want: 'node c1-n1: a ×4',
  },
  {
    name: 'the node that needs the fewest devices moved',
    clusters: [gpuCluster('c1', 3)],
    runs: [at('a', 'c1-n1', 6), at('b', 'c1-n2', 2), at('c', 'c1-n3', 6)],
    asks: { devices: 8 },
    want: 'node c1-n2: b ×2',
  },
  {
    name: 'only as many as are needed, the smallest that are enough',
    clusters: [gpuCluster('c1', 2)],
    runs: [at('a', 'c1-n1', 3), at('b', 'c1-n1', 2, 3), at('c', 'c1-n2', 4), at('d', 'c1-n2', 1, 4)],
    asks: { devices: 4 },
    want: 'node c1-n2: d ×1',
  },
  {
    name: 'one alone rather than two that are more',
    clusters: [gpuCluster('c1', 2)],
    runs: [at('a', 'c1-n1', 1), at('b', 'c1-n1', 2, 1), at('c', 'c1-n1', 3, 3), at('d', 'c1-n2', 4)],
    asks: { devices: 5 },
    want: 'node c1-n1: c ×3',
  },
  {
    name: 'a rack for a gang',
    clusters: [gpuCluster('c1', 4, 2, { nodesPerRack: 2 })],
    runs: [at('a', 'c1-n1', 2), at('b', 'c1-n3', 1)],
    asks: { devices: 2, gang: gang(2, within('rack')) },
    want: 'rack r2: b ×1',
  },
  {
    name: 'it fits as it is',
    runs: [at('a', 'c1-n1', 4)],
    want: null,
  },
  {
    name: 'what would move has nowhere to go',
    runs: [at('a', 'c1-n1', 5), at('b', 'c1-n2', 4)],
    want: null,
  },
  {
    name: 'too little is free, together or not',
    runs: [at('a', 'c1-n1', 8), at('b', 'c1-n2', 1)],
    want: null,
  },
  {
    name: 'nothing may be moved',
    runs: [at('a', 'c1-n1', 4, 0, { preemptible: false }), at('b', 'c1-n2', 4, 0, { isEnding: true })],
    want: null,
  },
  {
    name: 'nothing is bound by the centre',
    clusters: [gpuCluster('c1', 2, 8, { kind: 'edge' })],
    runs: [running('a', { devices: 5 }), running('b', { devices: 4 })],
    want: null,
  },
  {
    name: 'a gang moves whole, or not at all',
    clusters: [gpuCluster('c1', 2, 4)],
    runs: [
      running('pair', {
        claim: claim(1),
        tasks: [binding(0, 'c1', [on('c1-n1', 1)]), binding(1, 'c1', [on('c1-n2', 1)])],
      }),
    ],
    asks: { devices: 4 },
    want: 'node c1-n1: pair ×2',
  },
];

const among = (runs: readonly RunningWorkload[]) => (holderId: string) =>
  runs.find((each) => each.holderId === holderId);

describe('what would have to move', () => {
  it.each(cases)('$name', ({ clusters = [gpuCluster('c1', 2)], runs, asks = { devices: 8 }, want }) => {
    const capacity = capacityOf(clusters, runs);
    const proposal = proposeDefragmentation(capacity, request(asks), among(runs));
    const moves = proposal?.moves.map(({ workloadId, deviceCount }) => `${workloadId} ×${deviceCount}`).join(', ');
    expect(proposal === null ? null : `${proposal.domain}: ${moves}`).toBe(want);
  });

  it('leaves the account as it was', () => {
    const runs = [at('a', 'c1-n1', 4), at('b', 'c1-n2', 4)];
    const clusters = [gpuCluster('c1', 2)];
    const capacity = capacityOf(clusters, runs);
    proposeDefragmentation(capacity, request({ devices: 8 }), among(runs));
    expect(capacity.domains('c1', request())).toEqual(capacityOf(clusters, runs).domains('c1', request()));
  });
});
