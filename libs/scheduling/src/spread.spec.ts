/** X04: replicas that are to lie in several groups of clusters. */
import { describe, expect, it } from '@jest/globals';
import type { Deployment, SpreadConstraint, SpreadField } from '#domain';
import {
  type ClusterSketch,
  claim,
  cluster,
  deployment,
  draining,
  fleet,
  type PlacedReplica,
  type PlacementSketch,
  placed,
  rollout,
  words,
} from './fleet.builders.ts';
import { planDeployment } from './plan-deployment.ts';
import type { ClusterSnapshot } from './snapshot.ts';

interface Row {
  name: string;
  clusters: ClusterSnapshot[];
  deployment?: Partial<Deployment>;
  placed?: PlacedReplica[];
  failedIn?: string[];
  rollsOut?: true;
  want: string[];
  /** Default 0. */
  waiting?: number;
  outcome?: string;
}

function check(rows: Row[]): void {
  it.each(rows)('X04 $name', (row) => {
    const subject = deployment('chat', { replicas: 2, spread: over(2), ...row.deployment });
    const snapshot = fleet({
      clusters: row.clusters,
      deployments: [subject],
      placed: row.placed ?? [],
      rollouts: row.rollsOut === undefined ? [] : [rollout('chat', { openClusterIds: [], isOpenToAll: true })],
      failedIn: row.failedIn === undefined ? {} : { chat: row.failedIn },
    });
    const plan = planDeployment(snapshot, subject);
    const got = plan.decision.outcome;
    expect({ words: words(plan), waiting: plan.waiting, outcome: got }).toEqual({
      words: row.want,
      waiting: row.waiting ?? 0,
      outcome: row.outcome ?? got,
    });
  });
}

const over = (minGroups: number, by: SpreadField = 'region'): SpreadConstraint => ({ by, minGroups });
const eu = (name: string, sketch: ClusterSketch = {}) => cluster(name, { region: 'eu', devices: 4, ...sketch });
const us = (name: string, sketch: ClusterSketch = {}) => cluster(name, { region: 'us', devices: 4, ...sketch });
const full = { devices: 0, nodes: [] };
const taken: ClusterSketch = { devices: 1 };
const other = (where: string) => placed(`other in ${where}`, 'other', where);
const own = (id: string, where: string, sketch: PlacementSketch = {}) => placed(id, 'chat', where, sketch);
/** What must be everywhere but in `us`. */
const lost: ClusterSketch = { phase: 'Unknown', phaseSecondsAgo: 1_000 };

const IN_PLACE = 'no room to run old and new side by side: replaced in place in e';

