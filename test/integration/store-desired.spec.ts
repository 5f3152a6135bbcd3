/** What stands with a desired document, so that nobody hashes it who asks whether it is the newest; on real Postgres. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { v7 } from 'uuid';
import { type DesiredFetchReply, outlineDigest, outlineOf } from '#contracts';
import type { DesiredReplica, DesiredState, Store } from '#domain';
import { migrate, openStore } from '#store';
import { createTestDatabase } from '#testing';
import type { BlobTokens } from '../../apps/control-plane/src/blobs/blob-tokens.ts';
import { DesiredFetch } from '../../apps/control-plane/src/federation/desired-fetch.ts';
import { CLAIM, DIGEST, insertCluster } from './store.fixture.ts';

let database: Awaited<ReturnType<typeof createTestDatabase>>;
let store: Store;
let client: Client;

beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url });
  client = new Client({ connectionString: database.url });
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await store?.close();
  await database?.drop();
});

const replica = (change: Partial<DesiredReplica> = {}): DesiredReplica => ({
  replicaId: v7(),
  deploymentId: v7(),
  deploymentName: 'chat',
  servedModel: 'chat',
  versionDigest: DIGEST,
  claim: CLAIM,
  epoch: 1,
  draining: false,
  ...change,
});

const version = () => ({ versionId: v7(), modelName: 'tiny', number: 1, digest: DIGEST, files: [] });

const put = (clusterId: string, replicas: readonly DesiredReplica[], epoch = 1) =>
  store.transaction((rows) => rows.desired.put(clusterId, epoch, { versions: [version()], replicas, tasks: [] }));

/** As an agent makes it, of what it was sent. */
const digestOf = (state: DesiredState) => outlineDigest(state, outlineOf(JSON.parse(JSON.stringify(state))));

const found = async (clusterId: string) => (await store.read.desired.find(clusterId))!;
const digestHeld = async (clusterId: string) => (await store.read.desired.position(clusterId))?.digest;

/** The statement of a release that knows no outlines, word for word. */
const PUT_OF_OLDER_RELEASE = `
  INSERT INTO desired_states
    (cluster_id, tenant_id, epoch, revision, content_hash, versions, replicas, tasks, updated_at)
  SELECT id, tenant_id, $2, 1, $3, $4::jsonb, $5::jsonb, $6::jsonb, now() FROM clusters WHERE id = $1
  ON CONFLICT (cluster_id) DO UPDATE SET
    epoch = excluded.epoch, revision = desired_states.revision + 1, content_hash = excluded.content_hash,
    versions = excluded.versions, replicas = excluded.replicas, tasks = excluded.tasks,
    updated_at = excluded.updated_at
  WHERE desired_states.content_hash <> excluded.content_hash AND desired_states.epoch <= excluded.epoch`;

async function putByOlderRelease(clusterId: string, replicas: readonly DesiredReplica[]): Promise<void> {
  await client.query(PUT_OF_OLDER_RELEASE, [clusterId, 1, v7(), '[]', JSON.stringify(replicas), '[]']);
}

