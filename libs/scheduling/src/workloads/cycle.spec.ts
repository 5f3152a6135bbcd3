/** Whole cycles: who is served when, what everyone is told, and a few hundred cycles in a row. */
import { describe, expect, it } from '@jest/globals';
import { plan, told, words } from './cycle.builders.ts';
import { planWorkloads } from './cycle.ts';
import type { PendingWorkload, QueueSnapshot, RunningWorkload, WorkloadPolicy } from './snapshot.ts';
import type { WorkloadPlan } from './workload-plan.ts';
import {
  binding,
  claim,
  gang,
  gpuCluster,
  NOW_MS,
  on,
  type PendingSketch,
  pending,
  queue,
  type RunningSketch,
  running,
  snapshot,
} from './workloads.builders.ts';

const gpus = (count: number) => ({ 'nvidia.com/gpu': count });
const starters = ({ starts }: WorkloadPlan) => starts.map(({ workloadId }) => workloadId);
const several = (names: string, sketch: PendingSketch = {}) =>
  names.split(' ').map((name, index) => pending(name, { waitsSeconds: 100 - index, ...sketch }));

interface OrderRow {
  readonly name: string;
  readonly queues?: QueueSnapshot[];
  readonly devices?: number;
  readonly running?: RunningWorkload[];
  readonly pending: PendingWorkload[];
  readonly policy?: Partial<WorkloadPolicy>;
  readonly want: string[];
}

const hour = 3_600;

describe('who is served first', () => {
  const rows: OrderRow[] = [
    {
      name: 'the higher priority, whatever the queue',
      pending: [...several('a1 a2', { queueId: 'a', priority: 2 }), ...several('b1', { queueId: 'b', priority: 8 })],
      want: ['b1', 'a1', 'a2'],
    },
    {
      name: 'at equal priority the queue with the smaller share, looked at again after each start',
      pending: [...several('a1 a2 a3', { queueId: 'a' }), ...several('b1 b2 b3', { queueId: 'b' })],
      want: ['a1', 'b1', 'a2', 'b2', 'a3', 'b3'],
    },
    {
      name: 'what runs already counts in the share',
      running: [running('old', { node: 'c1-n1', devices: 2, queueId: 'a' })],
      pending: [...several('a1 a2', { queueId: 'a' }), ...several('b1 b2 b3', { queueId: 'b' })],
      want: ['b1', 'b2', 'a1', 'b3', 'a2'],
    },
    {
      name: 'F06 weights 2:1',
      queues: [queue('a', { weight: 2 }), queue('b')],
      devices: 6,
      pending: [...several('a1 a2 a3 a4 a5', { queueId: 'a' }), ...several('b1 b2 b3', { queueId: 'b' })],
      want: ['a1', 'b1', 'a2', 'a3', 'b2', 'a4'],
    },
    {
      name: 'the tree: a tenant with two queues gets no more than one with one',
      queues: [queue('root'), queue('a', { parentId: 'root' }), queue('b', { parentId: 'root' }), queue('other')],
      devices: 4,
      pending: [
        ...several('a1 a2', { queueId: 'a' }),
        ...several('b1 b2', { queueId: 'b' }),
        ...several('c1 c2', { queueId: 'other' }),
      ],
      want: ['c1', 'a1', 'c2', 'b1'],
    },
    {
      name: 'F07 weight zero has only what nobody else wants, whatever its priority',
      queues: [queue('idle', { weight: 0 }), queue('b')],
      devices: 3,
      pending: [
        ...several('i1 i2', { queueId: 'idle', priority: 8 }),
        ...several('b1 b2', { queueId: 'b', priority: 2 }),
      ],
      want: ['b1', 'b2', 'i1'],
    },
    {
      name: 'F07 what is its own, weight zero gets in its turn',
      queues: [queue('idle', { weight: 0, quota: gpus(1) }), queue('b')],
      devices: 3,
      pending: [
        ...several('i1 i2', { queueId: 'idle', priority: 8 }),
        ...several('b1 b2', { queueId: 'b', priority: 2 }),
      ],
      want: ['i1', 'b1', 'b2'],
    },
    {
      name: 'a first-come queue shows its oldest, whatever the priority',
      queues: [queue('default', { order: 'fcfs' })],
      pending: [pending('old', { priority: 2, waitsSeconds: 9 }), pending('young', { priority: 8, waitsSeconds: 1 })],
      want: ['old', 'young'],
    },
    {
      name: 'the shortest of a class where the queue says so',
      queues: [queue('default', { order: 'class-shortest' })],
      pending: [
        pending('long', { expectedSeconds: 9 * hour, waitsSeconds: 9 }),
        pending('short', { expectedSeconds: hour }),
      ],
      want: ['short', 'long'],
    },
    {
      name: 'the policy may put all queues in another order',
      queues: [queue('default', { order: 'fcfs' })],
      pending: [pending('old', { priority: 2, waitsSeconds: 9 }), pending('young', { priority: 8, waitsSeconds: 1 })],
      policy: { order: 'static-priority' },
      want: ['young', 'old'],
    },
    {
      name: 'without fair sharing the queues are one: first come, first served over all of them',
      queues: [queue('a', { order: 'fcfs' }), queue('b', { order: 'fcfs' })],
      pending: [
        pending('a1', { queueId: 'a', waitsSeconds: 9 }),
        pending('a2', { queueId: 'a', waitsSeconds: 8 }),
        pending('b1', { queueId: 'b', waitsSeconds: 7, priority: 9 }),
      ],
      policy: { sharesFairly: false },
      want: ['a1', 'a2', 'b1'],
    },
    {
      name: 'S02 what waited past the cap goes before its class and below, never above a higher one',
      queues: [queue('a'), queue('b')],
      pending: [
        pending('urgent', { queueId: 'a', priority: 8 }),
        pending('normal', { queueId: 'a', priority: 5 }),
        pending('aged', { queueId: 'b', priority: 5, waitsSeconds: 2 * hour }),
        pending('aged-low', { queueId: 'b', priority: 2, waitsSeconds: 3 * hour }),
      ],
      policy: { waitCapSeconds: hour },
      want: ['urgent', 'aged', 'normal', 'aged-low'],
    },
  ];
  it.each(rows)('$name', ({ queues, devices = 8, want, name: _name, ...parts }) => {
    const names = new Set(parts.pending.map(({ queueId }) => queueId));
    const all = queues ?? [...names].map((name) => queue(name));
    expect(starters(plan({ ...parts, queues: all, clusters: [gpuCluster('c1', 1, devices)] }))).toEqual(want);
  });

  it('S04 the order in which the snapshot lists things changes nothing', () => {
    const waits = [...several('a1 a2 a3', { queueId: 'a' }), ...several('b1 b2 b3', { queueId: 'b', priority: 8 })];
    const queues = [queue('a'), queue('b')];
    const parts = { clusters: [gpuCluster('c1', 1, 4)], queues };
    const [one, other] = [plan({ ...parts, pending: waits }), plan({ ...parts, pending: [...waits].reverse() })];
    expect(other).toEqual(one);
  });
});

