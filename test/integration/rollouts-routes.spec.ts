/** Which replicas take traffic while versions change: the routes view over rollouts, strict or rolling, wave by wave. */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { v7 } from 'uuid';
import {
  type Consistency,
  DEFAULT_ROLLOUT_POLICY,
  type Deployment,
  type Placement,
  type PlacementPhase,
  type ReplicaPhase,
  type Rollout,
} from '#domain';
import { migrate, openStore, type PostgresStore } from '#store';
import { createTestDatabase, type TestDatabase } from '#testing';
import { aPlacement, aVersion, insertCluster, insertDeployment, NOW, observe } from './store.fixture.ts';

// A busy machine is no failure.
jest.setTimeout(60_000);

let database: TestDatabase;
let store: PostgresStore;

beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url, poolSize: 5 });
}, 60_000);
afterAll(async () => {
  await store?.close();
  await database?.drop();
});

/** `<cluster> <version> <placement phase> <what the agent says>` */
type Line = `c${number} v${1 | 2 | 3} ${PlacementPhase} ${ReplicaPhase}`;

interface Scene {
  readonly name: string;
  readonly consistency?: Consistency;
  /** Wanted replicas. Default: as many as there are clusters in `replicas`. */
  readonly wanted?: number;
  /** The version that the deployment wants. */
  readonly goal: 1 | 2 | 3;
  /** The newest rollout. */
  readonly rollout?: Partial<Rollout> & { readonly from: number; readonly to: number };
  readonly replicas: readonly Line[];
  /** Which of `replicas`, by index, take traffic. */
  readonly wantReady: readonly number[];
  /** Default: the goal. */
  readonly wantVersion?: number;
}

const digestOf = (number: number) => String(number).repeat(64);

async function build({ consistency = 'rolling', wanted, goal, rollout, replicas }: Scene) {
  const words = replicas.map((line) => line.split(' ') as [string, string, PlacementPhase, ReplicaPhase]);
  const names = [...new Set(words.map(([cluster]) => cluster))];
  const clusters = new Map<string, string>();
  for (const name of names) clusters.set(name, (await insertCluster(store)).id);
  const policy = { ...DEFAULT_ROLLOUT_POLICY, consistency };
  const deployment = await insertDeployment(store, { replicas: wanted ?? names.length, rollout: policy });
  const versions = await insertVersions(deployment);
  const placements = words.map(([cluster, version, phase]) =>
    aPlacement(deployment, clusters.get(cluster)!, { versionId: versions.get(Number(version.slice(1)))!, phase }),
  );
  await store.transaction(async (rows) => {
    await rows.deployments.update(deployment.id, 1, { versionId: versions.get(goal)! });
    await rows.placements.insert(placements);
    if (rollout !== undefined) await rows.rollouts.insert(toRollout(deployment, versions, consistency, rollout));
  });
  for (const [name, clusterId] of clusters) {
    const here = placements.flatMap((placement, index) => (words[index]![0] === name ? [{ placement, index }] : []));
    await observe(store, clusterId, { replicas: here.map(({ placement, index }) => report(placement, words[index]!)) });
  }
  const { view } = await store.transaction((rows) => rows.routes.refresh());
  const shown = view.deployments.find(({ id }) => id === deployment.id)!;
  const ready = new Set(shown.replicas.filter((replica) => replica.ready).map(({ replicaId }) => replicaId));
  return { shown, ready: placements.flatMap(({ id }, index) => (ready.has(id) ? [index] : [])) };
}

async function insertVersions(deployment: Deployment): Promise<Map<number, string>> {
  const ids = new Map([[1, deployment.versionId]]);
  for (const number of [2, 3]) {
    const id = v7();
    const digest = digestOf(number);
    await store.transaction(async (rows) => {
      await rows.versions.insert(aVersion(deployment.modelId, id));
      await rows.versions.publish(id, digest, [{ path: 'model.gguf', digest, sizeBytes: 1 }], null);
    });
    ids.set(number, id);
  }
  return ids;
}

function toRollout(
  deployment: Deployment,
  versions: ReadonlyMap<number, string>,
  consistency: Consistency,
  { from, to, ...rest }: NonNullable<Scene['rollout']>,
): Rollout {
  return {
    id: v7(),
    tenantId: deployment.tenantId,
    deploymentId: deployment.id,
    fromVersionId: versions.get(from)!,
    toVersionId: versions.get(to)!,
    policy: { ...DEFAULT_ROLLOUT_POLICY, consistency },
    phase: 'Progressing',
    wave: 0,
    openClusterIds: [],
    isOpenToAll: true,
    isSwitched: false,
    waveSince: NOW,
    waveReadyAt: null,
    reason: '',
    startedAt: NOW,
    endedAt: null,
    ...rest,
  };
}

function report(
  { id, deploymentId }: Placement,
  [, version, , phase]: readonly [string, string, string, ReplicaPhase],
) {
  const number = Number(version.slice(1));
  // The fixture's first version has a digest of its own.
  const versionDigest = number === 1 ? 'a'.repeat(64) : digestOf(number);
  return { replicaId: id, deploymentId, versionDigest, phase, reason: '', restarts: 0 };
}

