// The rows of the model registry, of rollouts and of sync claims, on real Postgres.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import {
  type ArtifactFile,
  DEFAULT_ROLLOUT_POLICY,
  DEFAULT_TENANT_ID,
  type Deployment,
  RefusedError,
  type Rollout,
} from '#domain';
import { migrate, openStore, type PostgresStore } from '#store';
import { createTestDatabase } from '#testing';
import { aPlacement, aVersion, insertCluster, insertDeployment, NOW, observe } from './store.fixture.ts';

let database: Awaited<ReturnType<typeof createTestDatabase>>;
let store: PostgresStore;

beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url, poolSize: 5 });
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

/** Another published version of the deployment's model; digests differ by number. */
async function insertVersion({ modelId }: Pick<Deployment, 'modelId'>): Promise<{ id: string; digest: string }> {
  return store.transaction(async (rows) => {
    const { id, number } = await rows.versions.insert(aVersion(modelId));
    const digest = number.toString(16).padStart(64, '0');
    await rows.versions.publish(id, digest, [{ path: 'model.gguf', digest, sizeBytes: 12 }], null);
    return { id, digest };
  });
}

describe('versions', () => {
  it('keep parent, metadata and signature', async () => {
    const { modelId, versionId } = await insertDeployment(store);
    const signature = { publicKey: '1'.repeat(64), signature: '2'.repeat(128) };
    const id = v7();
    await store.transaction(async (rows) => {
      await rows.versions.insert({ ...aVersion(modelId, id), parentId: versionId, metadata: { run: '7' } });
      await rows.versions.publish(id, 'b'.repeat(64), [], signature);
    });
    const found = await store.read.versions.find({ id });
    expect(found).toMatchObject({ parentId: versionId, metadata: { run: '7' }, signature, phase: 'Published' });
  });

  it('are retired only when nothing uses them', async () => {
    const deployment = await insertDeployment(store);
    const { modelId, tenantId } = deployment;
    const [placed, aliased, rolled, held, wanted, free] = await Promise.all(
      Array.from({ length: 6 }, () => insertVersion(deployment)),
    );
    const cluster = await insertCluster(store);
    await observe(store, cluster.id, {
      versions: [{ digest: held!.digest, phase: 'Held', bytesHave: 12, bytesTotal: 12, reason: '' }],
    });
    await store.transaction(async (rows) => {
      await rows.placements.insert([aPlacement(deployment, cluster.id, { versionId: placed!.id })]);
      await rows.aliases.move({ tenantId, modelId, name: 'stable' }, aliased!.id, 'key:one');
      await rows.rollouts.insert(aRollout(deployment, rolled!.id));
      const version = (await rows.versions.find({ id: wanted!.id }))!;
      const named = { versionId: version.id, modelName: 'm', number: version.number, digest: wanted!.digest };
      await rows.desired.put(cluster.id, 0, {
        versions: [{ ...named, files: version.files }],
        replicas: [],
        tasks: [],
      });
    });
    const all = [deployment.versionId, ...[placed, aliased, rolled, held, wanted, free].map((each) => each!.id)];
    const retire = () => store.transaction((rows) => rows.versions.retireUnused(all));
    expect(await retire()).toEqual([free!.id]);
    expect(await retire()).toEqual([]);
    expect((await store.read.versions.find({ id: free!.id }))?.phase).toBe('Retired');
  });

  it('keep what a rollback goes to: both sides of the last rollout, not of those before', async () => {
    const deployment = await insertDeployment(store);
    const [older, newer] = [await insertVersion(deployment), await insertVersion(deployment)];
    await store.transaction(async (rows) => {
      await rows.rollouts.insert({ ...aRollout(deployment, older.id), phase: 'Completed', endedAt: NOW });
    });
    await store.transaction(async (rows) => {
      const rollout = { ...aRollout(deployment, deployment.versionId), fromVersionId: newer.id };
      await rows.rollouts.insert({ ...rollout, phase: 'Completed', endedAt: NOW });
    });
    const retired = await store.transaction((rows) => rows.versions.retireUnused([older.id, newer.id]));
    expect(retired).toEqual([older.id]);
  });

  it('keep what a rollback goes to also after a newer rollout that came to nothing', async () => {
    const deployment = await insertDeployment(store);
    const [before, tried] = [await insertVersion(deployment), await insertVersion(deployment)];
    const led = { ...aRollout(deployment, deployment.versionId), fromVersionId: before.id };
    await store.transaction((rows) => rows.rollouts.insert({ ...led, phase: 'Completed', endedAt: NOW }));
    const aborted = { ...aRollout(deployment, tried.id), phase: 'Aborted' as const, endedAt: NOW };
    await store.transaction((rows) => rows.rollouts.insert(aborted));
    expect(await store.transaction((rows) => rows.versions.retireUnused([before.id]))).toEqual([]);
  });

  describe('that a rollout needs are not abandoned', () => {
    const abandon = (id: string) => store.transaction((rows) => rows.versions.abandon(id));
    const refusal = (reason: string) => ({
      refusal: { refused: 'conflict', reason: expect.stringContaining(reason) },
    });

    it('neither side of an active one, though nothing runs it any more or yet', async () => {
      const deployment = await insertDeployment(store);
      const [before, next] = [await insertVersion(deployment), await insertVersion(deployment)];
      const rollout = { ...aRollout(deployment, next.id), fromVersionId: before.id };
      await store.transaction((rows) => rows.rollouts.insert(rollout));
      const words = refusal(`in the rollout of deployment "${deployment.name}"; wait`);
      await expect(abandon(before.id)).rejects.toMatchObject(words);
      await expect(abandon(next.id)).rejects.toMatchObject(words);
      await store.transaction((rows) => rows.rollouts.update(rollout.id, { phase: 'Aborted', reason: 'tried' }));
      expect([await abandon(before.id), await abandon(next.id)]).toEqual([true, true]);
    });

    it('nor what a deployment would be rolled back to, until it has gone on from there', async () => {
      const deployment = await insertDeployment(store);
      const [before, next] = [await insertVersion(deployment), await insertVersion(deployment)];
      const led = { ...aRollout(deployment, deployment.versionId), fromVersionId: before.id };
      await store.transaction((rows) => rows.rollouts.insert({ ...led, phase: 'Completed', endedAt: NOW }));
      await expect(abandon(before.id)).rejects.toMatchObject(
        refusal(`what deployment "${deployment.name}" would be rolled back to; bring it to another version`),
      );
      await store.transaction((rows) =>
        rows.deployments.update(deployment.id, deployment.revision, { versionId: next.id }),
      );
      expect(await abandon(before.id)).toBe(true);
    });
  });
});