describe('regions of which one has no room', () => {
  check([
    { name: 'both have room', clusters: [eu('e'), us('u')], want: ['+e', '+u'], outcome: 'placed 2/2; new in e, u' },
    {
      name: 'one region is full: the place that it needs stays empty',
      clusters: [eu('e'), us('u', taken)],
      placed: [other('u')],
      want: ['+e'],
      waiting: 1,
      outcome:
        'placed 1/2; new in e; 0/2 clusters fit: 1 has no free nvidia.com/gpu ×1 in one node, 1 in a region that has its share; it wants 2 regions and has eu: eu has room, us has none (1 has no free nvidia.com/gpu ×1 in one node); make room in us, join a cluster of another region, or want fewer',
    },
    {
      name: 'more than are demanded: all but one where there is room',
      clusters: [eu('e'), us('u', taken)],
      deployment: { replicas: 4 },
      placed: [other('u')],
      want: ['+e', '+e', '+e'],
      waiting: 1,
    },
    {
      name: 'a cordoned region is no region with room',
      clusters: [eu('e'), us('u', { cordoned: true })],
      want: ['+e'],
      waiting: 1,
      outcome:
        'placed 1/2; new in e; 0/2 clusters fit: 1 cordoned, 1 in a region that has its share; it wants 2 regions and has eu: eu has room, us has none (1 cordoned); make room in us, join a cluster of another region, or want fewer',
    },
    {
      name: 'both are full',
      clusters: [eu('e', taken), us('u', taken)],
      placed: [other('e'), other('u')],
      want: [],
      waiting: 2,
    },
    {
      name: 'three regions and two demanded: the third is the place',
      clusters: [eu('e'), us('u', full), cluster('c', { region: 'cn' })],
      want: ['+c', '+e'],
    },
    {
      name: 'three demanded and two there',
      clusters: [eu('e'), us('u')],
      deployment: { replicas: 3, spread: over(3) },
      want: ['+e', '+u'],
      waiting: 1,
      outcome:
        'placed 2/3; new in e, u; 0/2 clusters fit: 2 in a region that has its share; it wants 3 regions and has eu, us: eu has room, us has room, no other region is selected; join or select a cluster of another region, or want fewer',
    },
    {
      name: 'more regions than replicas: one each',
      clusters: [eu('e1'), eu('e2'), us('u')],
      deployment: { spread: over(5) },
      want: ['+u', '+e2'],
    },
    {
      name: 'more regions than replicas, and one is there: as many are wanted as there are replicas',
      clusters: [eu('e')],
      deployment: { spread: over(5) },
      want: ['+e'],
      waiting: 1,
      outcome:
        'placed 1/2; new in e; 0/1 clusters fit: 1 in a region that has its share; it wants 2 regions and has eu: eu has room, no other region is selected; join or select a cluster of another region, or want fewer',
    },
    {
      name: 'pinned to clusters of one region',
      clusters: [eu('e1'), eu('e2'), us('u')],
      deployment: { selector: { clusterNames: ['e1', 'e2'] } },
      want: ['+e2'],
      waiting: 1,
    },
    {
      name: 'a cluster that says no region counts for none',
      clusters: [eu('e'), cluster('x', { region: '' })],
      want: ['+e'],
      waiting: 1,
      outcome:
        'placed 1/2; new in e; 0/2 clusters fit: 1 in a region that has its share, 1 without a region; it wants 2 regions and has eu: eu has room, no other region is selected; join or select a cluster of another region, or want fewer',
    },
    { name: 'none demanded', clusters: [eu('e'), us('u', full)], deployment: { spread: null }, want: ['+e', '+e'] },
    {
      name: 'one demanded is none demanded',
      clusters: [eu('e'), us('u', full)],
      deployment: { spread: over(1) },
      want: ['+e', '+e'],
    },
  ]);
});

describe('zones and clusters', () => {
  const zone = (name: string, region: string, at: string) => cluster(name, { region, zone: at, devices: 4 });
  check([
    {
      name: 'a zone of the same name in another region is another',
      clusters: [zone('e', 'eu', '1'), zone('u', 'us', '1')],
      deployment: { spread: over(2, 'zone') },
      want: ['+e', '+u'],
    },
    {
      name: 'two clusters of one zone are one group',
      clusters: [zone('e1', 'eu', '1'), zone('e2', 'eu', '1')],
      deployment: { spread: over(2, 'zone') },
      want: ['+e2'],
      waiting: 1,
    },
    {
      name: 'clusters, whatever region they are in',
      clusters: [eu('e', { held: ['v1'] }), eu('f', taken)],
      deployment: { replicas: 3, spread: over(2, 'cluster') },
      placed: [other('f')],
      want: ['+e', '+e'],
      waiting: 1,
    },
  ]);
});

describe('scaling', () => {
  check([
    {
      name: 'X02 up: what is there stays, the new one goes to the other region',
      clusters: [eu('e1'), eu('e2', { held: ['v1'] }), us('u')],
      deployment: { replicas: 3 },
      placed: [own('x', 'e1'), own('y', 'e1')],
      want: ['+u'],
    },
    {
      name: 'X02 up, with the other region full',
      clusters: [eu('e'), us('u', full)],
      deployment: { replicas: 3 },
      placed: [own('x', 'e'), own('y', 'e')],
      want: [],
      waiting: 1,
    },
    {
      name: 'X06 demanded of what runs: nothing moves, and it is said',
      clusters: [eu('e'), us('u')],
      placed: [own('x', 'e'), own('y', 'e')],
      want: [],
      outcome:
        'placed 2/2; it wants 2 regions and has eu; what runs is not moved for it: scale up, or drain a cluster that runs some',
    },
    {
      name: 'down: not the last one of a region, although it does not serve',
      clusters: [eu('e'), us('u')],
      placed: [own('x', 'e'), own('y', 'e'), own('z', 'u', { says: 'Starting' })],
      want: ['drain x'],
    },
    {
      name: 'down: nor one in a cordoned cluster',
      clusters: [eu('e'), us('u', { cordoned: true })],
      placed: [own('x', 'e'), own('y', 'e'), own('z', 'u')],
      want: ['drain x'],
    },
    {
      name: 'down to fewer than groups',
      clusters: [eu('e'), us('u')],
      deployment: { replicas: 1 },
      placed: [own('x', 'e'), own('y', 'e', { says: 'Starting' }), own('z', 'u')],
      want: ['drain y', 'drain x'],
    },
    {
      name: 'deleted: all go',
      clusters: [eu('e'), us('u')],
      deployment: { deletedAt: new Date(0) },
      placed: [own('x', 'e'), own('z', 'u')],
      want: ['drain x', 'drain z'],
      outcome: 'being deleted: 2 replicas are still to stop',
    },
  ]);
});

