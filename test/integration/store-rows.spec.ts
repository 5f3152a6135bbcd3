import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { type Cluster, DEFAULT_TENANT_ID, type DesiredTask, RefusedError } from '#domain';
import { ConflictError, migrate, openStore, type PostgresStore } from '#store';
import { createTestDatabase, jobSpecOf } from '#testing';
import {
  aPlacement,
  aReport,
  aVersion,
  DIGEST,
  insertCluster,
  insertDeployment,
  NOW,
  observe,
  someoneWaits,
} from './store.fixture.ts';

const PAGE = { tenantId: DEFAULT_TENANT_ID, after: null, limit: 200 };

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

describe('clusters', () => {
  it('are found again as they were written, by id, name and key', async () => {
    const cluster = await insertCluster(store);
    for (const by of [
      { id: cluster.id },
      { tenantId: cluster.tenantId, name: cluster.name },
      { publicKey: cluster.publicKey },
    ]) {
      expect(await store.read.clusters.find(by)).toEqual(cluster);
    }
  });

  it('are not found by what is no id', async () => {
    expect(await store.read.clusters.find({ id: "'; --" })).toBeNull();
  });

  it('change only at the revision that the writer read', async () => {
    const { id } = await insertCluster(store);
    const update = (revision: number) =>
      store.transaction((rows) => rows.clusters.update(id, revision, { cordoned: true }));
    expect(await update(1)).toBe(true);
    expect(await update(1)).toBe(false);
    expect(await store.read.clusters.find({ id })).toMatchObject({ cordoned: true, revision: 2, phaseSince: NOW });
  });

  it('are locked many at once, in the order of their ids', async () => {
    const clusters = [await insertCluster(store), await insertCluster(store)];
    const ids = clusters.map(({ id }) => id).reverse();
    expect(await store.transaction((rows) => rows.clusters.lock([...ids, v7()], 'alone'))).toEqual(clusters);
    await expect(store.read.clusters.lock(ids, 'alone')).rejects.toThrow();
  });

  it('locked together are so for many at once, and whoever changes one waits for all of them', async () => {
    const { id } = await insertCluster(store);
    const [held, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const share = (work: () => Promise<void>) =>
      store.transaction(async (rows) => {
        const [found] = await rows.clusters.lock([id], 'shared');
        await work();
        return found!.cordoned;
      });
    const first = share(async () => {
      held.resolve();
      await end.promise;
    });
    await held.promise;
    expect(await share(async () => undefined)).toBe(false);
    const changed = store.transaction((rows) => rows.clusters.update(id, 1, { cordoned: true }));
    await someoneWaits(database.url);
    expect(await store.read.clusters.find({ id })).toMatchObject({ cordoned: false });
    end.resolve();
    expect([await first, await changed]).toEqual([false, true]);
    expect(await store.read.clusters.find({ id })).toMatchObject({ cordoned: true });
  });

  it('say since when they are in their phase', async () => {
    const { id } = await insertCluster(store);
    await store.transaction((rows) => rows.clusters.update(id, 1, { phase: 'Suspect' }));
    const found = await store.read.clusters.find({ id });
    expect(found!.phaseSince.getTime()).toBeGreaterThan(NOW.getTime());
  });

  it('S2: a live name or key is never taken over; that of a cluster that left may be used again', async () => {
    const first = await insertCluster(store);
    await expect(insertCluster(store, { name: first.name })).rejects.toThrow(ConflictError);
    await expect(insertCluster(store, { publicKey: first.publicKey })).rejects.toThrow('already belongs to a cluster');
    await store.transaction((rows) => rows.clusters.update(first.id, 1, { phase: 'Left' }));
    expect(await store.read.clusters.find({ publicKey: first.publicKey })).toMatchObject({ phase: 'Left' });
    const second = await insertCluster(store, { name: first.name });
    expect(await store.read.clusters.find({ tenantId: DEFAULT_TENANT_ID, name: first.name })).toEqual(second);
    expect((await store.read.clusters.all()).map((cluster) => cluster.id)).not.toContain(first.id);
  });

  it('are listed page by page, each once', async () => {
    for (let index = 0; index < 5; index += 1) await insertCluster(store);
    const whole = await store.read.clusters.list(PAGE);
    const ids: string[] = [];
    for (let after: string | null = null; ; after = ids.at(-1)!) {
      const page: Cluster[] = await store.read.clusters.list({ ...PAGE, after, limit: 2 });
      ids.push(...page.map((cluster) => cluster.id));
      if (page.length < 2) break;
    }
    expect(ids).toEqual(whole.map((cluster) => cluster.id));
  });

  it.each([
    ['a cursor that is none', { ...PAGE, after: 'x' }],
    ['no rows', { ...PAGE, limit: 0 }],
    ['too many rows', { ...PAGE, limit: 201 }],
  ])('refuse a page of %s', async (_name, page) => {
    await expect(store.read.clusters.list(page)).rejects.toThrow(RefusedError);
  });

  it('are revoked from the second after which no credential of theirs was made', async () => {
    const cluster = await insertCluster(store);
    await store.transaction((rows) => rows.revocations.insert(cluster.publicKey, cluster.id));
    const found = (await store.read.revocations.all()).find((entry) => entry.publicKey === cluster.publicKey);
    expect(found!.revokedAtSeconds * 1000).toBeGreaterThan(NOW.getTime());
  });
});

describe('keys and tokens', () => {
  const key = {
    tenantId: DEFAULT_TENANT_ID,
    secretHash: DIGEST,
    offlineHash: null,
    models: ['tiny'],
    expiresAt: null,
    revokedAt: null,
    createdAt: NOW,
  } as const;

  it('an owner exists until its key is revoked, once', async () => {
    const id = v7();
    expect(await store.read.apiKeys.ownerExists()).toBe(false);
    const owner = { ...key, id, name: 'owner', publicId: 'owner001', role: 'owner', models: null } as const;
    await store.transaction((rows) => rows.apiKeys.insert(owner));
    expect(await store.read.apiKeys.find({ publicId: 'owner001' })).toEqual(owner);
    expect(await store.read.apiKeys.ownerExists()).toBe(true);
    const revoke = () => store.transaction((rows) => rows.apiKeys.revoke(id));
    expect([await revoke(), await revoke(), await store.read.apiKeys.ownerExists()]).toEqual([true, false, false]);
  });

  it('a join token is used once, though two come at once', async () => {
    const cluster = await insertCluster(store);
    const token = {
      id: v7(),
      tenantId: DEFAULT_TENANT_ID,
      publicId: 'token001',
      secretHash: DIGEST,
      clusterName: 'edge-1',
      kind: 'edge',
      region: '',
      zone: '',
      labels: {},
      preApproved: true,
      expiresAt: NOW,
      usedAt: null,
      createdAt: NOW,
    } as const;
    await store.transaction((rows) => rows.joinTokens.insert(token));
    expect(await store.read.joinTokens.findByPublicId('token001')).toEqual(token);
    const use = () => store.transaction((rows) => rows.joinTokens.use(token.id, cluster.id));
    expect((await Promise.all([use(), use()])).sort()).toEqual([false, true]);
  });
});

describe('models, versions, deployments', () => {
  it('number the versions of a model without gap or twin, though many begin at once', async () => {
    const { modelId } = await insertDeployment(store);
    const begin = () => store.transaction((rows) => rows.versions.insert(aVersion(modelId)));
    const versions = await Promise.all([begin(), begin(), begin(), begin()]);
    expect(versions.map((version) => version.number).sort()).toEqual([2, 3, 4, 5]);
    expect((await store.read.versions.listOfModel(modelId)).map((version) => version.number)).toEqual([5, 4, 3, 2, 1]);
    const other = await insertDeployment(store);
    const ofBoth = await store.read.versions.ofModels([modelId, other.modelId]);
    expect(ofBoth.map((version) => version.number).sort()).toEqual([1, 1, 2, 3, 4, 5]);
    expect(await store.read.versions.ofModels([])).toEqual([]);
  });

  it('publish a version once, with its size', async () => {
    const { versionId } = await insertDeployment(store);
    expect(await store.read.versions.find({ id: versionId })).toMatchObject({
      phase: 'Published',
      digest: DIGEST,
      sizeBytes: 12,
      number: 1,
    });
    await expect(store.transaction((rows) => rows.versions.publish(versionId, DIGEST, [], null))).rejects.toThrow(
      RefusedError,
    );
  });

  it('abandon no version in use, and give no number twice', async () => {
    const deployment = await insertDeployment(store);
    const abandon = (id: string) => store.transaction((rows) => rows.versions.abandon(id));
    await expect(abandon(deployment.versionId)).rejects.toMatchObject({
      refusal: { refused: 'conflict', reason: expect.stringContaining(`"${deployment.name}"`) },
    });
    const second = await store.transaction((rows) => rows.versions.insert(aVersion(deployment.modelId)));
    expect([await abandon(second.id), await abandon(second.id)]).toEqual([true, false]);
    const third = await store.transaction((rows) => rows.versions.insert(aVersion(deployment.modelId)));
    expect(third.number).toBe(3);
    const ids = await store.transaction((rows) => rows.versions.abandonUploads(new Date()));
    expect(ids).toContain(third.id);
  });

  it('keep a model while a deployment uses it', async () => {
    const { modelId } = await insertDeployment(store);
    await expect(store.transaction((rows) => rows.models.remove(modelId))).rejects.toThrow(ConflictError);
    expect(await store.read.models.findAll([modelId, v7()])).toHaveLength(1);
  });

  it('change a deployment at its revision only, deletedAt included', async () => {
    const { id } = await insertDeployment(store);
    const update = (revision: number, change: Parameters<typeof store.read.deployments.update>[2]) =>
      store.transaction((rows) => rows.deployments.update(id, revision, change));
    expect(await update(1, { replicas: 0, deletedAt: NOW })).toBe(true);
    expect(await update(1, { replicas: 7 })).toBe(false);
    expect(await update(2, { selector: {} })).toBe(true);
    expect(await store.read.deployments.find({ id })).toMatchObject({
      replicas: 0,
      deletedAt: NOW,
      selector: {},
      revision: 3,
    });
  });

  it('keep over what a deployment is spread, until it is said otherwise', async () => {
    const spread = { by: 'zone', minGroups: 3 } as const;
    const { id } = await insertDeployment(store, { spread });
    const found = async () => (await store.read.deployments.find({ id }))!.spread;
    const update = (revision: number, change: Parameters<typeof store.read.deployments.update>[2]) =>
      store.transaction((rows) => rows.deployments.update(id, revision, change));
    expect(await found()).toEqual(spread);
    await update(1, { replicas: 4 });
    expect(await found()).toEqual(spread);
    await update(2, { spread: { ...spread, minGroups: 2 } });
    expect(await found()).toEqual({ ...spread, minGroups: 2 });
    await update(3, { spread: null });
    expect(await found()).toBeNull();
  });

  it('end a deployment only after its placements', async () => {
    const deployment = await insertDeployment(store);
    const { id } = await insertCluster(store);
    const placement = aPlacement(deployment, id);
    const remove = () => store.transaction((rows) => rows.deployments.remove(deployment.id));
    await store.transaction((rows) => rows.placements.insert([placement, aPlacement(deployment, id)]));
    expect(await store.read.placements.live({ clusterId: id })).toHaveLength(2);
    expect((await store.read.placements.live({ deploymentId: deployment.id }))[0]).toEqual(placement);
    await expect(remove()).rejects.toThrow(RefusedError);
    await store.transaction(async (rows) => {
      const ids = (await rows.placements.live({ deploymentId: deployment.id })).map((entry) => entry.id);
      await rows.placements.move(ids, 'Removed', 'gone');
      await rows.placements.move(ids, 'Assigned', 'back from the dead');
    });
    expect(await store.read.placements.live({ deploymentId: deployment.id })).toEqual([]);
    await remove();
    expect(await store.read.deployments.find({ id: deployment.id })).toBeNull();
  });

  it('place ten thousand replicas in one statement', async () => {
    const deployment = await insertDeployment(store);
    const { id } = await insertCluster(store);
    await store.transaction(async (rows) => {
      await rows.placements.insert(Array.from({ length: 10_000 }, () => aPlacement(deployment, id)));
      expect(await rows.placements.live({ clusterId: id })).toHaveLength(10_000);
      await rows.placements.move(
        (await rows.placements.live({ clusterId: id })).map((row) => row.id),
        'Removed',
        '',
      );
    });
  });
});

function attemptTask(rank: number): DesiredTask {
  const spec = jobSpecOf();
  return {
    taskId: `attempt-${rank}`,
    attemptId: 'attempt',
    jobId: 'job',
    jobName: 'job',
    kind: 'command',
    attempt: 1,
    rank,
    worldSize: 2,
    epoch: 1,
    claim: spec.claim,
    devices: null,
    launcher: spec.launcher,
    command: spec.command,
    environment: {},
    mounts: [],
    checkpoint: spec.checkpoint,
    graceSeconds: spec.graceSeconds,
    resumeFrom: null,
    outputRequired: false,
    stop: null,
    stopAfterSilentSeconds: 300,
  };
}

describe('what clusters say and should do', () => {
  it('keeps the newest report, odd characters and all', async () => {
    const { id } = await insertCluster(store);
    await observe(store, id);
    const version = {
      digest: DIGEST,
      phase: 'Failed',
      bytesHave: 0,
      bytesTotal: 1,
      reason: 'bad \0 and \uD800',
    } as const;
    await observe(store, id, { sequence: 2, versions: [version] });
    const found = await store.transaction((rows) => rows.observations.find(id, true));
    expect(found!.report).toMatchObject({ sequence: 2, versions: [{ reason: 'bad \uFFFD and \uFFFD' }] });
  });

  it('knows when the newest reports came without reading them', async () => {
    const [{ id }, silent] = [await insertCluster(store), await insertCluster(store)];
    await observe(store, id);
    expect(await store.read.observations.receivedAt([id, silent.id])).toEqual(new Map([[id, NOW]]));
  });

  it('gives the newest reports without what is said of tasks', async () => {
    const [{ id }, silent] = [await insertCluster(store), await insertCluster(store)];
    await observe(store, id, { bootId: 'boot', revision: 3, tasks: [] });
    const { report, ...rest } = (await store.read.observations.find(id))!;
    const { tasks: _tasks, ...want } = report;
    expect(await store.read.observations.findAll([id, silent.id])).toEqual([{ ...rest, report }]);
    expect(await store.read.observations.findAll([id, silent.id], 'without-tasks')).toEqual([
      { ...rest, report: want },
    ]);
  });

  it('knows no reports of a cluster that does not exist', async () => {
    await expect(observe(store, v7())).rejects.toThrow(RefusedError);
  });

  it('writes a desired document only when its content changed', async () => {
    const { id } = await insertCluster(store);
    const versions = ['a', 'b'].map((name, index) => ({
      versionId: v7(),
      modelName: name,
      number: index + 1,
      digest: DIGEST,
      files: [],
    }));
    const put = (epoch: number, content: typeof versions) =>
      store.transaction((rows) => rows.desired.put(id, epoch, { versions: content, replicas: [], tasks: [] }));
    expect(await put(1, versions)).toMatchObject({ changed: true, state: { epoch: 1, revision: 1 } });
    expect(await put(2, versions.toReversed())).toMatchObject({ changed: false, state: { epoch: 1, revision: 1 } });
    expect(await put(2, [versions[0]!])).toMatchObject({ changed: true, state: { epoch: 2, revision: 2 } });
    await expect(put(1, [])).rejects.toThrow('epoch 1 is over');
    expect(await store.read.desired.find(id)).toMatchObject({ epoch: 2, revision: 2, versions: [{ modelName: 'a' }] });
  });

  it('writes a document whose tasks changed, in whatever order they come', async () => {
    const { id } = await insertCluster(store);
    const tasks = [attemptTask(0), attemptTask(1)];
    const put = (content: DesiredTask[]) =>
      store.transaction((rows) => rows.desired.put(id, 1, { versions: [], replicas: [], tasks: content }));
    expect(await put([])).toMatchObject({ changed: true, state: { revision: 1, tasks: [] } });
    expect(await put(tasks)).toMatchObject({ changed: true, state: { revision: 2, tasks } });
    expect(await put(tasks.toReversed())).toMatchObject({ changed: false, state: { revision: 2, tasks } });
    const stop = { cause: 'cancelled', reason: 'it should end', wantsCheckpoint: false } as const;
    expect(await put([{ ...tasks[0]!, stop }, tasks[1]!])).toMatchObject({ changed: true, state: { revision: 3 } });
    expect((await store.read.desired.find(id))!.tasks).toEqual([{ ...tasks[0]!, stop }, tasks[1]!]);
  });

  it('R1: accepts a message id once per cluster', async () => {
    const [one, other] = [await insertCluster(store), await insertCluster(store)];
    const accept = (clusterId: string) => store.transaction((rows) => rows.inbox.accept('message', clusterId));
    expect((await Promise.all([accept(one.id), accept(one.id)])).sort()).toEqual([false, true]);
    expect(await accept(other.id)).toBe(true);
  });

  it('R1: forgets a message id only of a cluster that was heard after it, or that left', async () => {
    const heard = await insertCluster(store);
    const left = await insertCluster(store, { phase: 'Left' });
    const silent = await insertCluster(store);
    for (const { id } of [heard, left, silent]) {
      const report = aReport(id);
      const receivedAt = new Date(Date.now() + (id === heard.id ? 2 * 3_600_000 : 0));
      await store.transaction(async (rows) => {
        await rows.inbox.accept('an old message', id);
        await rows.observations.upsert({ clusterId: id, report, replacedBoots: [], receivedAt });
      });
    }
    await store.transaction((rows) => rows.inbox.removeOlderThan(new Date(Date.now() + 60_000)));
    const isNew = [];
    for (const { id } of [heard, left, silent]) {
      isNew.push(await store.transaction((rows) => rows.inbox.accept('an old message', id)));
    }
    expect(isNew).toEqual([true, true, false]);
  });
});

describe('history', () => {
  it('lists audit entries newest first and never changes them', async () => {
    const entry = {
      tenantId: DEFAULT_TENANT_ID,
      actor: 'key:owner001',
      action: 'clusters.accept',
      targetKind: 'cluster',
      targetId: 'edge-1',
      detail: { from: 'PendingApproval' },
    };
    await store.transaction((rows) => rows.audit.add(entry));
    await store.transaction((rows) => rows.audit.add({ ...entry, action: 'clusters.remove' }));
    const [newest, older] = await store.read.audit.list(PAGE);
    expect([newest, older]).toMatchObject([{ action: 'clusters.remove' }, entry]);
    expect(await store.read.audit.list({ ...PAGE, after: newest!.id, limit: 1 })).toEqual([older]);
  });

  it('keeps the fifty newest decisions of a deployment', async () => {
    const { id } = await insertDeployment(store);
    for (let index = 0; index < 52; index += 1) {
      await store.transaction((rows) =>
        rows.decisions.insert({
          id: v7(),
          subjectKind: 'deployment',
          subjectId: id,
          epoch: 1,
          inputsHash: DIGEST,
          candidates: [],
          outcome: `decision ${index}`,
          detail: null,
          decidedAt: NOW,
        }),
      );
    }
    const found = await store.read.decisions.newest(id, 200);
    expect([found.length, found[0]!.outcome, found.at(-1)!.outcome]).toEqual([50, 'decision 51', 'decision 2']);
  });
});
