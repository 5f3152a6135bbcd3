/** Who is asked to end for whom. Fixture: nodes of 8 devices; priorities H 8 > M 5 > L 2. */
import { describe, expect, it } from '@jest/globals';
import { fill, H, HOUR, high, L, M, plan, told, words } from './cycle.builders.ts';
import type { PendingWorkload, RunningWorkload, WorkloadCluster, WorkloadPolicy } from './snapshot.ts';
import {
  binding,
  claim,
  GIGABYTE,
  gpuCluster,
  NOW_MS,
  on,
  type PendingSketch,
  pending,
  running,
} from './workloads.builders.ts';

interface Row {
  readonly name: string;
  readonly running: RunningWorkload[];
  readonly pending?: PendingWorkload[];
  readonly clusters?: WorkloadCluster[];
  readonly policy?: Partial<WorkloadPolicy>;
  readonly want: string[];
}

function check(rows: readonly Row[]): void {
  it.each(rows)('$name', ({ pending: waits = [high(1)], want, name: _name, ...parts }) => {
    expect(words(plan({ pending: waits, ...parts }))).toEqual(want);
  });
}

describe('whom', () => {
  check([
    {
      name: 'P01 lowest first: L and M run, H needs 1',
      running: fill('c1-n1', { m: { priority: M, devices: 4, ranSeconds: 10 }, l: { priority: L, devices: 4 } }),
      want: ['high stops l', 'high waits for c1-n1'],
    },
    {
      name: 'P02 equal never',
      running: fill('c1-n1', { equal: { priority: H, devices: 8 } }),
      want: [],
    },
    {
      name: 'P03 higher never',
      running: fill('c1-n1', { higher: { priority: 9, devices: 8 } }),
      want: [],
    },
    {
      name: 'P04 needs 8, only 4 are preemptible: nothing is evicted',
      running: fill('c1-n1', { l: { devices: 4 }, fixed: { devices: 4, preemptible: false } }),
      pending: [high(8)],
      want: [],
    },
    {
      name: 'P05 needs 4, 2 free, L(1) L(1) L(4): the two that lose least',
      running: fill('c1-n1', {
        one: {},
        two: {},
        four: { devices: 4, savedSecondsAgo: 2 * HOUR },
      }),
      pending: [high(4)],
      want: ['high stops two', 'high stops one', 'high waits for c1-n1'],
    },
    {
      name: 'P05 needs 4, 2 free, L(1) L(1) L(4): the one that loses least',
      running: fill('c1-n1', { one: {}, two: {}, four: { devices: 4, savedSecondsAgo: 10 } }),
      pending: [high(4)],
      want: ['high stops four', 'high waits for c1-n1'],
    },
    {
      name: 'P06 give-back: {2, 4} for a need of 4 keeps only the 4',
      running: fill('c1-n1', {
        two: { devices: 2, savedSecondsAgo: 1 },
        four: { devices: 4, savedSecondsAgo: 600 },
        fixed: { devices: 2, preemptible: false },
      }),
      pending: [high(4)],
      want: ['high stops four', 'high waits for c1-n1'],
    },
    {
      name: 'P07 least lost since its checkpoint',
      running: fill('c1-n1', {
        unsaved: { devices: 4, ranSeconds: 1_000 },
        saved: { devices: 4, ranSeconds: 100_000, savedSecondsAgo: 60 },
      }),
      want: ['high stops saved', 'high waits for c1-n1'],
    },
    {
      name: 'P07 a checkpoint of an earlier run keeps nothing of this one',
      running: fill('c1-n1', {
        resumed: { devices: 4, ranSeconds: 1_000, savedSecondsAgo: 100_000 },
        fresh: { devices: 4, ranSeconds: 900 },
      }),
      want: ['high stops fresh', 'high waits for c1-n1'],
    },
    {
      name: 'P07 by the policy that stops the youngest, what is lost does not count',
      running: fill('c1-n1', {
        young: { devices: 4, ranSeconds: 1_000 },
        saved: { devices: 4, ranSeconds: 100_000, savedSecondsAgo: 60 },
      }),
      policy: { victims: 'youngest' },
      want: ['high stops young', 'high waits for c1-n1'],
    },
    {
      name: 'P08 the newest among equals',
      running: fill('c1-n1', {
        old: { devices: 4, ranSeconds: 9_000, savedSecondsAgo: 60 },
        young: { devices: 4, ranSeconds: 5_000, savedSecondsAgo: 60 },
      }),
      want: ['high stops young', 'high waits for c1-n1'],
    },
    {
      name: 'P12 not before its minimum run time',
      running: fill('c1-n1', {
        young: { devices: 4, ranSeconds: 599, minimumRunSeconds: 600 },
        old: { devices: 4, ranSeconds: 600, minimumRunSeconds: 600, priority: M },
      }),
      want: ['high stops old', 'high waits for c1-n1'],
    },
    {
      name: 'P13 not while it is protected',
      running: fill('c1-n1', {
        tired: { devices: 4, preemptions: 5, preemptionsMax: 5, protectedSeconds: 7_200, ranSeconds: HOUR },
        other: { devices: 4, priority: M },
      }),
      want: ['high stops other', 'high waits for c1-n1'],
    },
    {
      name: 'P13 again once that is over',
      running: fill('c1-n1', {
        rested: { devices: 4, preemptions: 5, preemptionsMax: 5, protectedSeconds: HOUR, ranSeconds: HOUR },
        other: { devices: 4, priority: M },
      }),
      want: ['high stops rested', 'high waits for c1-n1'],
    },
    {
      name: 'P14 a preemptor whose policy is never waits',
      running: fill('c1-n1', { l: { devices: 8 } }),
      pending: [high(1, { preemption: 'never' })],
      want: [],
    },
    {
      name: 'P15 what is not preemptible is never chosen',
      running: fill('c1-n1', { fixed: { devices: 8, preemptible: false, priority: 0 } }),
      want: [],
    },
    {
      name: 'an installation that never preempts',
      running: fill('c1-n1', { l: { devices: 8 } }),
      policy: { preempts: false },
      want: [],
    },
  ]);

  it('P16 fewest overdrawn budgets, at any loss', () => {
    const budget = { id: 'ring', allowed: 1 };
    const rows = fill('c1-n1', {
      a: { devices: 2, budget, ranSeconds: 10 },
      b: { devices: 2, budget, ranSeconds: 11 },
      c: { devices: 4, ranSeconds: 100 * HOUR },
    });
    expect(words(plan({ running: rows, pending: [high(4)] }))).toEqual(['high stops c', 'high waits for c1-n1']);
    expect(words(plan({ running: rows, pending: [high(2)] }))).toEqual(['high stops a', 'high waits for c1-n1']);
  });

  it('P16 overdrawn where nothing else would do, and said so', () => {
    const budget = { id: 'ring', allowed: 1 };
    const rows = fill('c1-n1', { a: { devices: 4, budget }, b: { devices: 4, budget } });
    expect(words(plan({ running: rows, pending: [high(8)] }))).toEqual([
      'high stops b',
      'high stops a over budget',
      'high waits for c1-n1',
    ]);
  });

  it('P16 what already ends has used its budget up', () => {
    const budget = { id: 'ring', allowed: 1 };
    const rows = fill('c1-n1', {
      ending: { devices: 4, budget, isEnding: true },
      next: { devices: 2, budget, ranSeconds: 1 },
      free: { devices: 2, ranSeconds: 100 * HOUR },
    });
    expect(words(plan({ running: rows, pending: [high(6)] }))).toEqual(['high stops free', 'high waits for c1-n1']);
  });
});

