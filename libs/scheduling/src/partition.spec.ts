import { describe, expect, it } from '@jest/globals';
import type { Deployment } from '#domain';
import { cluster, deployment, fleet, type PlacedReplica, placed, words } from './fleet.builders.ts';
import { planDeployment } from './plan-deployment.ts';
import type { ClusterSnapshot } from './snapshot.ts';

interface Row {
  name: string;
  clusters: ClusterSnapshot[];
  deployment?: Partial<Deployment>;
  placed: PlacedReplica[];
  failedIn?: string[];
  want: string[];
  outcome?: string;
}

function check(rows: Row[]): void {
  it.each(rows)('$name', (row) => {
    const subject = deployment('chat', row.deployment);
    const failedIn: Record<string, string[]> = row.failedIn === undefined ? {} : { chat: row.failedIn };
    const plan = planDeployment(fleet({ clusters: row.clusters, placed: row.placed, failedIn }), subject);
    const outcome = plan.decision.outcome;
    expect({ words: words(plan), outcome }).toEqual({ words: row.want, outcome: row.outcome ?? outcome });
  });
}

const ready = (...names: string[]) => names.map((name) => cluster(name, { held: ['v1'] }));
const lost = (...names: string[]) =>
  names.map((name) => cluster(name, { phase: 'Unknown', phaseSecondsAgo: 301, held: ['v1'] }));

describe('a cluster out of contact', () => {
  check([
    {
      name: 're-placed after lostAfterSeconds, and kept on the books',
      clusters: [...lost('a'), ...ready('b', 'c')],
      placed: [placed('p', 'chat', 'a')],
      want: ['+c'],
      outcome: 'placed 1/1; new in c',
    },
    {
      name: 'as long as the deployment says',
      clusters: [...lost('a'), ...ready('b', 'c')],
      deployment: { disconnect: { lostAfterSeconds: 3_600, replace: 'elsewhere', reconcile: 'prefer-central' } },
      placed: [placed('p', 'chat', 'a')],
      want: [],
    },
    {
      name: 'not twice',
      clusters: [...lost('a'), ...ready('b', 'c')],
      placed: [placed('p', 'chat', 'a'), placed('q', 'chat', 'b', { says: null })],
      want: [],
    },
    {
      name: 'nowhere else to go',
      clusters: [...lost('a'), ...ready('b', 'c')],
      deployment: { selector: { clusterNames: ['a'] } },
      placed: [placed('p', 'chat', 'a')],
      want: [],
      outcome: 'placed 0/1; 0/3 clusters fit: 2 not named by the selector, 1 Unknown',
    },
    {
      name: 'X05 five of nine Unknown: nothing moves',
      clusters: [...lost('a', 'b', 'c', 'd', 'e'), ...ready('f', 'g', 'h', 'i')],
      placed: [placed('p', 'chat', 'a')],
      want: [],
      outcome:
        'placed 0/1; 5 of 9 clusters are Unknown, so the fault is taken to be on this side and the replica out of contact is not moved',
    },
    {
      name: 'X05 half Unknown: they move',
      clusters: [...lost('a', 'b'), ...ready('c', 'd')],
      placed: [placed('p', 'chat', 'a')],
      want: ['+c'],
    },
    {
      name: 'X05 new intent is still served',
      clusters: [...lost('a', 'b'), ...ready('c')],
      deployment: { replicas: 2 },
      placed: [placed('p', 'chat', 'a')],
      want: ['+c'],
    },
  ]);
});

describe('a cluster that came back', () => {
  const back = cluster('a', { phaseSecondsAgo: 5, held: ['v1'] });
  const both = [placed('old', 'chat', 'a'), placed('new', 'chat', 'b', { createdSecondsAgo: 60 })];
  const edge = { disconnect: { lostAfterSeconds: 300, replace: 'elsewhere', reconcile: 'prefer-edge' } as const };
  check([
    {
      name: 'X01 prefer-central: its replica goes once the replacement serves',
      clusters: [back, ...ready('b')],
      placed: both,
      want: ['drain old'],
    },
    {
      name: 'X01 prefer-edge: the replacement goes',
      clusters: [back, ...ready('b')],
      deployment: edge,
      placed: both,
      want: ['drain new'],
    },
    {
      name: 'whatever does not serve goes first',
      clusters: [back, ...ready('b')],
      placed: [both[0]!, placed('new', 'chat', 'b', { says: 'Fetching' })],
      want: ['drain new'],
    },
  ]);
});

describe('replicas that keep failing', () => {
  const failing = (restarts: number) => [placed('p', 'chat', 'a', { says: 'Failed', restarts })];
  check([
    { name: 'stay at first: the agent tries again', clusters: ready('a', 'b'), placed: failing(4), want: [] },
    { name: 'E04 move after five failures', clusters: ready('a', 'b'), placed: failing(5), want: ['+b', 'drain p'] },
    {
      name: 'stay when nothing else fits',
      clusters: [...ready('a'), cluster('b', { cordoned: true })],
      placed: failing(9),
      want: [],
    },
    {
      name: 'do not go back to where they failed',
      clusters: ready('a', 'b'),
      failedIn: ['a', 'b'],
      placed: failing(5),
      want: [],
    },
    {
      name: 'stay after three clusters',
      clusters: ready('a', 'b'),
      failedIn: ['a', 'x', 'y', 'z'],
      placed: failing(5),
      want: [],
    },
    {
      name: 'are not judged while out of contact',
      clusters: [cluster('a', { phase: 'Suspect' }), ...ready('b')],
      placed: failing(5),
      want: [],
    },
  ]);
});