describe('quota', () => {
  const tight = [queue('default', { quota: gpus(4), borrowingLimit: gpus(0) })];

  it('F11 two in one cycle cannot both take the last unit', () => {
    const got = plan({ queues: tight, pending: several('one two', { devices: 3, preemption: 'never' }) });
    expect(words(got)).toEqual(['+one c1-n1']);
    expect(got.verdicts[1]).toMatchObject({ workloadId: 'two', state: 'held', place: 1 });
    expect(told(got).two).toBe(
      'held: queue default uses 3 nvidia.com/gpu; 3 more would exceed its quota of 4 and the 0 that it may borrow',
    );
    expect(got.verdicts[1]!.changes).toEqual([
      'wait until queue default gives back 2 nvidia.com/gpu, or raise the quota or the borrowing limit of queue default',
    ]);
  });

  const half = { clusterId: 'c1', tasks: [binding(0, 'c1', [on('c1-n1', 2)])], since: new Date(NOW_MS) };
  const nominated = pending('nominated', { devices: 2, priority: 8, nomination: half });
  const endsFor = running('ending', { node: 'c1-n1', devices: 2, isEnding: true });

  it('F12 what makes room for a nominated one is not charged beside it', () => {
    const got = plan({
      clusters: [gpuCluster('c1', [2, 1, 1])],
      queues: tight,
      running: [endsFor],
      pending: [nominated, ...several('one two')],
    });
    expect(words(got)).toEqual(['+one c1-n2', '+two c1-n3']);
  });

  it('F12 it is once the nominated one starts elsewhere', () => {
    const got = plan({ queues: tight, running: [endsFor], pending: [nominated, ...several('one')] });
    expect(words(got)).toEqual(['+nominated c1-n1']);
  });

  it('F12 nor may it start elsewhere when both together exceed the quota', () => {
    const nomination = { clusterId: 'c1', tasks: [binding(0, 'c1', [on('c1-n1', 4)])], since: new Date(NOW_MS) };
    const got = plan({
      queues: tight,
      running: [running('ending', { node: 'c1-n1', devices: 4, isEnding: true })],
      pending: [pending('nominated', { devices: 4, priority: 8, nomination })],
    });
    expect(told(got)).toEqual({ nominated: 'nominated: waits for the room that is being made for it in c1 on c1-n1' });
  });

  it('F13 serving counts in the same account', () => {
    const replica = running('replica', { node: 'c1-n1', devices: 3, kind: 'serving', preemptible: false });
    expect(starters(plan({ queues: tight, running: [replica], pending: several('one two') }))).toEqual(['one']);
  });

  it('what can never be admitted is told so', () => {
    const got = plan({ queues: tight, pending: several('huge', { devices: 5 }) });
    expect(got.verdicts[0]!.state).toBe('unschedulable');
  });
});

