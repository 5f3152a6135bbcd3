import { describe, expect, it } from '@jest/globals';
import type { Deployment } from '#domain';
import {
  type ClusterSketch,
  claim,
  cluster,
  deployment,
  draining,
  fleet,
  node,
  type PlacedReplica,
  placed,
  words,
} from './fleet.builders.ts';
import { planDeployment, planFleet } from './plan-deployment.ts';
import type { ClusterSnapshot } from './snapshot.ts';

interface Row {
  name: string;
  clusters: ClusterSnapshot[];
  deployment?: Partial<Deployment>;
  placed?: PlacedReplica[];
  failedIn?: string[];
  want: string[];
  outcome?: string;
}

function run({ clusters, deployment: rest, placed: replicas, failedIn }: Row) {
  const subject = deployment('chat', rest);
  const snapshot = fleet({
    clusters,
    deployments: [subject],
    placed: replicas ?? [],
    failedIn: failedIn === undefined ? {} : { chat: failedIn },
  });
  const plan = planDeployment(snapshot, subject);
  return { words: words(plan), outcome: plan.decision.outcome };
}

function check(rows: Row[]): void {
  it.each(rows)('$name', (row) => {
    const got = run(row);
    expect(got).toEqual({ words: row.want, outcome: row.outcome ?? got.outcome });
  });
}

const held = (...names: string[]) => names.map((name) => cluster(name, { held: ['v1'] }));
const unknown = (secondsAgo = 1_000): ClusterSketch => ({ phase: 'Unknown', phaseSecondsAgo: secondsAgo });

describe('where a replica may go', () => {
  check([
    { name: 'the only cluster', clusters: [cluster('a')], want: ['+a'], outcome: 'placed 1/1; new in a' },
    { name: 'no cluster', clusters: [], want: [], outcome: 'placed 0/1; no cluster has joined yet' },
    {
      name: 'X01 not on a cluster whose lease expired',
      clusters: [cluster('a', { phase: 'Suspect' }), cluster('b', unknown(1))],
      want: [],
      outcome: 'placed 0/1; 0/2 clusters fit: 1 Suspect, 1 Unknown',
    },
    {
      name: 'not before approval, not while draining',
      clusters: [cluster('a', { phase: 'PendingApproval' }), cluster('b', draining())],
      want: [],
      outcome: 'placed 0/1; 0/2 clusters fit: 1 PendingApproval, 1 being drained',
    },
    { name: 'not cordoned', clusters: [cluster('a', { cordoned: true }), cluster('b')], want: ['+b'] },
    {
      name: 'kind',
      clusters: [cluster('a'), cluster('b', { kind: 'central' })],
      deployment: { selector: { kinds: ['central'] } },
      want: ['+b'],
    },
    {
      name: 'region',
      clusters: [cluster('a'), cluster('b', { region: 'eu' })],
      deployment: { selector: { regions: ['eu'] } },
      want: ['+b'],
    },
    {
      name: 'X06 named',
      clusters: [cluster('a'), cluster('b')],
      deployment: { selector: { clusterNames: ['b'] } },
      want: ['+b'],
    },
    {
      name: 'labels: every one, with its value',
      clusters: [cluster('a', { labels: { tier: 'gold' } }), cluster('b', { labels: { tier: 'gold', site: 'x' } })],
      deployment: { selector: { labels: { tier: 'gold', site: 'x' } } },
      want: ['+b'],
    },
    {
      name: 'before its first report',
      clusters: [cluster('a', { hasReport: false })],
      want: [],
      outcome: 'placed 0/1; 0/1 clusters fit: 1 without a report of devices',
    },
    {
      name: 'T01 two in one node',
      clusters: [cluster('a', { nodes: [node('x', 1), node('y', 1)] }), cluster('b', { devices: 2 })],
      deployment: { claim: claim(2) },
      want: ['+b'],
    },
    {
      name: 'T06 exact type',
      clusters: [cluster('a', { nodes: [node('x', 4, 'cambricon.com/mlu')] })],
      want: [],
      outcome: 'placed 0/1; 0/1 clusters fit: 1 lacks nvidia.com/gpu ×1 in one node',
    },
    {
      name: 'T09 memory a device',
      clusters: [cluster('a')],
      deployment: { claim: { ...claim(1), memoryBytesPerDevice: 96e9 } },
      want: [],
      outcome: 'placed 0/1; 0/1 clusters fit: 1 lacks nvidia.com/gpu ×1 of 89.41 GiB in one node',
    },
    {
      name: 'X03 an assignment counts before any status arrives',
      clusters: [cluster('a')],
      placed: [placed('other', 'other', 'a', { says: null })],
      want: [],
      outcome: 'placed 0/1; 0/1 clusters fit: 1 has no free nvidia.com/gpu ×1 in one node',
    },
    {
      name: 'what drains still holds its devices',
      clusters: [cluster('a')],
      placed: [placed('other', 'other', 'a', { phase: 'Draining' })],
      want: [],
    },
    {
      name: 'not where this version lately failed',
      clusters: [cluster('a'), cluster('b')],
      failedIn: ['a'],
      want: ['+b'],
    },
  ]);

  it('says it all in one sentence', () => {
    const npu = claim(2, 'huawei.com/ascend-npu');
    const clusters = [
      ...['a', 'b', 'c', 'd', 'e'].map((name) => cluster(name)),
      ...['f', 'g', 'h', 'i'].map((name) => cluster(name, unknown())),
      ...['j', 'k', 'l'].map((name) => cluster(name, { region: 'eu' })),
    ];
    const row = { name: '', clusters, deployment: { claim: npu, selector: { regions: ['cn'] } }, want: [] };
    expect(run(row).outcome).toBe(
      'placed 0/1; 0/12 clusters fit: 5 lack huawei.com/ascend-npu ×2 in one node, 4 Unknown, 3 outside region cn',
    );
  });

  it('gives every rejected candidate its first failing reason, and every other one its scores', () => {
    const snapshot = fleet({
      clusters: [cluster('a', { cordoned: true }), cluster('b', { held: ['v1'], devices: 2 })],
    });
    expect(planDeployment(snapshot, deployment('chat')).decision.candidates).toEqual([
      {
        clusterId: 'a',
        clusterName: 'a',
        score: null,
        scores: {},
        rejectedBy: 'cordon',
        rejectedBecause: 'it is cordoned; uncordon it to place here',
      },
      {
        clusterId: 'b',
        clusterName: 'b',
        score: 13,
        scores: { spread: 10, held: 2, free: 1 },
        rejectedBy: null,
        rejectedBecause: null,
      },
    ]);
  });
});