describe('models', () => {
  it('change their policy at the revision that the writer read', async () => {
    const { modelId } = await insertDeployment(store);
    const policy = { snapshotCron: '0 4 * * *', keepVersions: 3, keepDays: 1 };
    const update = () => store.transaction((rows) => rows.models.update(modelId, 1, { policy }));
    expect([await update(), await update()]).toEqual([true, false]);
    expect(await store.read.models.find({ id: modelId })).toMatchObject({ policy, revision: 2 });
  });
});

describe('clusters and deployments', () => {
  it('change their sync policy, alias and rollout policy, and leave alone what is not given', async () => {
    const cluster = await insertCluster(store);
    const sync = { ...cluster.sync, bytesPerSecondMax: 5_000_000, windows: [{ from: '02:00', to: '05:00' }] };
    await store.transaction((rows) => rows.clusters.update(cluster.id, 1, { sync }));
    expect(await store.read.clusters.find({ id: cluster.id })).toMatchObject({ sync, labels: cluster.labels });

    const { id } = await insertDeployment(store);
    const rollout = { ...DEFAULT_ROLLOUT_POLICY, consistency: 'strict' } as const;
    await store.transaction((rows) => rows.deployments.update(id, 1, { alias: 'stable', rollout }));
    await store.transaction((rows) => rows.deployments.update(id, 2, { replicas: 4 }));
    expect(await store.read.deployments.find({ id })).toMatchObject({ alias: 'stable', rollout, replicas: 4 });
    await store.transaction((rows) => rows.deployments.update(id, 3, { alias: null }));
    expect((await store.read.deployments.find({ id }))?.alias).toBeNull();
  });
});