describe('what everyone is told', () => {
  it('each waiting one its place in its queue, in order', () => {
    const got = plan({
      clusters: [gpuCluster('c1', 1, 1)],
      pending: [...several('a1 a2 a3', { queueId: 'a' }), ...several('b1', { queueId: 'b' })],
    });
    expect(got.verdicts.map(({ workloadId, place }) => [workloadId, place])).toEqual([
      ['a1', null],
      ['b1', 1],
      ['a2', 1],
      ['a3', 2],
    ]);
  });

  const rows: { name: string; parts: Parameters<typeof plan>[0]; want: string; changes?: string[] }[] = [
    {
      name: 'a start: where',
      parts: { pending: [pending('job', { devices: 2 })] },
      want: 'started: runs in c1 on c1-n1',
    },
    {
      name: 'a gang’s start',
      parts: {
        clusters: [gpuCluster('c1', 2)],
        pending: [pending('job', { devices: 8, gang: gang(3, { minimum: 2 }) })],
      },
      want: 'started: runs 2 of 3 members in c1 on 2 nodes',
    },
    {
      name: 'counts of clusters and why',
      parts: {
        clusters: [
          gpuCluster('c1', 1, 4),
          gpuCluster('c2', 1, 8, { closed: 'Suspect' }),
          gpuCluster('c3', 1, 8, { region: 'eu' }),
        ],
        pending: [pending('job', { devices: 8, selector: { regions: ['cn'] } })],
      },
      want: 'waiting: 0/3 clusters fit: 1 Suspect, 1 lacks nvidia.com/gpu ×8 in one node, 1 outside region cn',
    },
    {
      name: 'X01 no new work on an expired lease',
      parts: { clusters: [gpuCluster('c1', 1, 8, { closed: 'Unknown' })], pending: [pending('job')] },
      want: 'waiting: 0/1 clusters fit: 1 Unknown',
    },
    {
      name: 'no cluster at all',
      parts: { clusters: [], pending: [pending('job')] },
      want: 'waiting: no cluster has joined yet',
    },
    {
      name: 'T06 a device type that no cluster has',
      parts: { pending: [pending('job', { claim: claim(1, 'cambricon.com/mlu') })] },
      want: 'unschedulable: can never fit: 0/1 clusters fit: 1 lacks cambricon.com/mlu ×1 in one node',
    },
    {
      name: 'T06 a device type that the fleet has none of: the largest of others',
      parts: {
        clusters: [gpuCluster('c1', 2), gpuCluster('c2', 1, 64, { deviceType: 'cpu' })],
        pending: [pending('job', { claim: claim(1, 'cambricon.com/mlu') })],
      },
      want: 'unschedulable: can never fit: 0/2 clusters fit: 2 lack cambricon.com/mlu ×1 in one node',
      changes: [
        'ask for another device type: the largest that could ever fit is nvidia.com/gpu ×8 in c1, cpu ×64 in c2',
      ],
    },
    {
      name: 'T09 more memory than any has: the largest that could',
      parts: { pending: [pending('job', { claim: { ...claim(2), memoryBytesPerDevice: 96e9 } })] },
      want: 'unschedulable: can never fit: 0/1 clusters fit: 1 lacks nvidia.com/gpu ×2 of 89.41 GiB in one node',
      changes: ['ask for less: the largest that could ever fit is 1 member of nvidia.com/gpu ×2 of 74.5 GiB, in c1'],
    },
    {
      name: 'a region that no cluster is in: where it could run',
      parts: { pending: [pending('job', { selector: { regions: ['eu'] } })] },
      want: 'unschedulable: can never fit: 0/1 clusters fit: 1 outside region eu',
      changes: ['widen the selector: it could run in c1'],
    },
    {
      name: 'a region that no cluster is in, and too large: the largest that could',
      parts: { pending: [pending('job', { devices: 9, selector: { regions: ['eu'] } })] },
      want: 'unschedulable: can never fit: 0/1 clusters fit: 1 outside region eu',
      changes: [
        'widen the selector: beyond it the largest that could ever fit is 1 member of nvidia.com/gpu ×8, in c1',
      ],
    },
    {
      name: 'the largest that could fit, of what never can',
      parts: { pending: [pending('job', { devices: 16 })] },
      want: 'unschedulable: can never fit: 0/1 clusters fit: 1 lacks nvidia.com/gpu ×16 in one node',
      changes: ['ask for less: the largest that could ever fit is 1 member of nvidia.com/gpu ×8, in c1'],
    },
    {
      name: 'T07 what to move where enough is free but not together',
      parts: {
        clusters: [gpuCluster('c1', 2)],
        running: [
          running('a', { node: 'c1-n1', devices: 4 }),
          running('b', { node: 'c1-n2', devices: 4, priority: 8 }),
        ],
        pending: [pending('job', { devices: 8, priority: 1 })],
      },
      want: 'waiting: 0/1 clusters fit: 1 has no free nvidia.com/gpu ×8 in one node; of 2 that run there 2 are as important or more',
      changes: ['move a out of node c1-n1: enough is free, but not together'],
    },
    {
      name: 'a paused queue',
      parts: { queues: [queue('default', { paused: true })], pending: [pending('job')] },
      want: 'held: queue default is paused',
      changes: ['unpause queue default'],
    },
    {
      name: 'a queue below a paused one',
      parts: {
        queues: [queue('root', { paused: true }), queue('default', { parentId: 'root' })],
        pending: [pending('job')],
      },
      want: 'held: queue root is paused',
      changes: ['unpause queue root'],
    },
    {
      name: 'backoff',
      parts: { pending: [pending('job', { notBeforeMs: NOW_MS + 60_000 })] },
      want: 'held: it is tried again at 2026-01-01T00:01:00.000Z',
    },
    {
      name: 'backoff that is over',
      parts: { pending: [pending('job', { notBeforeMs: NOW_MS })] },
      want: 'started: runs in c1 on c1-n1',
    },
    {
      name: 'a queue that does not exist',
      parts: { queues: [queue('other')], pending: [pending('job', { queueId: 'gone' })] },
      want: 'unschedulable: its queue does not exist',
      changes: ['submit it to a queue that exists'],
    },
  ];
  it.each(rows)('$name', ({ parts, want, changes }) => {
    const got = plan(parts);
    expect(told(got).job).toBe(want);
    if (changes !== undefined) expect(got.verdicts[0]!.changes.slice(0, changes.length)).toEqual(changes);
  });

  it('equal requests share one explanation', () => {
    const got = plan({ pending: several('one two', { devices: 16 }) });
    expect(got.verdicts[1]!.candidates).toBe(got.verdicts[0]!.candidates);
  });

  it('X03 what was assigned a moment ago counts before any status of it', () => {
    const assigned = running('assigned', { node: 'c1-n1', devices: 8, ranSeconds: 0, priority: 5 });
    expect(words(plan({ running: [assigned], pending: [pending('job')] }))).toEqual([]);
  });

  it('an edge cluster binds by itself; its room is counted', () => {
    const clusters = [gpuCluster('c1', 1, 4, { kind: 'edge' })];
    const got = plan({ clusters, pending: several('one two', { devices: 3 }) });
    expect(got.starts).toEqual([expect.objectContaining({ workloadId: 'one', tasks: [binding(0, 'c1')] })]);
  });
});