describe('which of those that fit', () => {
  check([
    {
      name: 'spreads before it saves a download',
      clusters: [cluster('a', { devices: 4, held: ['v1'] }), cluster('b', { devices: 4 })],
      deployment: { replicas: 2 },
      want: ['+a', '+b'],
    },
    {
      name: 'A05 where the data is',
      clusters: [cluster('a', { devices: 4 }), cluster('b', { held: ['v1'] })],
      want: ['+b'],
    },
    { name: 'A05 or is on its way', clusters: [cluster('a'), cluster('b', { fetching: ['v1'] })], want: ['+b'] },
    {
      name: 'where more is free',
      clusters: [cluster('a', { devices: 2 }), cluster('b', { devices: 2 })],
      placed: [placed('o', 'other', 'a')],
      want: ['+b'],
    },
    {
      name: 'one more than fits waits',
      clusters: held('a', 'b'),
      deployment: { replicas: 3 },
      want: ['+b', '+a'],
      outcome: 'placed 2/3; new in b, a; 0/2 clusters fit: 2 have no free nvidia.com/gpu ×1 in one node',
    },
  ]);
});

describe('what is there is kept', () => {
  check([
    {
      name: 'X02 scaling up keeps replicas where they are',
      clusters: [cluster('a'), cluster('b', { devices: 8, held: ['v1'] })],
      deployment: { replicas: 2 },
      placed: [placed('p', 'chat', 'a')],
      want: ['+b'],
    },
    {
      name: 'nothing to do',
      clusters: held('a', 'b'),
      placed: [placed('p', 'chat', 'a')],
      want: [],
      outcome: 'placed 1/1',
    },
    {
      name: 'X06 a better cluster does not draw it away',
      clusters: [cluster('a', { cordoned: true }), cluster('b', { held: ['v1'], devices: 8 })],
      placed: [placed('p', 'chat', 'a')],
      want: [],
    },
    {
      name: 'nor do vanished devices',
      clusters: [cluster('a', { devices: 0 }), cluster('b')],
      placed: [placed('p', 'chat', 'a')],
      want: [],
    },
    {
      name: 'nor does silence for a while',
      clusters: [cluster('a', unknown(299)), ...held('b', 'c')],
      placed: [placed('p', 'chat', 'a')],
      want: [],
    },
    {
      name: 'not yet Ready counts',
      clusters: held('a', 'b'),
      placed: [placed('p', 'chat', 'a', { says: null })],
      want: [],
    },
  ]);
});