describe('where', () => {
  const two = [gpuCluster('c1', 2)];
  check([
    {
      name: 'P17 the lowest top victim class before the cost',
      clusters: two,
      running: [
        ...fill('c1-n1', { m: { priority: M, devices: 8, ranSeconds: 1 } }),
        ...fill('c1-n2', { l: { priority: L, devices: 8, ranSeconds: 100 * HOUR } }),
      ],
      want: ['high stops l', 'high waits for c1-n2'],
    },
    {
      name: 'P17 the smallest cost before the fewest victims',
      clusters: two,
      running: [
        ...fill('c1-n1', { whole: { devices: 8, ranSeconds: 1_000 } }),
        ...fill('c1-n2', { a: { devices: 4, ranSeconds: 900 }, b: { devices: 4, ranSeconds: 900 } }),
      ],
      pending: [high(8)],
      want: ['high stops b', 'high stops a', 'high waits for c1-n2'],
    },
    {
      name: 'P17 the fewest victims at equal cost',
      clusters: two,
      running: [
        ...fill('c1-n1', { a: { devices: 4 }, b: { devices: 4 } }),
        ...fill('c1-n2', { whole: { devices: 8 } }),
      ],
      pending: [high(8)],
      want: ['high stops whole', 'high waits for c1-n2'],
    },
    {
      name: 'P17 where most stays that may not be asked, so that other nodes stay whole, before the latest start',
      clusters: two,
      running: [
        ...fill('c1-n1', { a: { devices: 2, ranSeconds: 9_000, savedSecondsAgo: 60 }, h: { priority: H, devices: 6 } }),
        ...fill('c1-n2', { b: { devices: 2, ranSeconds: 5_000, savedSecondsAgo: 60 }, l: { devices: 6 } }),
      ],
      pending: [high(2)],
      want: ['high stops a', 'high waits for c1-n1'],
    },
    {
      name: 'P17 the latest start at equal cost and number',
      clusters: two,
      running: [
        ...fill('c1-n1', { old: { devices: 8, ranSeconds: 9_000, savedSecondsAgo: 60 } }),
        ...fill('c1-n2', { young: { devices: 8, ranSeconds: 5_000, savedSecondsAgo: 60 } }),
      ],
      want: ['high stops young', 'high waits for c1-n2'],
    },
    {
      name: 'no victim where something is free',
      clusters: two,
      running: fill('c1-n1', { l: { devices: 8 } }),
      pending: [high(8)],
      want: ['+high c1-n2'],
    },
    {
      name: 'P18 the type still fails after eviction: nothing is evicted',
      clusters: [gpuCluster('c1', 1, 8, { deviceType: 'huawei.com/ascend-npu' })],
      running: fill('c1-n1', { l: { devices: 8, claim: claim(8, 'huawei.com/ascend-npu') } }),
      pending: [high(8)],
      want: [],
    },
    {
      name: 'P18 the topology still fails after eviction: nothing is evicted',
      clusters: [gpuCluster('c1', 1, 8, { devicesPerLink: 4 })],
      running: fill('c1-n1', { l: { devices: 4 }, fixed: { devices: 4, preemptible: false } }),
      pending: [pending('high', { priority: H, claim: claim(8, 'nvidia.com/gpu', 'link') })],
      want: [],
    },
    {
      name: 'P18 the memory still fails after eviction: nothing is evicted',
      running: fill('c1-n1', { l: { devices: 8 } }),
      pending: [pending('high', { priority: H, claim: { ...claim(1), memoryBytesPerDevice: 96 * GIGABYTE } })],
      want: [],
    },
    {
      name: 'the one with the memory, though another loses less',
      clusters: [
        gpuCluster('c1', 1, 8, {
          eachNode: (node) => ({
            ...node,
            devices: node.devices.map((each, at) => (at < 4 ? each : { ...each, memoryBytes: 160 * GIGABYTE })),
          }),
        }),
      ],
      running: fill('c1-n1', { small: { devices: 4, ranSeconds: 1 }, large: { devices: 4 } }),
      pending: [pending('high', { priority: H, claim: { ...claim(4), memoryBytesPerDevice: 100 * GIGABYTE } })],
      want: ['high stops large', 'high waits for c1-n1'],
    },
    {
      name: 'P21 one cluster suffers, not half of each of two',
      clusters: [gpuCluster('c1'), gpuCluster('c2')],
      running: [
        ...fill('c1-n1', { a: { devices: 4 }, b: { devices: 4 } }),
        ...fill('c2-n1', { c: { devices: 8, cluster: 'c2', ranSeconds: 1_800 } }),
      ],
      pending: [high(8)],
      want: ['high stops c', 'high waits for c2-n1'],
    },
    {
      name: 'P21 a gang over two clusters is no victim',
      clusters: [gpuCluster('c1'), gpuCluster('c2')],
      running: [
        running('wide', {
          devices: 8,
          tasks: [binding(0, 'c1', [on('c1-n1', 8)]), binding(1, 'c2', [on('c2-n1', 8)])],
        }),
      ],
      want: [],
    },
    {
      name: 'edge clusters are not preempted',
      clusters: [gpuCluster('c1', 1, 8, { kind: 'edge' })],
      running: [running('l', { devices: 8 })],
      want: [],
    },
    {
      name: 'not in a cluster that takes nothing new',
      clusters: [gpuCluster('c1', 1, 8, { closed: 'Suspect' })],
      running: fill('c1-n1', { l: { devices: 8 } }),
      want: [],
    },
    {
      name: 'a rack-wide claim takes a whole rack',
      clusters: [gpuCluster('c1', 4, 8, { nodesPerRack: 2 })],
      running: [
        ...fill('c1-n1', { a: { devices: 8 } }),
        ...fill('c1-n2', { b: { devices: 8 } }),
        ...fill('c1-n3', { c: { devices: 8, ranSeconds: 1 } }),
        ...fill('c1-n4', { d: { devices: 8, priority: H } }),
      ],
      pending: [pending('high', { priority: H, claim: claim(16, 'nvidia.com/gpu', 'rack') })],
      want: ['high stops b', 'high stops a', 'high waits for c1-n1+c1-n2'],
    },
  ]);
});