/** A fleet that lives: each cycle's plan is carried out at once, jobs end by their word. */
class Life {
  nowMs = NOW_MS;
  waiting: PendingWorkload[] = [];
  runs: RunningWorkload[] = [];
  readonly waitedSeconds = new Map<string, number>();

  constructor(private readonly parts: Parameters<typeof snapshot>[0]) {}

  cycle(seconds: number): WorkloadPlan {
    this.runs = this.runs.filter(
      ({ startedAtMs, expectedSeconds }) => startedAtMs + expectedSeconds! * 1_000 > this.nowMs,
    );
    const now = { nowMs: this.nowMs, pending: this.waiting, running: this.runs };
    const decided = planWorkloads(snapshot({ ...this.parts, ...now }));
    for (const { workloadId, tasks } of decided.starts) this.run(workloadId, tasks);
    this.nowMs += seconds * 1_000;
    return decided;
  }

  submit(name: string, sketch: PendingSketch): void {
    this.waiting.push({ ...pending(name, sketch), queuedAtMs: this.nowMs });
  }

  private run(id: string, tasks: RunningSketch['tasks']): void {
    const work = this.waiting.find((each) => each.id === id)!;
    this.waiting = this.waiting.filter((each) => each !== work);
    this.waitedSeconds.set(id, (this.nowMs - work.queuedAtMs) / 1_000);
    const { priority, claim: of, expectedSeconds, queueId } = work;
    this.runs.push({
      ...running(id, { priority, claim: of, expectedSeconds, queueId, tasks }),
      startedAtMs: this.nowMs,
    });
  }
}