describe('the digest that stands with a document', () => {
  const odd: { name: string; change: Partial<DesiredReplica> }[] = [
    { name: 'plain', change: {} },
    { name: 'letters of all kinds', change: { servedModel: 'ß 中 \u{1F600} " \\ \n' } },
    { name: 'what is undefined', change: { adapters: undefined } as Partial<DesiredReplica> },
    {
      name: 'numbers that have many forms',
      change: { epoch: 1e21, claim: { ...CLAIM, memoryBytesMin: 0.1 + 0.2 } as never },
    },
    { name: 'keys in another order', change: Object.fromEntries(Object.entries(replica()).reverse()) },
  ];
  it.each(odd)('is the one that its agent makes of it: $name', async ({ change }) => {
    const { id } = await insertCluster(store);
    await put(id, [replica(change), replica()]);
    expect(await digestHeld(id)).toBe(digestOf(await found(id)));
  });

  it('follows every change, and a put of the same leaves it', async () => {
    const { id } = await insertCluster(store);
    const seen = new Set<string | null | undefined>();
    for (let count = 0; count < 4; count += 1) {
      await put(
        id,
        Array.from({ length: count }, () => replica()),
      );
      expect(await digestHeld(id)).toBe(digestOf(await found(id)));
      seen.add(await digestHeld(id));
    }
    const { versions, replicas, tasks } = await found(id);
    await store.transaction((rows) => rows.desired.put(id, 9, { versions, replicas: replicas.toReversed(), tasks }));
    seen.add(await digestHeld(id));
    expect(seen.size).toBe(4);
  });

  it('is of nothing where there is no document, or no such cluster', async () => {
    const { id } = await insertCluster(store);
    expect([await store.read.desired.position(id), await store.read.desired.position('none')]).toEqual([null, null]);
  });

  it('R20: comes back with the very document that a backup brings back', async () => {
    const { id } = await insertCluster(store);
    await put(id, [replica()]);
    const before = await digestHeld(id);
    await client.query('CREATE TABLE backup AS SELECT * FROM desired_states WHERE cluster_id = $1', [id]);
    await put(id, [replica(), replica()]);
    const lost = await found(id);
    await client.query('DELETE FROM desired_states WHERE cluster_id = $1', [id]);
    await client.query('INSERT INTO desired_states SELECT * FROM backup');
    expect([await digestHeld(id), digestOf(await found(id))]).toEqual([before, before]);
    // The same number as the one that was lost, with other content.
    await put(id, []);
    const restored = await found(id);
    expect(restored.revision).toBe(lost.revision);
    expect(await digestHeld(id)).toBe(digestOf(restored));
    expect(await digestHeld(id)).not.toBe(digestOf(lost));
  });

  it('R20: is of no document whose number was raised, until the next is written', async () => {
    const { id } = await insertCluster(store);
    await put(id, [replica()]);
    await store.transaction((rows) => rows.desired.raise(id, 812));
    expect(await store.read.desired.position(id)).toMatchObject({ revision: 812, digest: null });
    await put(id, [replica()], 2);
    expect(await store.read.desired.position(id)).toMatchObject({ revision: 813, digest: digestOf(await found(id)) });
  });

  it('R21: is of no document that an older release wrote over a newer one’s', async () => {
    const { id } = await insertCluster(store);
    await put(id, [replica()]);
    await putByOlderRelease(id, [replica(), replica()]);
    expect(await store.read.desired.position(id)).toEqual({ clusterId: id, epoch: 1, revision: 2, digest: null });
    const state = await found(id);
    await store.transaction((rows) => rows.desired.keepOutline(state));
    expect(await digestHeld(id)).toBe(digestOf(state));
    await put(id, [replica()]);
    expect(await digestHeld(id)).toBe(digestOf(await found(id)));
  });

  it('R21: is not made from what is stored no more', async () => {
    const { id } = await insertCluster(store);
    await putByOlderRelease(id, [replica()]);
    const state = await found(id);
    await putByOlderRelease(id, [replica()]);
    await store.transaction((rows) => rows.desired.keepOutline(state));
    expect(await digestHeld(id)).toBeNull();
  });
});

describe('R5: a fetch by an agent that holds the newest document', () => {
  /** How often a whole document was read. */
  let documentsRead = 0;
  const blobs = { url: 'http://127.0.0.1:1', token: 'token', expiresInSeconds: 900 };
  const tokens = { issue: async () => blobs } as unknown as BlobTokens;

  function fetches(): DesiredFetch {
    documentsRead = 0;
    const { desired } = store.read;
    const find = (clusterId: string) => {
      documentsRead += 1;
      return desired.find(clusterId);
    };
    const counted = { position: (clusterId: string) => desired.position(clusterId), find };
    const read = { clusters: store.read.clusters, desired: counted };
    return new DesiredFetch({ read, transaction: store.transaction.bind(store) } as unknown as Store, tokens);
  }

  async function ask(desk: DesiredFetch, held: DesiredState, needsBlobs = false): Promise<Partial<DesiredFetchReply>> {
    const { clusterId, epoch, revision } = held;
    const asked = { epoch, revision, held: { digest: digestOf(held), ...(needsBlobs ? { needsBlobs } : {}) } };
    const { verification: _, ...reply } = (await desk.answer(clusterId, asked))!;
    return reply;
  }

  it('reads no document', async () => {
    const { id } = await insertCluster(store);
    await put(id, [replica()]);
    const desk = fetches();
    expect(await ask(desk, await found(id))).toEqual({ state: null, unchanged: true });
    expect(documentsRead).toBe(0);
  });

  it('reads it for the versions that a token is to be for', async () => {
    const { id } = await insertCluster(store);
    await put(id, [replica()]);
    const desk = fetches();
    expect(await ask(desk, await found(id), true)).toEqual({ state: null, unchanged: true, blobs });
    expect(documentsRead).toBe(1);
  });

  it('R21: of an older release reads it once', async () => {
    const { id } = await insertCluster(store);
    await putByOlderRelease(id, [replica()]);
    const held = await found(id);
    const desk = fetches();
    for (let count = 0; count < 3; count += 1) {
      expect(await ask(desk, held)).toEqual({ state: null, unchanged: true });
    }
    expect(documentsRead).toBe(1);
  });

  it('is sent what is new when it is not the newest any more', async () => {
    const { id } = await insertCluster(store);
    await put(id, [replica()]);
    const held = await found(id);
    await put(id, [replica()]);
    expect(await ask(fetches(), held)).toEqual({ state: await found(id) });
  });

  it('R20: is told nothing while it is ahead, whatever it holds', async () => {
    const { id } = await insertCluster(store, { ahead: { epoch: 5, revision: 9, since: new Date(0).toISOString() } });
    await put(id, [replica()]);
    expect(await ask(fetches(), await found(id))).toEqual({ state: null });
  });
});