describe('scaling down and deleting', () => {
  const three = { clusters: held('a', 'b', 'c') };
  const at = (sketches: Record<string, Parameters<typeof placed>[3]>) =>
    Object.entries(sketches).map(([name, sketch]) => placed(`p-${name}`, 'chat', name, sketch));
  check([
    {
      ...three,
      name: 'not Ready goes first',
      deployment: { replicas: 2 },
      placed: at({ a: {}, b: { says: 'Starting' }, c: {} }),
      want: ['drain p-b'],
    },
    {
      name: 'then cordoned',
      clusters: [cluster('a'), cluster('b', { cordoned: true })],
      placed: at({ a: {}, b: {} }),
      want: ['drain p-b'],
    },
    {
      name: 'then the worst score',
      clusters: [cluster('a', { held: ['v1'] }), cluster('b')],
      placed: at({ a: {}, b: {} }),
      want: ['drain p-b'],
    },
    {
      ...three,
      name: 'zero',
      deployment: { replicas: 0 },
      placed: at({ a: {}, b: {} }),
      want: ['drain p-a', 'drain p-b'],
    },
    {
      ...three,
      name: 'deleted: all drain',
      deployment: { replicas: 2, deletedAt: new Date(0) },
      placed: at({ a: {}, b: {} }),
      want: ['drain p-a', 'drain p-b'],
      outcome: 'being deleted: 2 replicas are still to stop',
    },
    {
      ...three,
      name: 'deleted: what stopped is removed',
      deployment: { deletedAt: new Date(0) },
      placed: at({ a: { phase: 'Draining', says: null } }),
      want: ['remove p-a'],
    },
    {
      ...three,
      name: 'deleted: nothing left',
      deployment: { deletedAt: new Date(0) },
      want: [],
      outcome: 'deleted: nothing is left',
    },
  ]);
});

describe('when a drain is over', () => {
  const draining = (sketch: Parameters<typeof placed>[3] = {}) => [
    placed('p', 'chat', 'a', { phase: 'Draining', ...sketch }),
  ];
  const none = { replicas: 0 };
  check([
    {
      name: 'not while the agent says Stopping',
      clusters: held('a'),
      deployment: none,
      placed: draining({ says: 'Stopping', phaseSecondsAgo: 60 }),
      want: [],
    },
    {
      name: 'R7 the agent says Stopped',
      clusters: held('a'),
      deployment: none,
      placed: draining({ says: 'Stopped' }),
      want: ['remove p'],
    },
    {
      name: 'R7 the agent no longer lists it',
      clusters: held('a'),
      deployment: none,
      placed: draining({ says: null }),
      want: ['remove p'],
    },
    {
      name: 'not by a report older than the drain',
      clusters: [cluster('a', { isSettled: false })],
      deployment: none,
      placed: draining({ says: null, phaseSecondsAgo: 60 }),
      want: [],
    },
    {
      name: 'R7 not before 600 s',
      clusters: held('a'),
      deployment: none,
      placed: draining({ phaseSecondsAgo: 600 }),
      want: [],
    },
    {
      name: 'R7 after 600 s',
      clusters: held('a'),
      deployment: none,
      placed: draining({ phaseSecondsAgo: 601 }),
      want: ['remove p'],
    },
    {
      name: 'R7 never while out of contact',
      clusters: [cluster('a', unknown()), cluster('b'), cluster('c')],
      deployment: none,
      placed: draining({ phaseSecondsAgo: 9_000 }),
      want: [],
    },
    {
      name: 'a cluster that left',
      clusters: [cluster('b')],
      placed: [placed('p', 'chat', 'a')],
      want: ['+b', 'remove p'],
    },
  ]);
});

describe('several deployments in one cycle', () => {
  it('F11 two cannot both take the last device', () => {
    const deployments = [
      deployment('young', { createdAt: new Date(2) }),
      deployment('old', { createdAt: new Date(1) }),
    ];
    const plans = planFleet(fleet({ clusters: [cluster('a')], deployments }));
    expect(plans.map((plan) => [plan.deploymentId, words(plan)])).toEqual([
      ['old', ['+a']],
      ['young', []],
    ]);
  });

  it('F12 room given back in a cycle is counted once', () => {
    const deployments = [deployment('old', { createdAt: new Date(1), replicas: 0 }), deployment('b'), deployment('c')];
    const replicas = [placed('p', 'old', 'a', { phase: 'Draining', says: 'Stopped' })];
    const plans = planFleet(fleet({ clusters: [cluster('a')], deployments, placed: replicas }));
    expect(plans.map(words)).toEqual([['remove p'], ['+a'], []]);
  });
});
