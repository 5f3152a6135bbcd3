/** Where replicas go while a rollout is under way: each cluster runs what it should, and upgrades where it stands. */
import { describe, expect, it } from '@jest/globals';
import type { Deployment } from '#domain';
import { cluster, deployment, fleet, type PlacedReplica, placed, rollout, words } from './fleet.builders.ts';
import { planDeployment } from './plan-deployment.ts';
import type { ClusterSnapshot } from './snapshot.ts';

interface Row {
  name: string;
  clusters: ClusterSnapshot[];
  deployment?: Partial<Deployment>;
  /** Null: none is active. Default: v1 → v2, open in `a`. */
  rollout?: Parameters<typeof rollout>[1] | null;
  placed: PlacedReplica[];
  failedIn?: string[];
  want: string[];
  outcome?: string;
}

function check(rows: Row[]): void {
  it.each(rows)('$name', (row) => {
    const subject = deployment('chat', { versionId: 'v2', replicas: row.placed.length, ...row.deployment });
    const active = row.rollout === null ? [] : [rollout('chat', { openClusterIds: ['a'], ...row.rollout })];
    const failedIn: Record<string, string[]> = row.failedIn === undefined ? {} : { chat: row.failedIn };
    const snapshot = fleet({ clusters: row.clusters, placed: row.placed, rollouts: active, failedIn });
    const plan = planDeployment(snapshot, subject);
    const { outcome } = plan.decision;
    expect({ words: words(plan), outcome }).toEqual({ words: row.want, outcome: row.outcome ?? outcome });
  });
}

const roomy = (...names: string[]) => names.map((name) => cluster(name, { devices: 2 }));
const old = (name: string, where: string, sketch: Parameters<typeof placed>[3] = {}) =>
  placed(name, 'chat', where, sketch);
const next = (name: string, where: string, sketch: Parameters<typeof placed>[3] = {}) =>
  placed(name, 'chat', where, { versionId: 'v2', createdSecondsAgo: 10, ...sketch });
const leaving = (name: string, where: string, says: 'Stopping' | 'Stopped') =>
  old(name, where, {
    phase: 'Draining',
    phaseSecondsAgo: 10,
    says,
    reason: `no room to run old and new side by side: replaced in place in ${where}`,
  });