describe('clusters that are lost, drained, or fail', () => {
  check([
    {
      name: 'a lost one is replaced where the spread stays',
      clusters: [eu('e1', { held: ['v1'] }), eu('e2'), us('u1', lost), us('u2')],
      placed: [own('x', 'e1'), own('y', 'u1')],
      want: ['+u2'],
    },
    {
      name: 'with its whole region gone, and no third, it waits',
      clusters: [eu('e1'), eu('e2'), us('u', lost)],
      placed: [own('x', 'e1'), own('y', 'u')],
      want: [],
      waiting: 1,
    },
    {
      name: 'X05 with most of them gone, they count where they are',
      clusters: [eu('e'), us('u1', lost), us('u2', lost)],
      deployment: { replicas: 3 },
      placed: [own('x', 'u1'), own('y', 'u2')],
      want: ['+e'],
    },
    {
      name: 'the lost one is back: its stand-in goes, and both regions stay',
      clusters: [eu('e'), us('u1'), us('u2')],
      placed: [own('x', 'e'), own('y', 'u1'), own('z', 'u2', { says: 'Starting' })],
      want: ['drain z'],
    },
    {
      name: 'a drained cluster is emptied into its region, not into the other one’s',
      clusters: [eu('e1', { held: ['v1'] }), us('u1', draining()), us('u2')],
      placed: [own('x', 'e1'), own('y', 'u1')],
      want: ['+u2'],
    },
    {
      name: 'a drain that would break it waits',
      clusters: [eu('e1'), us('u1', draining())],
      placed: [own('x', 'e1'), own('y', 'u1')],
      want: [],
      waiting: 1,
    },
    {
      name: 'one that fails is tried elsewhere in its region',
      clusters: [eu('e1', { held: ['v1'] }), us('u1'), us('u2')],
      placed: [own('x', 'e1'), own('y', 'u1', { says: 'Failed', restarts: 9 })],
      want: ['+u2', 'drain y'],
    },
    {
      name: 'or stays where it fails',
      clusters: [eu('e1'), eu('e2'), us('u1')],
      placed: [own('x', 'e1'), own('y', 'u1', { says: 'Failed', restarts: 9 })],
      want: [],
    },
  ]);
});

