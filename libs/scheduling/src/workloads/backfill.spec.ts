/** What may go ahead of a workload that waits for room. Fixture: one node of 8 devices unless said otherwise. */
import { describe, expect, it } from '@jest/globals';
import { plan, words } from './cycle.builders.ts';
import type { PendingWorkload, RunningWorkload, WorkloadCluster, WorkloadPolicy } from './snapshot.ts';
import { gang, gpuCluster, NOW_MS, type PendingSketch, pending, running } from './workloads.builders.ts';

const HOUR = 3_600;
/** Preempts nothing, waits first. */
const head = (devices: number, rest: PendingSketch = {}) =>
  pending('head', { devices, waitsSeconds: 100, preemption: 'never', ...rest });
const later = (name: string, devices: number, expectedSeconds: number | null, rest: PendingSketch = {}) =>
  pending(name, { devices, expectedSeconds, preemption: 'never', ...rest });

/** 4 of 8 devices, and an hour left. */
const busy = running('busy', { node: 'c1-n1', devices: 4, ranSeconds: HOUR, expectedSeconds: 2 * HOUR });

interface Row {
  readonly name: string;
  readonly clusters?: WorkloadCluster[];
  readonly running?: RunningWorkload[];
  readonly pending: PendingWorkload[];
  readonly policy?: Partial<WorkloadPolicy>;
  readonly want: string[];
  /** Seconds from now; null: it cannot be told. */
  readonly startsIn: number | null;
}