describe('aliases', () => {
  it('move with their history; a move to where it is writes none', async () => {
    const deployment = await insertDeployment(store);
    const { modelId, tenantId, versionId: first } = deployment;
    const { id: second } = await insertVersion(deployment);
    const move = (to: string | null) =>
      store.transaction((rows) => rows.aliases.move({ tenantId, modelId, name: 'stable' }, to, 'key:one'));
    for (const to of [first, first, second, null]) await move(to);
    expect(await store.read.aliases.listOfModel(modelId)).toEqual([]);
    const history = await store.read.aliases.history(modelId, 'stable', 10);
    expect(history.map(({ fromVersionId, toVersionId }) => [fromVersionId, toVersionId])).toEqual([
      [second, null],
      [first, second],
      [null, first],
    ]);
  });

  it('moved by many at once end where the history ends', async () => {
    const deployment = await insertDeployment(store);
    const { modelId, tenantId } = deployment;
    const versions = await Promise.all(Array.from({ length: 4 }, () => insertVersion(deployment)));
    const alias = { tenantId, modelId, name: 'canary' };
    await Promise.all(versions.map(({ id }) => store.transaction((rows) => rows.aliases.move(alias, id, 'key:one'))));
    const history = await store.read.aliases.history(modelId, 'canary', 10);
    expect(history).toHaveLength(4);
    expect((await store.read.aliases.find(modelId, 'canary'))?.versionId).toBe(history[0]!.toVersionId);
  });
});

describe('artifacts', () => {
  const file: ArtifactFile = {
    digest: 'c'.repeat(64),
    sizeBytes: 100,
    encoding: 'diff',
    baseDigest: 'd'.repeat(64),
    blobDigest: 'e'.repeat(64),
    blobBytes: 27,
  };

  async function wanted() {
    const deployment = await insertDeployment(store);
    const { modelId, tenantId, versionId: baseVersionId } = deployment;
    const { id: versionId } = await insertVersion(deployment);
    const key = { tenantId, modelId, versionId, baseVersionId, profile: 'fast' } as const;
    return { deployment, key, want: () => store.transaction((rows) => rows.artifacts.want(key)) };
  }
  const take = () => store.transaction((rows) => rows.artifacts.take());
  async function takeAll(): Promise<string[]> {
    const ids: string[] = [];
    for (let artifact = await take(); artifact !== null; artifact = await take()) ids.push(artifact.id);
    return ids;
  }

  it('are wanted once, however often; snapshots too', async () => {
    const { want, key } = await wanted();
    const [first, second] = await Promise.all([want(), want()]);
    expect(first.id).toBe(second.id);
    const snapshot = { ...key, baseVersionId: null, profile: 'snapshot' } as const;
    const wantSnapshot = () => store.transaction((rows) => rows.artifacts.want(snapshot));
    expect((await wantSnapshot()).id).toBe((await wantSnapshot()).id);
    await takeAll();
  });

  it('are taken by one maker each, and given back when it died', async () => {
    const { want } = await wanted();
    const { id } = await want();
    const [left, right] = await Promise.all([take(), take()]);
    expect([left, right].filter((artifact) => artifact?.id === id)).toHaveLength(1);
    await store.transaction((rows) => rows.artifacts.giveBack(new Date(Date.now() + 60_000)));
    expect(await takeAll()).toContain(id);
  });

  it('become Ready with their bytes, and are wanted again only when they Failed', async () => {
    const { want } = await wanted();
    const { id } = await want();
    await takeAll();
    await store.transaction((rows) => rows.artifacts.fail(id, 'no room'));
    expect(await store.read.artifacts.find(id)).toMatchObject({ phase: 'Failed', reason: 'no room' });
    expect(await want()).toMatchObject({ id, phase: 'Wanted', reason: '' });
    expect(await store.transaction((rows) => rows.artifacts.finish(id, [file]))).toBe(false);
    await takeAll();
    expect(await store.transaction((rows) => rows.artifacts.finish(id, [file]))).toBe(true);
    expect(await want()).toMatchObject({ id, phase: 'Ready', bytes: 27, files: [file] });
    expect(await store.read.versions.blobDigestsInUse()).toContain(file.blobDigest);
  });

  it('go when their version or base does, or when nobody used them for long', async () => {
    const { want, key } = await wanted();
    const { id } = await want();
    const stale = (before: Date) => store.transaction((rows) => rows.artifacts.removeStale(before));
    await stale(new Date(Date.now() - 60_000));
    expect(await store.read.artifacts.find(id)).not.toBeNull();
    await stale(new Date(Date.now() + 60_000));
    expect(await store.read.artifacts.find(id)).toBeNull();
    const again = await want();
    await store.transaction((rows) => rows.versions.abandon(key.versionId));
    await stale(new Date(0));
    expect(await store.read.artifacts.find(again.id)).toBeNull();
  });
});

