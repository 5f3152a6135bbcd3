import { describe, expect, it } from '@jest/globals';
import type { Deployment } from '#domain';
import { claim, cluster, deployment, draining, fleet, type PlacedReplica, placed, words } from './fleet.builders.ts';
import { planDeployment } from './plan-deployment.ts';
import type { ClusterSnapshot } from './snapshot.ts';

interface Row {
  name: string;
  clusters: ClusterSnapshot[];
  deployment?: Partial<Deployment>;
  placed: PlacedReplica[];
  want: string[];
  outcome?: string;
}

function check(rows: Row[]): void {
  it.each(rows)('$name', ({ clusters, deployment: rest, placed: replicas, want, outcome }) => {
    const subject = deployment('chat', { versionId: 'v2', ...rest });
    const plan = planDeployment(fleet({ clusters, placed: replicas }), subject);
    const got = plan.decision.outcome;
    expect({ words: words(plan), outcome: got }).toEqual({ words: want, outcome: outcome ?? got });
  });
}

const roomy = (...names: string[]) => names.map((name) => cluster(name, { devices: 2 }));
const old = (name: string, where: string, sketch: Parameters<typeof placed>[3] = {}) =>
  placed(name, 'chat', where, sketch);
const next = (name: string, where: string, sketch: Parameters<typeof placed>[3] = {}) =>
  placed(name, 'chat', where, { versionId: 'v2', createdSecondsAgo: 10, ...sketch });

describe('changing the version', () => {
  check([
    {
      name: 'R7 the new one is assigned first',
      clusters: roomy('a'),
      placed: [old('o', 'a')],
      want: ['+a v2'],
      outcome: 'placed 1/1; new in a; 1 runs on until it is replaced',
    },
    {
      name: 'R7 the old one stays until the new one is Ready',
      clusters: roomy('a'),
      placed: [old('o', 'a'), next('n', 'a', { says: 'Starting' })],
      want: [],
    },
    { name: 'R7 then it drains', clusters: roomy('a'), placed: [old('o', 'a'), next('n', 'a')], want: ['drain o'] },
    {
      name: 'one more than wanted at a time',
      clusters: roomy('a', 'b', 'c'),
      deployment: { replicas: 3 },
      placed: [old('x', 'a'), old('y', 'b'), old('z', 'c')],
      want: ['+c v2'],
    },
    {
      name: 'a quarter more for many',
      clusters: [cluster('a', { devices: 20 })],
      deployment: { replicas: 8 },
      placed: Array.from({ length: 8 }, (_, i) => old(`o${i}`, 'a')),
      want: ['+a v2', '+a v2'],
    },
    {
      name: 'old ones that do not serve make room at once',
      clusters: roomy('a', 'b'),
      deployment: { replicas: 2 },
      placed: [old('x', 'a', { says: 'Failed' }), old('y', 'b')],
      want: ['+a v2', 'drain x'],
    },
    {
      name: 'a new one that fails holds the rollout',
      clusters: roomy('a', 'b'),
      deployment: { replicas: 2 },
      placed: [old('x', 'a'), old('y', 'b'), next('n', 'a', { says: 'Failed' })],
      want: [],
    },
    {
      name: 'R7 a moment of silence of its cluster does not drain the only one that serves',
      clusters: [cluster('a', { devices: 2, phase: 'Suspect', phaseSecondsAgo: 2 }), cluster('b')],
      placed: [old('o', 'a'), next('n', 'b', { says: 'Fetching' })],
      want: [],
    },
    {
      name: 'R7 nor while it is Unknown for no longer than the deployment bears',
      clusters: [cluster('a', { phase: 'Unknown', phaseSecondsAgo: 200 }), cluster('b')],
      placed: [old('o', 'a'), next('n', 'b', { says: 'Fetching' })],
      want: [],
    },
    {
      name: 'silent ones go once the new one serves',
      clusters: [cluster('a', { phase: 'Unknown', phaseSecondsAgo: 200 }), cluster('b')],
      placed: [old('o', 'a'), next('n', 'b')],
      want: ['drain o'],
    },
    {
      name: 'ones out of contact for too long hold up no rollout',
      clusters: [cluster('a', { phase: 'Unknown', phaseSecondsAgo: 301 }), cluster('b'), cluster('c')],
      placed: [old('o', 'a'), next('n', 'b', { says: 'Fetching' })],
      want: ['drain o'],
    },
    {
      name: 'scaling down on the way',
      clusters: roomy('a', 'b'),
      deployment: { replicas: 1 },
      placed: [old('x', 'a'), old('y', 'b')],
      want: ['drain x'],
    },
    {
      name: 'back to the old version: what runs is enough',
      clusters: roomy('a'),
      deployment: { versionId: 'v1' },
      placed: [old('o', 'a'), next('n', 'a', { says: 'Failed' })],
      want: ['drain n'],
    },
  ]);
});

