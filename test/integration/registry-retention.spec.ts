// What is kept and what goes: versions by policy and by use, blobs once nothing refers to them.

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Client } from 'pg';
import { v7 } from 'uuid';
import {
  DEFAULT_DEPLOYMENT_SERVING,
  DEFAULT_DISCONNECT_POLICY,
  DEFAULT_QUEUE_ID,
  DEFAULT_ROLLOUT_POLICY,
  type ModelVersion,
} from '#domain';
import { eventually } from '#testing';
import { collectBlobs } from '../../apps/control-plane/src/blobs/collection.ts';
import { BlobsJanitor } from '../../apps/control-plane/src/blobs/janitor.ts';
import { LeaderService } from '../../apps/control-plane/src/leader/leader.service.ts';
import { retireVersions } from '../../apps/control-plane/src/models/retention.ts';
import { type Answer, type Installation, joinCluster, startInstallation } from './admin.fixture.ts';
import { blobsOf, madeArtifacts, publishFiles, storeOf } from './registry.fixture.ts';
import { observe } from './store.fixture.ts';

const DAY_MS = 86_400_000;
const FILE_BYTES = 5_000;

// A busy machine is no failure.
jest.setTimeout(60_000);

let installation: Installation;
let modelId: string;
const versions: ModelVersion[] = [];
beforeAll(async () => {
  installation = await startInstallation();
  const body = { name: 'kept', policy: { keepVersions: 1, keepDays: 1, snapshotCron: '0 0 29 2 *' } };
  modelId = (await installation.call('POST', '/api/v1/models', { body })).body.id;
  for (let number = 1; number <= 7; number += 1) {
    const { id } = await publishFiles(installation, 'kept', { 'a.txt': contentOf(number) });
    versions.push((await storeOf(installation).read.versions.find({ id }))!);
  }
  for (const { id } of versions.slice(1)) await madeArtifacts(installation, id, 2);
  await useAllButTwo();
}, 300_000);
afterAll(() => installation?.stop(), 60_000);

function contentOf(number: number): Buffer {
  return Buffer.from(Array.from({ length: FILE_BYTES }, (_, index) => (index * number) % 251));
}

/** The newest is kept by policy, those here because they are used; 1 and 2 are nobody's. */
async function useAllButTwo(): Promise<void> {
  const store = storeOf(installation);
  const [, , deployed, held, wanted, aliased] = versions;
  await store.transaction((rows) =>
    rows.deployments.insert({
      id: v7(),
      tenantId: deployed!.tenantId,
      name: 'user',
      modelId,
      versionId: deployed!.id,
      alias: null,
      rollout: DEFAULT_ROLLOUT_POLICY,
      servedModel: 'kept',
      replicas: 0,
      claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
      selector: {},
      spread: null,
      disconnect: DEFAULT_DISCONNECT_POLICY,
      serving: DEFAULT_DEPLOYMENT_SERVING,
      queueId: DEFAULT_QUEUE_ID,
      priorityClass: 'serving',
      priority: 9,
      deletedAt: null,
      createdAt: new Date(),
      revision: 1,
    }),
  );
  const [holder, fetcher] = [await joinCluster(installation, 'holder'), await joinCluster(installation, 'fetcher')];
  const bytes = { bytesHave: 1, bytesTotal: FILE_BYTES, reason: '' };
  await observe(store, holder.reply.clusterId, { versions: [{ digest: held!.digest!, phase: 'Held', ...bytes }] });
  await observe(store, fetcher.reply.clusterId, {
    versions: [{ digest: wanted!.digest!, phase: 'Fetching', ...bytes }],
  });
  const path = '/api/v1/models/kept/aliases/stable';
  expect((await installation.call('PUT', path, { body: { version: aliased!.number } })).status).toBe(200);
}

const leaderEpoch = () => installation.controlPlane.app.get(LeaderService, { strict: false }).epoch()!;
const clean = (inMs: number) =>
  installation.controlPlane.app.get(BlobsJanitor, { strict: false }).clean(new Date(Date.now() + inMs));
const phases = async () =>
  (await storeOf(installation).read.versions.listOfModel(modelId)).map(({ phase }) => phase).reverse();
const blobDigests = async () => {
  const found = new Set<string>();
  for await (const { digest } of blobsOf(installation).list()) found.add(digest);
  return found;
};