const scenes: Scene[] = [
  {
    name: 'rolling: old and new serve side by side',
    goal: 2,
    rollout: { from: 1, to: 2 },
    replicas: ['c1 v2 Assigned Ready', 'c1 v1 Assigned Ready', 'c2 v1 Assigned Ready'],
    wantReady: [0, 1, 2],
  },
  {
    name: 'R7 rolling: a draining one serves until the one of the other version beside it does, whatever others run',
    goal: 2,
    rollout: { from: 1, to: 2 },
    replicas: ['c1 v1 Draining Ready', 'c1 v2 Assigned Starting', 'c2 v1 Assigned Ready'],
    wantReady: [0, 2],
  },
  {
    name: 'rolling: it takes no more traffic once that one serves',
    goal: 2,
    rollout: { from: 1, to: 2 },
    replicas: ['c1 v1 Draining Ready', 'c1 v2 Assigned Ready', 'c2 v1 Assigned Ready'],
    wantReady: [1, 2],
  },
  {
    name: 'rolling: one that makes room for its replacement takes no more while others serve',
    goal: 2,
    rollout: { from: 1, to: 2 },
    replicas: ['c1 v1 Draining Ready', 'c2 v1 Assigned Ready'],
    wantReady: [1],
  },
  {
    name: 'R7 rolling: the last one that serves goes on, draining or not',
    goal: 2,
    rollout: { from: 1, to: 2 },
    replicas: ['c1 v1 Draining Ready', 'c2 v2 Assigned Starting'],
    wantReady: [0],
  },
  {
    name: 'strict: only the old version serves before the switch',
    consistency: 'strict',
    goal: 2,
    rollout: { from: 1, to: 2 },
    replicas: ['c1 v1 Assigned Ready', 'c1 v2 Assigned Ready', 'c2 v1 Assigned Ready', 'c2 v2 Assigned Starting'],
    wantReady: [0, 2],
    wantVersion: 1,
  },
  {
    name: 'strict: only the new version serves after the switch',
    consistency: 'strict',
    goal: 2,
    rollout: { from: 1, to: 2, isSwitched: true },
    replicas: ['c1 v1 Assigned Ready', 'c1 v2 Assigned Ready', 'c2 v1 Draining Ready', 'c2 v2 Assigned Ready'],
    wantReady: [1, 3],
  },
  {
    name: 'strict: a paused rollout changes nothing of that',
    consistency: 'strict',
    goal: 2,
    rollout: { from: 1, to: 2, phase: 'Paused' },
    replicas: ['c1 v1 Assigned Ready', 'c1 v2 Assigned Ready'],
    wantReady: [0],
    wantVersion: 1,
  },
  {
    name: 'strict: what neither side of the rollout is does not serve',
    consistency: 'strict',
    goal: 3,
    rollout: { from: 1, to: 3 },
    replicas: ['c1 v1 Assigned Ready', 'c1 v2 Assigned Ready', 'c2 v3 Assigned Ready'],
    wantReady: [0],
    wantVersion: 1,
  },
  {
    name: 'strict: with none of the old version left, the new one serves rather than nobody',
    consistency: 'strict',
    goal: 2,
    rollout: { from: 1, to: 2 },
    replicas: ['c1 v1 Draining Stopping', 'c1 v2 Assigned Ready', 'c2 v1 Assigned Failed'],
    wantReady: [1],
    wantVersion: 2,
  },
  {
    name: 'strict: an old one that drains for want of room serves until the switch where no other does',
    consistency: 'strict',
    goal: 2,
    rollout: { from: 1, to: 2 },
    replicas: ['c1 v1 Draining Ready', 'c1 v2 Assigned Ready', 'c2 v1 Assigned Ready'],
    wantReady: [0, 2],
    wantVersion: 1,
  },
  {
    name: 'strict: without a rollout the wanted version serves alone',
    consistency: 'strict',
    goal: 2,
    replicas: ['c1 v1 Assigned Ready', 'c2 v2 Assigned Ready'],
    wantReady: [1],
  },
  {
    name: 'strict: after an abort the new version is silenced at once',
    consistency: 'strict',
    goal: 1,
    rollout: { from: 1, to: 2, phase: 'Aborted' },
    replicas: ['c1 v1 Assigned Ready', 'c1 v2 Assigned Ready', 'c2 v2 Assigned Ready'],
    wantReady: [0],
  },
  {
    name: 'rolling: an aborted canary takes no more traffic',
    goal: 1,
    rollout: { from: 1, to: 2, phase: 'Aborted' },
    replicas: ['c1 v2 Assigned Ready', 'c2 v1 Assigned Ready', 'c3 v1 Assigned Ready'],
    wantReady: [1, 2],
  },
  {
    name: 'rolling: an aborted version goes on while less than half is back',
    goal: 1,
    rollout: { from: 1, to: 2, phase: 'Aborted' },
    replicas: ['c1 v2 Assigned Ready', 'c2 v2 Assigned Ready', 'c3 v1 Assigned Ready'],
    wantReady: [0, 1, 2],
  },
  {
    name: 'rolling: what was rolled back was not found wrong, and goes on until it is replaced',
    goal: 1,
    rollout: { from: 1, to: 2, phase: 'RolledBack' },
    replicas: ['c1 v2 Assigned Ready', 'c2 v1 Assigned Ready'],
    wantReady: [0, 1],
  },
  {
    name: 'rolling: an abort of long ago says nothing of a version that is wanted now',
    goal: 2,
    rollout: { from: 1, to: 2, phase: 'Aborted' },
    replicas: ['c1 v2 Assigned Ready', 'c2 v1 Assigned Ready'],
    wantReady: [0, 1],
  },
];

describe('who takes traffic', () => {
  it.each(scenes)('$name', async (scene) => {
    const { shown, ready } = await build(scene);
    const number = scene.wantVersion ?? scene.goal;
    expect([ready, shown.versionDigest]).toEqual([scene.wantReady, number === 1 ? 'a'.repeat(64) : digestOf(number)]);
    expect(shown.replicas.map(({ versionNumber }) => versionNumber).sort()).toEqual(
      scene.replicas.map((line) => Number(line.split(' ')[1]!.slice(1))).sort(),
    );
  });
});
