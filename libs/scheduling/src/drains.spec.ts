/** Emptying a cluster: replacement before removal (R7), or without it when that was asked for. And `replace: never`. */
import { describe, expect, it } from '@jest/globals';
import { DEFAULT_DISCONNECT_POLICY } from '#domain';
import {
  type ClusterSketch,
  cluster,
  deployment,
  draining,
  fleet,
  type PlacedReplica,
  placed,
  rollout,
  words,
} from './fleet.builders.ts';
import { planFleet } from './plan-deployment.ts';
import { rolloutFactsOf } from './rollout/facts.ts';

interface Case {
  name: string;
  a: ClusterSketch;
  /** Default: in `a`, Ready. */
  placed?: PlacedReplica[];
  /** Whether there is another cluster with room. Default true. */
  hasRoom?: boolean;
  replicas?: number;
  want: string[];
}

const inA = placed('x', 'chat', 'a');
const waiting = placed('y', 'chat', 'b', { says: 'Starting', createdSecondsAgo: 5 });
const serving = placed('y', 'chat', 'b', { createdSecondsAgo: 5 });

describe('what a drain does with replicas', () => {
  it.each<Case>([
    { name: 'move: a replacement first', a: draining('move'), want: ['+b'] },
    { name: 'move: R7 nothing goes before it serves', a: draining('move'), placed: [inA, waiting], want: [] },
    { name: 'move: then it goes', a: draining('move'), placed: [inA, serving], want: ['drain x'] },
    { name: 'move: without room it stays', a: draining('move'), hasRoom: false, want: [] },
    {
      name: 'move: without room until the deadline',
      a: draining('move', 601),
      hasRoom: false,
      want: ['drain x'],
    },
    {
      name: 'move: after the deadline it goes before its replacement serves',
      a: draining('move', 601),
      placed: [inA, waiting],
      want: ['drain x'],
    },
    { name: 'wait: nothing moves', a: draining('wait'), want: [] },
    { name: 'wait: nothing new comes either', a: draining('wait'), hasRoom: false, replicas: 2, want: [] },
    { name: 'wait: after the deadline as move', a: draining('wait', 3_601), want: ['+b'] },
    { name: 'wait: and 600 s later by force', a: draining('wait', 4_201), hasRoom: false, want: ['drain x'] },
    { name: 'stop: at once, and a replacement too', a: draining('stop', 0), want: ['+b', 'drain x'] },
    { name: 'stop: without room as well', a: draining('stop', 0), hasRoom: false, want: ['drain x'] },
    {
      name: 'wait: what is too much goes from here first',
      a: draining('wait'),
      placed: [inA, serving],
      want: ['drain x'],
    },
    {
      name: 'out of contact and asked to be emptied: replaced at once, not after lostAfter',
      a: { ...draining('move'), phase: 'Unknown', phaseSecondsAgo: 1 },
      want: ['+b'],
    },
    {
      name: 'what drains already is not drained again',
      a: draining('stop'),
      placed: [placed('x', 'chat', 'a', { phase: 'Draining', phaseSecondsAgo: 5 }), serving],
      want: [],
    },
  ])('$name', ({ a, placed: replicas = [inA], hasRoom = true, replicas: wanted = 1, want }) => {
    const clusters = [cluster('a', { devices: 4, ...a }), cluster('b', { devices: hasRoom ? 4 : 0 })];
    const snapshot = fleet({ clusters, deployments: [deployment('chat', { replicas: wanted })], placed: replicas });
    expect(words(planFleet(snapshot)[0]!)).toEqual(want);
  });

  it('says so to who looks for a place', () => {
    const snapshot = fleet({ clusters: [cluster('a', draining())], deployments: [deployment('chat')] });
    expect(planFleet(snapshot)[0]!.decision.candidates).toMatchObject([
      { rejectedBy: 'drain', rejectedBecause: 'it is being drained; undo the drain to place here' },
    ]);
  });
});

describe('X01, X05: replace never', () => {
  const never = { disconnect: { ...DEFAULT_DISCONNECT_POLICY, replace: 'never' as const } };
  const lost: ClusterSketch = { phase: 'Unknown', phaseSecondsAgo: 100_000 };

  it.each([
    ['waits for a lost cluster, however long', lost, never, []],
    ['where elsewhere would be taken', lost, {}, ['+b']],
    ['is replaced when its cluster is drained', { ...lost, ...draining(), phase: 'Unknown' as const }, never, ['+b']],
    ['is replaced when its cluster left', { phase: 'Left' as const }, never, ['+b', 'remove x']],
  ])('%s', (_name, a, rest, want) => {
    const clusters = [cluster('a', a), cluster('b', { devices: 4 }), cluster('c', { devices: 0 })];
    const snapshot = fleet({ clusters, deployments: [deployment('chat', rest)], placed: [inA] });
    expect(words(planFleet(snapshot)[0]!)).toEqual(want);
  });
});

describe('a rollout of a deployment that waits for lost clusters', () => {
  it('goes on without one that is lost, as it does where replicas are placed elsewhere', () => {
    const disconnect = { ...DEFAULT_DISCONNECT_POLICY, replace: 'never' as const };
    const snapshot = fleet({
      clusters: [cluster('a', { phase: 'Unknown', phaseSecondsAgo: 301 }), cluster('b'), cluster('c')],
      deployments: [deployment('chat', { versionId: 'v2', disconnect })],
      placed: [inA],
      rollouts: [rollout('chat')],
    });
    const contacts = rolloutFactsOf(snapshot, 'chat', null)!.clusters.map(({ id, contact }) => [id, contact]);
    expect(contacts).toEqual([
      ['a', 'gone'],
      ['b', 'present'],
      ['c', 'present'],
    ]);
  });
});

describe('R20: an agent that is ahead of a restored database', () => {
  const ahead = { ahead: { epoch: 9, revision: 812, since: '2026-01-01T00:00:00Z' } };

  it.each([
    ['nothing new is placed there', [cluster('a', ahead)], [], []],
    ['nothing of it is moved for a drain', [cluster('a', { ...ahead, ...draining('stop') }), cluster('b')], [inA], []],
    [
      'what drains there is not struck off by what it does not list',
      [cluster('a', { ...ahead, isSettled: false })],
      [placed('x', 'chat', 'a', { phase: 'Draining', says: null, phaseSecondsAgo: 5 })],
      [],
    ],
  ])('%s', (_name, clusters, replicas, want) => {
    const snapshot = fleet({ clusters, deployments: [deployment('chat')], placed: replicas });
    expect(words(planFleet(snapshot)[0]!)).toEqual(want);
  });
});