describe('while victims end', () => {
  const since = new Date(NOW_MS - 10_000);
  /** Devices 0 to 3 of the node, unless `rest` says otherwise. */
  const promised = (rest: PendingSketch = {}, devices = [on('c1-n1', 4)]) =>
    high(4, { nomination: { clusterId: 'c1', tasks: [binding(0, 'c1', devices)], since }, ...rest });
  const ending = { ending: { devices: 4, isEnding: true } };
  /** Half of the promised room is free already, half still ends. */
  const halfFree = fill('c1-n1', { ending: { devices: 2, isEnding: true }, other: { devices: 4, priority: H } });
  const bothHalves = [on('c1-n1', 2), on('c1-n1', 2, 6)];
  check([
    {
      name: 'P09 what already ends is enough: no new eviction',
      running: fill('c1-n1', { ...ending, l: { devices: 4 } }),
      pending: [high(4)],
      want: ['high waits for c1-n1'],
    },
    {
      name: 'P09 only what is missing beyond it is evicted',
      running: fill('c1-n1', { ...ending, a: { devices: 2 }, b: { devices: 2, ranSeconds: 1 } }),
      pending: [high(6)],
      want: ['high stops b', 'high waits for c1-n1'],
    },
    {
      name: 'P10 the next cycle keeps the room and evicts nobody',
      running: fill('c1-n1', { ...ending, l: { devices: 4 } }),
      pending: [promised()],
      want: [],
    },
    {
      name: 'P10 once the victim is gone it starts there',
      running: fill('c1-n1', { ...ending, l: { devices: 4 } }).slice(1),
      pending: [promised()],
      want: ['+high c1-n1'],
    },
    {
      name: 'P10 sooner, where other room comes free',
      clusters: [gpuCluster('c1', 2)],
      running: [
        ...fill('c1-n1', { ...ending, l: { devices: 4 } }),
        ...fill('c1-n2', { m: { devices: 4, priority: M } }),
      ],
      pending: [promised()],
      want: ['+high c1-n2'],
    },
    {
      name: 'P11 a later equal one gets no promised room, though it is free',
      running: halfFree,
      pending: [pending('later', { priority: H, devices: 2, waitsSeconds: 9_999 }), promised({}, bothHalves)],
      want: [],
    },
    {
      name: 'P11 a higher one may have it; the first then waits for what still comes, evicting nobody anew',
      running: halfFree,
      pending: [pending('higher', { priority: 9, devices: 2 }), promised({}, bothHalves)],
      want: ['+higher c1-n1', 'high is let go'],
    },
    {
      name: 'P11 two in one cycle get different victims',
      running: fill('c1-n1', { a: { devices: 4 }, b: { devices: 4, ranSeconds: 1 } }),
      pending: [high(4), pending('second', { priority: H, devices: 4 })],
      want: ['high stops b', 'second stops a', 'high waits for c1-n1', 'second waits for c1-n1'],
    },
    {
      name: 'P19 a victim that does not end breaks the promise: others are asked instead',
      running: fill('c1-n1', { stays: { devices: 4, priority: H }, l: { devices: 4 } }),
      pending: [promised()],
      want: ['high stops l', 'high waits for c1-n1'],
    },
    {
      name: 'P22 a promised device that vanished breaks the promise',
      clusters: [gpuCluster('c1', [2])],
      running: [],
      pending: [promised()],
      want: ['high is let go'],
    },
    {
      name: 'a promise in a cluster that takes nothing new is let go',
      clusters: [gpuCluster('c1', 1, 8, { closed: 'Unknown' })],
      running: fill('c1-n1', ending),
      pending: [promised()],
      want: ['high is let go'],
    },
    {
      name: 'a promise to a workload whose queue was paused is let go',
      running: fill('c1-n1', ending),
      pending: [promised({ notBeforeMs: NOW_MS + 1 })],
      want: ['high is let go'],
    },
    {
      name: 'what is ending counts as taken for what starts now',
      running: fill('c1-n1', { ...ending, h: { devices: 4, priority: 9 } }),
      pending: [high(4, { preemption: 'never' })],
      want: [],
    },
    {
      name: 'G06 what starts in a cycle is no victim of it',
      running: [],
      pending: [
        pending('low', { priority: L, devices: 8, queueId: 'a' }),
        pending('high', { priority: H, devices: 8 }),
      ],
      want: ['+high c1-n1'],
    },
  ]);
});

