/** Whom a queue may ask to end of others. Fixture: one node of 8 devices; priorities H 8 > M 5 > L 2. */
import { describe, expect, it } from '@jest/globals';
import { fill, H, high, L, M, plan, words } from './cycle.builders.ts';
import { planWorkloads } from './cycle.ts';
import {
  binding,
  gpuCluster,
  NOW_MS,
  on,
  type PendingSketch,
  pending,
  queue,
  type RunningSketch,
  snapshot,
} from './workloads.builders.ts';

describe('across queues', () => {
  const mine = queue('mine');
  const theirs = queue('theirs');
  const full = (rest: RunningSketch = {}) =>
    fill('c1-n1', {
      a: { devices: 4, queueId: 'theirs', ...rest },
      b: { devices: 4, queueId: 'theirs', ranSeconds: 1, ...rest },
    });
  const of = (rest: PendingSketch = {}) => [high(4, { queueId: 'mine', ...rest })];
  const gpus = (count: number) => ({ 'nvidia.com/gpu': count });
  const rows = [
    {
      name: 'a lower priority in a queue above its nominal',
      queues: [mine, theirs],
      want: ['high stops b', 'high waits for c1-n1'],
    },
    {
      name: 'F05 not in a queue within its nominal',
      queues: [mine, { ...theirs, quota: gpus(8) }],
      want: [],
    },
    {
      name: 'F05 no further than to its nominal',
      queues: [mine, { ...theirs, quota: gpus(4) }],
      pending: of({ devices: 8 }),
      want: [],
    },
    {
      name: 'F10 what is its own it reclaims, whatever the priority',
      queues: [{ ...mine, quota: gpus(4) }, theirs],
      pending: of({ priority: 1 }),
      want: ['high reclaims b', 'high waits for c1-n1'],
    },
    {
      name: 'F02 nobody above nominal: nothing is stopped',
      queues: [
        { ...mine, quota: gpus(4) },
        { ...theirs, quota: gpus(8) },
      ],
      pending: of({ priority: 1 }),
      want: [],
    },
    {
      name: 'F03 to take all would only swap the imbalance',
      queues: [mine, theirs],
      pending: of({ priority: L, devices: 8 }),
      want: [],
    },
    {
      name: 'fairness takes its half from an equal priority',
      queues: [mine, theirs],
      pending: of({ priority: L }),
      want: ['high reclaims b', 'high waits for c1-n1'],
    },
    {
      name: 'fairness takes nothing from a higher priority',
      queues: [mine, theirs],
      pending: of({ priority: 1 }),
      want: [],
    },
  ];
  it.each(rows)('$name', ({ queues, pending: waits = of(), want }) => {
    expect(words(plan({ queues, pending: waits, running: full() }))).toEqual(want);
  });

  it('F01 from the largest borrower', () => {
    const got = plan({
      queues: [queue('mine', { quota: gpus(8) }), queue('small'), queue('large')],
      running: fill('c1-n1', {
        small: { devices: 2, queueId: 'small', ranSeconds: 1 },
        large: { devices: 3, queueId: 'large' },
        larger: { devices: 3, queueId: 'large' },
      }),
      pending: [high(2, { queueId: 'mine', priority: 1 })],
    });
    expect(words(got)).toEqual(['high reclaims large', 'high waits for c1-n1']);
  });

  it.each([
    ['F10 by its quota, whatever the priority', { mine: 4, priority: 1 }, ['high reclaims b', 'high waits for c1-n1']],
    [
      'a lower priority in a queue above its nominal',
      { mine: 0, priority: H },
      ['high stops b', 'high waits for c1-n1'],
    ],
    ['F03 nothing that would only swap the imbalance', { mine: 0, priority: L }, []],
  ])('beside a queue that keeps back what it has idle: %s', (_name, { mine: quota, priority }, want) => {
    const got = plan({
      queues: [
        queue('mine', { quota: gpus(quota) }),
        theirs,
        queue('third', { quota: gpus(2), lendingLimit: gpus(0) }),
      ],
      running: fill('c1-n1', {
        a: { devices: 2, queueId: 'theirs' },
        b: { devices: 4, queueId: 'theirs', ranSeconds: 1 },
      }),
      pending: of({ priority }),
    });
    expect(words(got)).toEqual(want);
  });

  it('F04 a higher priority of the queue it was reclaimed from does not take the promised room back', () => {
    const nomination = { clusterId: 'c1', tasks: [binding(0, 'c1', [on('c1-n1', 4)])], since: new Date(NOW_MS) };
    const got = plan({
      queues: [queue('mine', { quota: gpus(8) }), theirs],
      running: fill('c1-n1', { gone: { devices: 4 }, own: { devices: 4, queueId: 'mine' } }).slice(1),
      pending: [
        pending('evicted', { priority: H, devices: 4, queueId: 'theirs' }),
        pending('owner', { priority: L, devices: 4, queueId: 'mine', nomination }),
      ],
    });
    expect(words(got)).toEqual(['+owner c1-n1']);
  });

  it('F05 a large one that is borrowed in part is no victim of a priority: what is its own would go, and be reclaimed', () => {
    const got = plan({
      queues: [mine, queue('theirs', { quota: gpus(6) })],
      running: fill('c1-n1', { large: { devices: 8, queueId: 'theirs' } }),
      pending: of(),
    });
    expect(words(got)).toEqual([]);
  });

  it('P11 whoever displaces promises and evicts for the rest keeps all of it from those behind', () => {
    const promise = (first: number) => ({
      clusterId: 'c1',
      tasks: [binding(0, 'c1', [on('c1-n1', 2, first)])],
      since: new Date(NOW_MS),
    });
    const got = plan({
      running: fill('c1-n1', { l: { devices: 4 } }),
      pending: [
        pending('m', { priority: M, devices: 2, nomination: promise(4) }),
        pending('l2', { priority: L, devices: 2, nomination: promise(6) }),
        high(8),
      ],
    });
    expect(words(got)).toEqual(['high stops l', 'high waits for c1-n1', 'm is let go', 'l2 is let go']);
  });

  it('F04 what was reclaimed from does not reclaim it back', () => {
    const got = planWorkloads(
      snapshot({
        queues: [mine, theirs],
        running: fill('c1-n1', { won: { devices: 4, queueId: 'mine' }, kept: { devices: 4, queueId: 'theirs' } }),
        pending: [pending('evicted', { queueId: 'theirs', priority: L, devices: 4 })],
      }),
    );
    expect(words(got)).toEqual([]);
  });

  it('a full quota is made room in by the lower priorities of its own queue', () => {
    const got = plan({
      clusters: [gpuCluster('c1', 2)],
      queues: [queue('mine', { quota: gpus(8), borrowingLimit: gpus(0) })],
      running: fill('c1-n1', { a: { devices: 4, queueId: 'mine' }, b: { devices: 4, queueId: 'mine', ranSeconds: 1 } }),
      pending: of(),
    });
    expect(words(got)).toEqual(['high stops b', 'high waits for c1-n1']);
  });
});