describe('rollouts', () => {
  it('are active once a deployment, and final when they are over', async () => {
    const deployment = await insertDeployment(store);
    const { id: to } = await insertVersion(deployment);
    const rollout = aRollout(deployment, to);
    const insert = (change: Partial<Rollout> = {}) =>
      store.transaction((rows) => rows.rollouts.insert({ ...rollout, id: v7(), ...change }));
    await insert({ id: rollout.id });
    expect(await store.read.rollouts.active(deployment.id)).toEqual([rollout]);
    await expect(insert()).rejects.toThrow(RefusedError);
    const update = (change: Parameters<typeof store.read.rollouts.update>[1]) =>
      store.transaction((rows) => rows.rollouts.update(rollout.id, change));
    expect(await update({ wave: 0, openClusterIds: ['a'], waveReadyAt: NOW, reason: 'waits' })).toBe(true);
    expect(await store.read.rollouts.ofDeployment(deployment.id, 5)).toEqual([
      { ...rollout, wave: 0, openClusterIds: ['a'], waveReadyAt: NOW, reason: 'waits' },
    ]);
    expect(await update({ phase: 'Aborted', reason: 'errors' })).toBe(true);
    expect(await update({ phase: 'Progressing' })).toBe(false);
    const [ended] = await store.read.rollouts.ofDeployment(deployment.id, 5);
    expect(ended).toMatchObject({ phase: 'Aborted', waveReadyAt: NOW, endedAt: expect.any(Date) });
    await insert();
  });

  it('begun by two at once are one', async () => {
    const deployment = await insertDeployment(store);
    const { id: to } = await insertVersion(deployment);
    const begin = () => store.transaction((rows) => rows.rollouts.insert(aRollout(deployment, to)));
    const outcomes = await Promise.allSettled([begin(), begin()]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});

describe('sync claims', () => {
  const key = () => ({ tenantId: DEFAULT_TENANT_ID, siteGroup: v7(), versionDigest: 'f'.repeat(64) });
  const claim = (of: ReturnType<typeof key>, clusterId: string, holderBytes: number, stallSeconds = 3_600) =>
    store.transaction((rows) => rows.syncClaims.claim(of, clusterId, { holderBytes: () => holderBytes }, stallSeconds));

  it('go to one of those who ask at once, and stay with it while it makes progress', async () => {
    const clusters = await Promise.all([1, 2, 3].map(() => insertCluster(store)));
    const of = key();
    const holders = await Promise.all(clusters.map(({ id }) => claim(of, id, 0)));
    expect(new Set(holders).size).toBe(1);
    const [holder] = holders;
    const other = clusters.find(({ id }) => id !== holder)!.id;
    // It has more than when it was last seen: not stalled, although every second is one too many.
    expect(await claim(of, other, 10, 0)).toBe(holder);
    expect(await claim(of, other, 10, -1)).toBe(other);
  });

  it('are free again once released, by the holder only', async () => {
    const [first, second] = [await insertCluster(store), await insertCluster(store)];
    const of = key();
    const release = (id: string) =>
      store.transaction((rows) => rows.syncClaims.release(of.tenantId, of.versionDigest, id));
    await claim(of, first.id, 0);
    await release(second.id);
    expect(await claim(of, second.id, 0)).toBe(first.id);
    await release(first.id);
    expect(await claim(of, second.id, 0)).toBe(second.id);
  });
});

function aRollout(deployment: Deployment, toVersionId: string): Rollout {
  return {
    id: v7(),
    tenantId: deployment.tenantId,
    deploymentId: deployment.id,
    fromVersionId: deployment.versionId,
    toVersionId,
    policy: DEFAULT_ROLLOUT_POLICY,
    phase: 'Progressing',
    wave: -1,
    openClusterIds: [],
    isOpenToAll: false,
    isSwitched: false,
    waveSince: NOW,
    waveReadyAt: null,
    reason: '',
    startedAt: NOW,
    endedAt: null,
  };
}