describe('where a wave has come, and where not', () => {
  check([
    {
      name: 'no wave is open: nothing moves',
      clusters: roomy('a', 'b'),
      rollout: { wave: -1, openClusterIds: [] },
      placed: [old('x', 'a'), old('y', 'b')],
      want: [],
      outcome: 'placed 2/2',
    },
    {
      name: 'only the open cluster gets the new version',
      clusters: roomy('a', 'b', 'c'),
      placed: [old('x', 'a'), old('y', 'b'), old('z', 'c')],
      want: ['+a v2'],
    },
    {
      name: 'R7 the old one stays until the new one serves',
      clusters: roomy('a', 'b'),
      deployment: { replicas: 2 },
      placed: [old('x', 'a'), old('y', 'b'), next('n', 'a', { says: 'Starting' })],
      want: [],
    },
    {
      name: 'then it goes, and no other',
      clusters: roomy('a', 'b'),
      deployment: { replicas: 2 },
      placed: [old('x', 'a'), old('y', 'b'), next('n', 'a')],
      want: ['drain x'],
    },
    {
      name: 'the wave is done: the rest serves the old version and counts',
      clusters: roomy('a', 'b'),
      placed: [next('n', 'a'), old('y', 'b')],
      want: [],
      outcome: 'placed 2/2',
    },
    {
      name: 'paused: what is open still gets there',
      clusters: roomy('a', 'b'),
      rollout: { phase: 'Paused' },
      placed: [old('x', 'a'), old('y', 'b')],
      want: ['+a v2'],
    },
    {
      name: 'open to all: clusters that came later, too',
      clusters: roomy('z'),
      rollout: { isOpenToAll: true },
      placed: [old('x', 'z')],
      want: ['+z v2'],
    },
    {
      name: 'the new version where no wave has come is replaced by the old one',
      clusters: roomy('a', 'b'),
      placed: [next('n', 'b')],
      want: ['+b'],
    },
    {
      name: 'a rollout to something else than the deployment wants says nothing',
      clusters: roomy('a', 'b'),
      rollout: { toVersionId: 'v3', openClusterIds: [] },
      placed: [old('x', 'b')],
      want: ['+b v2'],
    },
    {
      name: 'scaling up: the version of the cluster',
      clusters: roomy('a', 'b'),
      deployment: { replicas: 2 },
      placed: [next('n', 'a')],
      want: ['+b'],
    },
    {
      name: 'scaling up in an open cluster: the new one',
      clusters: [cluster('a', { devices: 2 }), cluster('b')],
      deployment: { replicas: 3 },
      placed: [next('n', 'a'), old('y', 'b')],
      want: ['+a v2'],
    },
    {
      name: 'a lost one is replaced by the version of where it goes',
      clusters: [cluster('a', { phase: 'Unknown', phaseSecondsAgo: 301 }), cluster('b'), cluster('c')],
      deployment: { replicas: 2 },
      placed: [next('n', 'a'), old('y', 'b')],
      want: ['+c'],
    },
    {
      name: 'A05 what is held is judged by the version that the cluster gets',
      clusters: [
        cluster('a', { devices: 1, held: ['v1'] }),
        cluster('b', { devices: 1, held: ['v1'] }),
        cluster('c', { devices: 1, held: ['v2'] }),
      ],
      deployment: { replicas: 1 },
      placed: [],
      rollout: { openClusterIds: ['a', 'c'] },
      want: ['+c v2'],
    },
    {
      name: 'scaling down spares what is tried out',
      clusters: roomy('a', 'b'),
      deployment: { replicas: 1 },
      placed: [next('n', 'a'), old('y', 'b')],
      want: ['drain y'],
    },
  ]);
});