describe('retention', () => {
  it('leaves what is young alone, however many there are', async () => {
    expect(await retireVersions(storeOf(installation), leaderEpoch(), new Date())).toEqual([]);
    await clean(2 * 3_600_000);
    expect(await phases()).toEqual(Array.from({ length: 7 }, () => 'Published'));
    const inUse = await storeOf(installation).read.versions.blobDigestsInUse();
    expect([...(await blobDigests())].sort()).toEqual([...inUse].sort());
  });

  it('retires what is old, beyond the number, and used by nobody; and says so in the audit log', async () => {
    const later = new Date(Date.now() + 2 * DAY_MS);
    const retired = await retireVersions(storeOf(installation), leaderEpoch(), later);
    expect([...retired].sort()).toEqual(
      versions
        .slice(0, 2)
        .map(({ id }) => id)
        .sort(),
    );
    expect(await phases()).toEqual(['Retired', 'Retired', ...Array.from({ length: 5 }, () => 'Published')]);
    const { items } = (await installation.call('GET', '/api/v1/audit?limit=100')).body;
    const audited = items.filter(({ action }: { action: string }) => action === 'versions.retire');
    expect(audited.map(({ targetId }: { targetId: string }) => targetId).sort()).toEqual([...retired].sort());
    const { body } = await installation.call('GET', '/api/v1/models/kept/versions/1');
    expect(body).toMatchObject({ phase: 'Retired', digest: versions[0]!.digest });
  });

  it('its diffs go with it; the blobs of both go once they are old', async () => {
    const store = storeOf(installation);
    const bases = (await store.read.artifacts.ofModel(modelId)).map(({ baseVersionId }) => baseVersionId);
    expect(bases).not.toContain(versions[0]!.id);
    expect(bases).not.toContain(versions[1]!.id);
    const before = await blobDigests();
    await clean(60_000);
    expect(await blobDigests()).toEqual(before); // within the grace
    await clean(2 * 3_600_000);
    const left = await blobDigests();
    expect([...left].sort()).toEqual([...(await store.read.versions.blobDigestsInUse())].sort());
    expect(versions.map(({ files }) => left.has(files[0]!.digest))).toEqual([false, false, ...Array(5).fill(true)]);
    expect(left.size).toBeLessThan(before.size);
  });

  it('what went can be published again, and a diff of what went cannot be wanted', async () => {
    const again = await publishFiles(installation, 'kept', { 'a.txt': contentOf(1) });
    expect(again).toMatchObject({ number: 8, digest: versions[0]!.digest });
    expect(await blobsOf(installation).sizeBytes(again.files[0].digest)).toBe(FILE_BYTES);
    const body = { version: 8, base: 1 };
    expect(await installation.call('POST', '/api/v1/models/kept/artifacts', { body })).toMatchObject({
      status: 422,
      body: { errors: [{ field: 'base', message: expect.stringContaining('Retired') }] },
    });
  });

  it('what a publish that died left staged stays for the grace, then goes', async () => {
    const folder = join(installation.directory, 'blobs', 'staging', versions.at(-1)!.id);
    await mkdir(folder);
    await clean(0);
    expect(existsSync(folder)).toBe(true);
    await clean(2 * 3_600_000);
    expect(existsSync(folder)).toBe(false);
  });

  it('collecting all the time takes nothing from those who publish, even without its grace', async () => {
    await installation.call('POST', '/api/v1/models', { body: { name: 'busy' } });
    // Blobs alone: what is left of uploads is removed for itself, and the blobs' grace is what lets that be.
    const inUse = () => storeOf(installation).read.versions.blobDigestsInUse();
    const collect = () => collectBlobs(blobsOf(installation), inUse, new Date(Date.now() + 2 * 3_600_000));
    let isPublishing = true;
    const collecting = (async () => {
      while (isPublishing) await collect();
    })();
    const published: { path: string; digest: string; sizeBytes: number }[] = [];
    try {
      for (let number = 0; number < 10; number += 1) {
        // Too small to be encoded: this is about publishing.
        const files = { 'a.txt': Buffer.from(`own ${number}`), 'b.txt': Buffer.from(`shared ${number % 2}`) };
        published.push(...(await publishFiles(installation, 'busy', files)).files);
      }
    } finally {
      isPublishing = false;
      await collecting;
    }
    const left = await blobDigests();
    expect(published.filter(({ digest }) => !left.has(digest))).toEqual([]);
  });

  it('a former leader retires nothing', async () => {
    const later = new Date(Date.now() + 2 * DAY_MS);
    await expect(retireVersions(storeOf(installation), leaderEpoch() - 1, later)).rejects.toThrow(/epoch/);
  });
});

describe('a version that is taken away while somebody decides for it', () => {
  const claim = { deviceType: 'cpu', count: 1 };
  const at = '/api/v1/deployments';

  /** `ask` has read the version as Published and waits for who takes it away, which then commits. */
  async function takenAwayUnder(versionId: string, ask: () => Promise<Answer>): Promise<Answer> {
    const store = storeOf(installation);
    let answer: Promise<Answer> | undefined;
    await store.transaction(async (rows) => {
      expect(await rows.versions.abandon(versionId)).toBe(true);
      answer = ask();
      await eventually(async () => {
        const { rows: waiting } = await database.query(
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%deployments%'`,
        );
        expect(waiting.length).toBeGreaterThan(0);
      });
    });
    return answer!;
  }

  let database: Client;
  beforeAll(async () => {
    database = new Client(installation.database.url);
    await database.connect();
    await installation.call('POST', '/api/v1/models', { body: { name: 'fleeting' } });
    for (const name of ['one', 'two', 'three']) {
      await publishFiles(installation, 'fleeting', { 'a.txt': Buffer.from(name) });
    }
  });
  afterAll(() => database?.end());

  const versionId = async (number: number) =>
    (await installation.call('GET', `/api/v1/models/fleeting/versions/${number}`)).body.id;

  it('is not deployed', async () => {
    const body = { name: 'late', model: 'fleeting', version: 1, replicas: 0, claim };
    const answer = await takenAwayUnder(await versionId(1), () => installation.call('POST', at, { body }));
    expect(answer).toMatchObject({ status: 409, body: { detail: expect.stringContaining('version 1 is Abandoned') } });
    expect((await installation.call('GET', `${at}/late`)).status).toBe(404);
  });

  it('is not gone to', async () => {
    const body = { name: 'later', model: 'fleeting', version: 3, replicas: 0, claim };
    expect(await installation.call('POST', at, { body })).toMatchObject({ status: 201 });
    const change = () => installation.call('PATCH', `${at}/later`, { body: { version: 2 } });
    expect(await takenAwayUnder(await versionId(2), change)).toMatchObject({ status: 409 });
    expect((await installation.call('GET', `${at}/later`)).body).toMatchObject({ version: 3 });
  });
});