describe('a long time', () => {
  /** One-device H jobs of 300 to 900 s on 96 devices, 86 of them at work on average; how long an L job of 8 waits. */
  function endlessHigh(waitCapSeconds: number) {
    const life = new Life({ clusters: [gpuCluster('c1', 12)], policy: { waitCapSeconds } });
    let due = 4.32;
    for (let cycle = 0; cycle < 200; cycle += 1) {
      for (; due >= 1; due -= 1) {
        const expectedSeconds = 300 + 60 * ((cycle * 7 + Math.floor(due) * 5) % 11);
        life.submit(`high-${cycle}-${Math.floor(due)}`, { priority: 8, expectedSeconds });
      }
      due += 4.32;
      if (cycle === 60) life.submit('low', { priority: 2, devices: 8, expectedSeconds: 600 });
      life.cycle(30);
    }
    return life.waitedSeconds.get('low') ?? null;
  }

  it('S01 a low one is served within its cap under endless high ones at 90 % load', () => {
    expect(endlessHigh(1_800)).toBeLessThanOrEqual(1_800);
  });

  it('S01 and later without a cap: that is what it is for', () => {
    expect(endlessHigh(1e9)).toBeGreaterThan(1_800);
  });

  it('S02 and no high one ever waits for it while a device is free', () => {
    const life = new Life({ clusters: [gpuCluster('c1', 2)], policy: { waitCapSeconds: 60 } });
    life.submit('low', { priority: 2, devices: 8, expectedSeconds: 600 });
    for (let cycle = 0; cycle < 100; cycle += 1) {
      for (let each = 0; each < 1 + (cycle % 2); each += 1) {
        life.submit(`high-${cycle}-${each}`, { priority: 8, expectedSeconds: 300 });
      }
      life.cycle(30);
      const used = life.runs.reduce((sum, { claim: { count } }) => sum + count, 0);
      const high = life.waiting.filter(({ priority }) => priority === 8);
      expect(high.length === 0 || used === 16).toBe(true);
    }
  });

  it('B03 a head of 8 is not starved by a stream of ones', () => {
    const life = new Life({ clusters: [gpuCluster('c1', 2)] });
    for (let each = 0; each < 16; each += 1) life.submit(`first-${each}`, { expectedSeconds: 300 + 30 * each });
    life.cycle(30);
    life.submit('large', { devices: 8, expectedSeconds: 600, preemption: 'never' });
    for (let cycle = 0; cycle < 60; cycle += 1) {
      life.submit(`small-${cycle}`, { expectedSeconds: 600, preemption: 'never' });
      life.cycle(30);
    }
    expect(life.waitedSeconds.get('large')).toBeLessThanOrEqual(800);
  });

  it('F06 weights 2:1 come to 2:1 within one job', () => {
    const life = new Life({ clusters: [gpuCluster('c1', 3)], queues: [queue('a', { weight: 2 }), queue('b')] });
    for (let cycle = 0; cycle < 40; cycle += 1) {
      for (const queueId of ['a', 'b']) {
        for (let each = 0; each < 6; each += 1) {
          life.submit(`${queueId}-${cycle}-${each}`, { queueId, expectedSeconds: 60 + 30 * (each % 3) });
        }
      }
      life.cycle(30);
      const used = (queueId: string) => life.runs.filter((each) => each.queueId === queueId).length;
      if (cycle > 10) expect(Math.abs(used('a') - 16) + Math.abs(used('b') - 8)).toBeLessThanOrEqual(2);
    }
  });
});