describe('a change of version is no move', () => {
  check([
    {
      name: 'without room beside it: in place, though another cluster has room',
      clusters: [cluster('a'), cluster('b'), cluster('c', { devices: 9 })],
      rollout: { isOpenToAll: true },
      placed: [old('x', 'a'), old('y', 'b')],
      want: ['drain x'],
    },
    {
      name: 'it is waited for',
      clusters: [cluster('a'), cluster('b'), cluster('c', { devices: 9 })],
      rollout: { isOpenToAll: true },
      placed: [leaving('x', 'a', 'Stopping'), old('y', 'b')],
      want: [],
    },
    {
      name: 'and followed where it was',
      clusters: [cluster('a'), cluster('b'), cluster('c', { devices: 9, held: ['v2'] })],
      rollout: { isOpenToAll: true },
      placed: [leaving('x', 'a', 'Stopped'), old('y', 'b')],
      want: ['+a v2', 'remove x'],
    },
    {
      name: 'or elsewhere when that is gone meanwhile',
      clusters: [cluster('a', { cordoned: true }), cluster('b'), cluster('c', { devices: 9 })],
      rollout: { isOpenToAll: true },
      placed: [leaving('x', 'a', 'Stopped'), old('y', 'b')],
      want: ['+c v2', 'remove x'],
    },
    {
      name: 'the last that serves is replaced elsewhere rather than interrupted',
      clusters: [cluster('a'), cluster('b')],
      rollout: { isOpenToAll: true },
      placed: [old('x', 'a')],
      want: ['+b v2'],
    },
    {
      name: 'but not where no wave has come',
      clusters: [cluster('a'), cluster('b')],
      placed: [old('x', 'a')],
      want: ['drain x'],
    },
    {
      name: 'one that does not serve anyway: in place',
      clusters: [cluster('a'), cluster('b')],
      rollout: { isOpenToAll: true },
      placed: [old('x', 'a', { says: 'Failed' })],
      want: ['drain x'],
    },
    {
      name: 'a moment of silence is waited out',
      clusters: [cluster('a', { devices: 2, phase: 'Suspect', phaseSecondsAgo: 2 }), cluster('b')],
      rollout: { isOpenToAll: true },
      placed: [old('x', 'a')],
      want: [],
    },
    {
      name: 'one given up is replaced elsewhere',
      clusters: [cluster('a', { devices: 2, phase: 'Unknown', phaseSecondsAgo: 301 }), cluster('b'), cluster('c')],
      rollout: { isOpenToAll: true },
      placed: [old('x', 'a')],
      want: ['+c v2', 'drain x'],
    },
    {
      name: 'a cordoned cluster keeps its old one where the rest is not reached',
      clusters: [cluster('a', { devices: 2, cordoned: true }), cluster('b')],
      placed: [old('x', 'a')],
      want: [],
      outcome: 'placed 0/1; 1 runs on until it is replaced; 0/2 clusters fit: 1 cordoned, 1 not reached by the rollout',
    },
    {
      name: 'and gives it up to a cluster that is',
      clusters: [cluster('a', { devices: 2, cordoned: true }), cluster('b')],
      rollout: { openClusterIds: ['a', 'b'] },
      placed: [old('x', 'a')],
      want: ['+b v2'],
    },
    {
      name: 'a draining cluster is emptied to wherever there is room',
      clusters: [cluster('a', { devices: 2, phase: 'Draining' }), cluster('b')],
      placed: [old('x', 'a')],
      want: ['+b'],
    },
    {
      name: 'one cluster is finished before the next begins',
      clusters: [cluster('a', { devices: 4 }), cluster('b', { devices: 3 })],
      rollout: { isOpenToAll: true },
      deployment: { replicas: 4 },
      placed: [old('w', 'a'), old('x', 'a'), old('y', 'b', { createdSecondsAgo: 2_000 }), next('n', 'a')],
      want: ['+a v2'],
    },
    {
      name: 'each old one goes for the new one beside it',
      clusters: [cluster('a', { devices: 3 }), cluster('b', { devices: 3 })],
      rollout: { isOpenToAll: true },
      deployment: { replicas: 3 },
      placed: [old('y', 'b', { createdSecondsAgo: 2_000 }), old('w', 'a'), old('x', 'a'), next('n', 'a')],
      want: ['drain w'],
    },
    {
      name: 'E04 what a rollout tries out is not moved away when it fails',
      clusters: roomy('a', 'b', 'c'),
      placed: [next('n', 'a', { says: 'Failed', restarts: 9 }), old('y', 'b')],
      want: [],
    },
    {
      name: 'E04 one of the old version is',
      clusters: roomy('a', 'b', 'c'),
      placed: [next('n', 'a'), old('y', 'b', { says: 'Failed', restarts: 9 })],
      want: ['+c', 'drain y'],
    },
  ]);
});