const rows: Row[] = [
  {
    name: 'B01 who is gone before the head can start goes ahead',
    pending: [head(8), later('short', 4, HOUR)],
    want: ['+short c1-n1 ahead'],
    startsIn: HOUR,
  },
  {
    name: 'B01 who would still be there does not',
    pending: [head(8), later('long', 4, HOUR + 1)],
    want: [],
    startsIn: HOUR,
  },
  {
    name: 'B01 who says nothing of its end does not',
    pending: [head(8), later('silent', 1, null)],
    want: [],
    startsIn: HOUR,
  },
  {
    name: 'B01 whoever uses none of its room does, for as long as it likes',
    clusters: [gpuCluster('c1', [8, 2])],
    pending: [head(8), later('small', 2, null)],
    want: ['+small c1-n2 ahead'],
    startsIn: HOUR,
  },
  {
    name: 'B01 what the head leaves over is nobody’s',
    pending: [head(6), later('two', 2, null), later('three', 3, null)],
    want: ['+two c1-n1 ahead'],
    startsIn: HOUR,
  },
  {
    name: 'B01 the first moment at which enough has ended, not the last',
    running: [
      running('soon', { node: 'c1-n1', devices: 2, ranSeconds: 0, expectedSeconds: 60 }),
      running('next', { node: 'c1-n1', firstDevice: 2, devices: 2, ranSeconds: 0, expectedSeconds: 120 }),
      running('last', { node: 'c1-n1', firstDevice: 4, devices: 4, ranSeconds: 0, expectedSeconds: 180 }),
    ],
    pending: [head(3)],
    want: [],
    startsIn: 120,
  },
  {
    name: 'B01 what is saved is not run again: counted from the newest checkpoint',
    running: [
      running('busy', {
        node: 'c1-n1',
        devices: 4,
        expectedSeconds: HOUR,
        savedSeconds: HOUR - 300,
        savedSecondsAgo: 100,
      }),
    ],
    pending: [head(8)],
    want: [],
    startsIn: 200,
  },
  {
    name: 'B02 one past its word may end at any moment',
    running: [running('late', { node: 'c1-n1', devices: 4, ranSeconds: HOUR, expectedSeconds: HOUR - 60 })],
    pending: [head(8), later('short', 4, 1)],
    want: [],
    startsIn: null,
  },
  {
    name: 'B02 one that outran it for too long holds the head up no more: another room is reserved',
    clusters: [gpuCluster('c1', 2)],
    running: [
      running('late', { node: 'c1-n1', devices: 4, ranSeconds: 3 * HOUR, expectedSeconds: HOUR }),
      running('fine', { node: 'c1-n2', devices: 6, ranSeconds: HOUR, expectedSeconds: 2 * HOUR }),
    ],
    pending: [head(8), later('beside', 4, null), later('in-its-room', 2, null)],
    want: ['+beside c1-n1 ahead'],
    startsIn: HOUR,
  },
  {
    name: 'B03 no end is known: the room with the most free drains for a head of 8',
    clusters: [gpuCluster('c1', 2)],
    running: [running('a', { node: 'c1-n1', devices: 3 }), running('b', { node: 'c1-n2', devices: 5 })],
    pending: [head(8), ...[1, 2, 3, 4, 5].map((each) => later(`small-${each}`, 1, null))],
    want: ['+small-1 c1-n2 ahead', '+small-2 c1-n2 ahead', '+small-3 c1-n2 ahead'],
    startsIn: null,
  },
  {
    name: 'room that is not enough beside replicas is kept for nobody, for they do not end',
    clusters: [gpuCluster('c1', 2)],
    running: [
      running('chat', { node: 'c1-n1', devices: 3, kind: 'serving' }),
      running('search', { node: 'c1-n2', devices: 5, kind: 'serving' }),
    ],
    pending: [head(8), ...[1, 2].map((each) => later(`small-${each}`, 1, null))],
    want: ['+small-1 c1-n2 ahead', '+small-2 c1-n2 ahead'],
    startsIn: null,
  },
  {
    name: 'room that jobs leave beside replicas is kept',
    clusters: [gpuCluster('c1', 2)],
    running: [
      running('chat', { node: 'c1-n1', devices: 7, kind: 'serving' }),
      running('search', { node: 'c1-n2', devices: 4, kind: 'serving' }),
      running('job', { node: 'c1-n2', devices: 2, firstDevice: 4 }),
    ],
    pending: [head(4), ...[1, 2].map((each) => later(`small-${each}`, 1, null))],
    want: ['+small-1 c1-n1 ahead'],
    startsIn: null,
  },
  {
    name: 'a gang’s room is reserved over all its nodes',
    clusters: [gpuCluster('c1', 3)],
    running: [running('busy', { node: 'c1-n1', devices: 8, ranSeconds: 0, expectedSeconds: 60 })],
    pending: [head(8, { gang: gang(3) }), later('short', 8, 60), later('long', 8, 61)],
    want: ['+short c1-n2 ahead'],
    startsIn: 60,
  },
  {
    name: 'what can never fit holds up nobody',
    pending: [head(9), later('small', 4, null)],
    want: ['+small c1-n1'],
    startsIn: null,
  },
  {
    name: 'what its backoff holds back holds up nobody',
    pending: [head(8, { notBeforeMs: NOW_MS + 1_000 }), later('small', 4, null)],
    want: ['+small c1-n1'],
    startsIn: null,
  },
  {
    name: 'without backfill, nobody goes ahead',
    clusters: [gpuCluster('c1', [8, 2])],
    pending: [head(8), later('small', 1, 1)],
    policy: { backfills: false },
    want: [],
    startsIn: null,
  },
  {
    name: 'what ends anyway is waited for: nobody goes there',
    running: [running('ending', { node: 'c1-n1', devices: 4, isEnding: true })],
    pending: [head(8), later('short', 4, 1)],
    want: [],
    startsIn: null,
  },
];

describe('ahead of the head', () => {
  it.each(rows)('$name', ({ name: _name, want, startsIn, running: runs = [busy], ...parts }) => {
    const got = plan({ running: runs, ...parts });
    const { startsByMs } = got.verdicts.find(({ workloadId }) => workloadId === 'head')!;
    expect({ words: words(got), startsIn: startsByMs === null ? null : (startsByMs - NOW_MS) / 1_000 }).toEqual({
      words: want,
      startsIn,
    });
  });

  it('B01 a head of one device type holds up no other', () => {
    const other = gpuCluster('c2', 1, 8, { deviceType: 'huawei.com/ascend-npu' });
    const npu = later('npu', 8, null, {
      claim: { deviceType: 'huawei.com/ascend-npu', count: 8, schedulingPolicy: { topologyScope: 'node' } },
    });
    const got = plan({ clusters: [gpuCluster('c1'), other], running: [busy], pending: [head(8), npu] });
    expect(words(got)).toEqual(['+npu c2-n1']);
  });
});