describe('no room for old and new side by side', () => {
  check([
    {
      name: 'replaced in place, one at a time',
      clusters: [cluster('a'), cluster('b')],
      deployment: { replicas: 2 },
      placed: [old('x', 'a'), old('y', 'b')],
      want: ['drain x'],
    },
    {
      name: 'waits for the one that drains',
      clusters: [cluster('a'), cluster('b')],
      deployment: { replicas: 2 },
      placed: [old('x', 'a', { phase: 'Draining', phaseSecondsAgo: 60 }), old('y', 'b')],
      want: [],
    },
    {
      name: 'waits for the new one to serve',
      clusters: [cluster('a'), cluster('b')],
      deployment: { replicas: 2 },
      placed: [next('n', 'a', { says: 'Starting' }), old('y', 'b')],
      want: [],
    },
    {
      name: 'goes on',
      clusters: [cluster('a'), cluster('b')],
      deployment: { replicas: 2 },
      placed: [next('n', 'a'), old('y', 'b')],
      want: ['drain y'],
    },
    {
      name: 'not where it would not help',
      clusters: [cluster('a', { cordoned: true })],
      placed: [old('x', 'a')],
      want: [],
    },
    {
      name: 'not when the new claim is too large anyway',
      clusters: [cluster('a')],
      deployment: { claim: claim(2) },
      placed: [old('x', 'a')],
      want: [],
    },
  ]);

  it('says so', () => {
    const plan = planDeployment(
      fleet({ clusters: [cluster('a')], placed: [old('x', 'a')] }),
      deployment('chat', { versionId: 'v2' }),
    );
    expect(plan.drain).toEqual([
      { placementId: 'x', clusterId: 'a', reason: 'no room to run old and new side by side: replaced in place in a' },
    ]);
  });
});

describe('changing where', () => {
  const elsewhere = { versionId: 'v1', selector: { regions: ['eu'] } };
  const europe = cluster('e', { region: 'eu' });
  check([
    {
      name: 'the replacement first',
      clusters: [cluster('a'), europe],
      deployment: elsewhere,
      placed: [old('x', 'a')],
      want: ['+e'],
    },
    {
      name: 'then the old one',
      clusters: [cluster('a'), europe],
      deployment: elsewhere,
      placed: [old('x', 'a'), placed('n', 'chat', 'e')],
      want: ['drain x'],
    },
    {
      name: 'runs on where nothing else fits',
      clusters: [cluster('a')],
      deployment: elsewhere,
      placed: [old('x', 'a')],
      want: [],
      outcome: 'placed 0/1; 1 runs on until it is replaced; 0/1 clusters fit: 1 outside region eu',
    },
    {
      name: 'a draining cluster is emptied the same way',
      clusters: [cluster('a', draining()), cluster('b')],
      deployment: { versionId: 'v1' },
      placed: [old('x', 'a')],
      want: ['+b'],
    },
  ]);
});