describe('changes of version', () => {
  const next = { versionId: 'v2' };
  const narrow: ClusterSketch = { devices: 1 };
  check([
    {
      name: 'R7 the replacement counts in its own region, and is started there first',
      clusters: [eu('e'), us('u')],
      deployment: next,
      placed: [own('x', 'e'), own('y', 'u', next)],
      rollsOut: true,
      want: ['+e v2'],
    },
    {
      name: 'R7 then the old one goes, whatever else is in its region',
      clusters: [eu('e'), us('u')],
      deployment: next,
      placed: [own('x', 'e'), own('y', 'u', next), own('z', 'e', next)],
      rollsOut: true,
      want: ['drain x'],
    },
    {
      name: 'a demand that came later does not keep a version from changing where it is',
      clusters: [eu('e'), us('u', full)],
      deployment: next,
      placed: [own('x', 'e'), own('y', 'e')],
      rollsOut: true,
      want: ['+e v2'],
    },
    {
      name: 'one that is replaced in place comes back to its region',
      clusters: [eu('e', narrow), us('u', narrow), us('v')],
      deployment: next,
      placed: [own('x', 'e', { phase: 'Draining', reason: IN_PLACE, says: 'Stopped' }), own('y', 'u', next)],
      rollsOut: true,
      want: ['+e v2', 'remove x'],
    },
    {
      name: 'without room beside it one is stopped first, not replaced in the other region',
      clusters: [eu('e', narrow), us('u', narrow), us('v')],
      deployment: next,
      placed: [own('x', 'e'), own('y', 'u', next)],
      rollsOut: true,
      want: ['drain x'],
      waiting: 1,
    },
    {
      name: 'whose cluster cannot take the new version goes elsewhere in its region',
      clusters: [eu('e1'), eu('e2'), us('u', { held: ['v2'] })],
      deployment: next,
      placed: [own('x', 'e1'), own('y', 'u', next)],
      failedIn: ['e1'],
      rollsOut: true,
      want: ['+e2 v2'],
    },
    {
      name: 'with the other region full, the new one takes the place of the old one, and no other',
      clusters: [eu('e'), us('u', full)],
      deployment: next,
      placed: [own('x', 'e'), own('n', 'e', { ...next, reason: 'in the place of x: best of all' })],
      rollsOut: true,
      want: ['drain x'],
      waiting: 1,
    },
    {
      name: 'so after a strict switch',
      clusters: [eu('e'), us('u', full)],
      deployment: next,
      placed: [own('x', 'e'), own('n', 'e', { ...next, reason: 'beside the old version in e, until the switch' })],
      rollsOut: true,
      want: ['drain x'],
      waiting: 1,
    },
    {
      name: 'R7 but not before it serves',
      clusters: [eu('e'), us('u', full)],
      deployment: next,
      placed: [own('x', 'e'), own('n', 'e', { ...next, says: 'Starting', reason: 'in the place of x: best of all' })],
      rollsOut: true,
      want: [],
      waiting: 1,
    },
    {
      name: 'R7 as many as wanted serve on where a demand came later',
      clusters: [eu('e'), us('u', full)],
      deployment: next,
      placed: [own('x', 'e'), own('y', 'e'), own('n', 'e', { ...next, reason: 'in the place of y: best of all' })],
      rollsOut: true,
      want: ['drain y'],
    },
    {
      name: 'R7 and the next one is replaced beside it too',
      clusters: [eu('e'), us('u', full)],
      deployment: next,
      placed: [own('x', 'e'), own('n', 'e', { ...next, reason: 'in the place of y: best of all' })],
      rollsOut: true,
      want: ['+e v2'],
    },
    {
      name: 'fewer are wanted meanwhile: of equals the region’s last one stays',
      clusters: [us('u'), eu('e')],
      deployment: next,
      placed: [own('x', 'u'), own('y', 'e'), own('z', 'e')],
      rollsOut: true,
      want: ['drain y'],
    },
  ]);
});

describe('what is left to who makes room', () => {
  const room = (rest: Partial<Deployment>, clusters: ClusterSnapshot[], replicas: PlacedReplica[] = []) => {
    const subject = deployment('chat', { replicas: 4, spread: over(2), claim: claim(1), ...rest });
    return planDeployment(fleet({ clusters, placed: replicas }), subject).spread;
  };
  const nowhere = cluster('x', { region: '', devices: 4 });

  it.each([
    { name: 'no spread: anywhere', got: room({ spread: null }, [eu('e')]), want: null },
    {
      name: 'none is placed: all but one anywhere',
      got: room({}, [eu('e', full), us('u', full), nowhere]),
      want: { missing: 2, anywhere: 2, closedClusterIds: ['x'] },
    },
    {
      name: 'as many as may be are in one region: the last one in another',
      got: room({}, [eu('e'), us('u', full), nowhere]),
      want: { missing: 1, anywhere: 0, closedClusterIds: ['e', 'x'] },
    },
    {
      name: 'enough regions: anywhere',
      got: room({}, [eu('e', taken), us('u', taken), nowhere]),
      want: { missing: 0, anywhere: 2, closedClusterIds: ['x'] },
    },
  ])('X04 $name', ({ got, want }) => expect(got).toEqual(want));
});