describe('strict', () => {
  const strict = { policy: { consistency: 'strict' as const }, openClusterIds: ['a', 'b'], isOpenToAll: true };
  check([
    {
      name: 'as many new ones as old ones, beside them, at once',
      clusters: roomy('a', 'b'),
      rollout: strict,
      placed: [old('x', 'a'), old('y', 'b')],
      want: ['+a v2', '+b v2'],
      outcome: 'placed 2/2; the new version makes ready in a, b',
    },
    {
      name: 'nothing drains before the switch',
      clusters: roomy('a', 'b'),
      rollout: strict,
      deployment: { replicas: 2 },
      placed: [old('x', 'a'), old('y', 'b'), next('m', 'a'), next('n', 'b')],
      want: [],
    },
    {
      name: 'nor when an old one fails',
      clusters: roomy('a', 'b'),
      rollout: strict,
      deployment: { replicas: 2 },
      placed: [old('x', 'a', { says: 'Failed' }), old('y', 'b'), next('m', 'a'), next('n', 'b')],
      want: [],
    },
    {
      name: 'after it the old ones do',
      clusters: roomy('a', 'b'),
      rollout: { ...strict, isSwitched: true },
      deployment: { replicas: 2 },
      placed: [old('x', 'a'), old('y', 'b'), next('m', 'a'), next('n', 'b')],
      want: ['drain x', 'drain y'],
    },
    {
      name: 'only beside replicas in open clusters',
      clusters: roomy('a', 'b'),
      rollout: { ...strict, openClusterIds: ['a'], isOpenToAll: false },
      placed: [old('x', 'a'), old('y', 'b')],
      want: ['+a v2'],
    },
    {
      name: 'without room for both it waits, and says what to free',
      clusters: [cluster('a', { devices: 2 }), cluster('b'), cluster('c', { devices: 9 })],
      rollout: strict,
      placed: [old('x', 'a'), old('y', 'b')],
      want: ['+a v2'],
      outcome:
        'placed 2/2; the new version makes ready in a; 1 new replica cannot start beside the old ones in b (0/1 clusters fit: 1 has no free nvidia.com/gpu ×1 in one node): free as much there as the old ones hold, or roll out without strict consistency',
    },
    {
      name: 'scaling up gets what serves, and one beside it',
      clusters: roomy('a', 'b'),
      rollout: strict,
      deployment: { replicas: 2 },
      placed: [old('x', 'a'), next('m', 'a')],
      want: ['+b', '+b v2'],
    },
    {
      name: 'scaling down: an old one and the one beside it',
      clusters: roomy('a', 'b'),
      rollout: strict,
      deployment: { replicas: 1 },
      placed: [old('x', 'a'), old('y', 'b', { says: 'Starting' }), next('m', 'a'), next('n', 'b')],
      want: ['drain y', 'drain n'],
    },
    {
      name: 'a lost old one is replaced by the old version, and what is silent is left',
      clusters: [
        cluster('a', { devices: 2, phase: 'Unknown', phaseSecondsAgo: 301 }),
        cluster('b', { devices: 4 }),
        cluster('c', { cordoned: true }),
      ],
      rollout: strict,
      deployment: { replicas: 2 },
      placed: [old('x', 'a'), old('y', 'b'), next('m', 'a'), next('n', 'b')],
      want: ['+b', '+b v2'],
    },
    {
      name: 'deleted: all drain',
      clusters: roomy('a'),
      rollout: strict,
      deployment: { replicas: 1, deletedAt: new Date(0) },
      placed: [old('x', 'a'), next('m', 'a')],
      want: ['drain m', 'drain x'],
    },
    {
      name: 'aborted before the switch: only the new ones go',
      clusters: roomy('a', 'b'),
      rollout: null,
      deployment: { replicas: 2, versionId: 'v1' },
      placed: [old('x', 'a'), old('y', 'b'), next('m', 'a'), next('n', 'b')],
      want: ['drain m', 'drain n'],
    },
  ]);
});

describe('after an abort', () => {
  const back = { versionId: 'v1', replicas: 2 };
  check([
    {
      name: 'R7 the old version comes back beside the new one that serves',
      clusters: roomy('a', 'b'),
      rollout: null,
      deployment: back,
      placed: [next('n', 'a'), old('y', 'b')],
      want: ['+a'],
    },
    {
      name: 'one that fails makes room at once',
      clusters: roomy('a', 'b'),
      rollout: null,
      deployment: back,
      placed: [next('n', 'a', { says: 'Failed' }), old('y', 'b')],
      want: ['+a', 'drain n'],
    },
    {
      name: 'an old one that has not gone yet is enough',
      clusters: roomy('a', 'b'),
      rollout: null,
      deployment: back,
      placed: [next('n', 'a'), old('x', 'a'), old('y', 'b')],
      want: ['drain n'],
    },
  ]);
});