describe('what is told', () => {
  it('P01 the preemptor: where, who, and what is lost', () => {
    const got = plan({ running: fill('c1-n1', { l: { devices: 8, savedSecondsAgo: 60 } }), pending: [high(4)] });
    expect(got.verdicts).toEqual([
      {
        workloadId: 'high',
        state: 'nominated',
        place: 1,
        reason: 'starts in c1 on c1-n1 once room is made: 1 that runs is asked to end (l), 480 device-seconds are lost',
        candidates: [expect.objectContaining({ clusterId: 'c1', rejectedBecause: null })],
        victims: [{ jobId: 'l', jobName: 'l', attemptId: 'l-attempt', priority: L, lostDeviceSeconds: 480 }],
        changes: [],
        startsByMs: null,
      },
    ]);
    expect(got.stops).toEqual([
      {
        holderId: 'l-attempt',
        workloadId: 'l',
        byWorkloadId: 'high',
        cause: 'preempted',
        lostDeviceSeconds: 480,
        reason: 'preempted by high (priority 8 over 2)',
        violatesBudget: false,
      },
    ]);
  });

  it.each([
    ['P03 higher never', { a: { priority: 9, devices: 8 } }, {}, '; the one that runs there is as important or more'],
    [
      'P14 never',
      { a: { devices: 8 } },
      { preemption: 'never' as const },
      '; by its priority class nothing is stopped for it',
    ],
    [
      'P12, P13, P15 each with its words',
      {
        a: { devices: 2, preemptible: false },
        b: { devices: 2, ranSeconds: 1, minimumRunSeconds: 9 },
        c: { devices: 2, ranSeconds: 1, preemptions: 5, protectedSeconds: 9 },
        d: { devices: 2 },
      },
      {},
      '; of 4 that run there 1 has not yet run for its minimum, 1 may not be preempted, 1 was preempted often and is protected for a while, 1 would not make enough room',
    ],
  ])('%s', (_name, jobs, rest, words) => {
    const got = plan({ running: fill('c1-n1', jobs), pending: [high(8, rest)] });
    expect(told(got)).toEqual({
      high: `waiting: 0/1 clusters fit: 1 has no free nvidia.com/gpu ×8 in one node${words}`,
    });
  });
});
