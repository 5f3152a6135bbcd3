/** What a token gives a right to, and for how long: nobody fetches what it may not have, by whatever it shows. */
import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { SignJWT } from 'jose';
import { v7 } from 'uuid';
import type { Cluster, ModelVersion, VersionArtifact } from '#domain';
import { makeCluster } from './federation.fixture.ts';
import {
  changeCluster,
  demandGo,
  encode,
  filesOf,
  makeModel,
  publish,
  request,
  type SyncWorld,
  startSyncWorld,
  want,
} from './sync.fixture.ts';

jest.setTimeout(60_000);

let world: SyncWorld;
beforeAll(async () => {
  world = await startSyncWorld();
}, 60_000);
afterAll(() => world?.stop());

let cluster: Cluster;
let versions: ModelVersion[];
let chain: VersionArtifact[];
let token: string;

/** A cluster with version 1 that is to get version 3 by way of version 2. */
beforeEach(async () => {
  const modelId = await makeModel(world.store);
  versions = [];
  for (const number of [1, 2, 3]) {
    versions.push(await publish(world.store, modelId, filesOf(number, { [modelId]: 100 })));
  }
  const [one, two, three] = versions as [ModelVersion, ModelVersion, ModelVersion];
  chain = [await encode(world.store, one, two, 5), await encode(world.store, two, three, 5)];
  cluster = await makeCluster(world.store);
  await want(world.store, cluster.id, [three]);
  const reply = demandGo(await world.plans.answer(cluster.id, request(three, { held: [one.digest!] })));
  expect(reply.path).toBe('diff-chain');
  token = reply.steps[0]!.source.token;
});

const judge = (digest: string, shown = token) => world.tokens.judge(`Bearer ${shown}`, digest);
const blobOf = (artifact: VersionArtifact) => artifact.files[0]!.blobDigest;
const fileOf = (version: ModelVersion) => version.files[0]!.digest;

describe('the token of a plan', () => {
  it('gives the diffs of the way, of older versions too, and the files of the version', async () => {
    const digests = [blobOf(chain[0]!), blobOf(chain[1]!), fileOf(versions[2]!)];
    expect(await Promise.all(digests.map((digest) => judge(digest)))).toEqual(['granted', 'granted', 'granted']);
  });

  it('gives no files of versions on the way, no other artifact, no other blob', async () => {
    const other = await encode(world.store, versions[0]!, versions[2]!, 9);
    const digests = [fileOf(versions[1]!), fileOf(versions[0]!), blobOf(other), 'f'.repeat(64)];
    const verdicts = await Promise.all(digests.map((digest) => judge(digest)));
    expect(verdicts).toEqual(['not-granted', 'not-granted', 'not-granted', 'not-granted']);
  });

  it('ends when the cluster is to have the version no more', async () => {
    await want(world.store, cluster.id, []);
    expect([await judge(blobOf(chain[0]!)), await judge(fileOf(versions[2]!))]).toEqual(['not-granted', 'not-granted']);
  });

  it('ends when another version is wanted instead', async () => {
    await want(world.store, cluster.id, [versions[1]!]);
    expect(await judge(blobOf(chain[1]!))).toBe('not-granted');
  });

  it('ends when the cluster leaves', async () => {
    await changeCluster(world.store, cluster, { phase: 'Left' });
    expect(await judge(blobOf(chain[0]!))).toBe('unknown');
  });

  it('ends for an artifact that is gone', async () => {
    await world.store.transaction((rows) => rows.versions.abandon(versions[0]!.id));
    await world.store.transaction((rows) => rows.artifacts.removeStale(new Date(0)));
    expect([await judge(blobOf(chain[0]!)), await judge(blobOf(chain[1]!))]).toEqual(['not-granted', 'granted']);
  });
});

describe('a token that is none', () => {
  interface Forged {
    readonly key?: 'ours' | 'foreign';
    readonly audience?: string;
    readonly subject?: string;
    readonly expires?: string;
    readonly claims?: Record<string, unknown>;
  }

  function forge({ key = 'ours', audience = 'atoll-blobs', subject, expires = '5m', claims }: Forged): Promise<string> {
    const foreign = generateKeyPairSync('ed25519').privateKey;
    return new SignJWT(claims ?? { ver: [versions[2]!.digest], art: chain.map(({ id }) => id) })
      .setProtectedHeader({ alg: 'EdDSA' })
      .setSubject(subject ?? cluster.id)
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime(expires)
      .sign(key === 'ours' ? world.signingKey : foreign);
  }

  const table: { name: string; token: () => Promise<string>; want: string }[] = [
    { name: '(one as ours are)', token: () => forge({}), want: 'granted' },
    { name: 'of another key', token: () => forge({ key: 'foreign' }), want: 'unknown' },
    { name: 'expired', token: () => forge({ expires: '-1s' }), want: 'unknown' },
    { name: 'for a neighbour', token: () => forge({ audience: 'atoll-neighbour:x' }), want: 'unknown' },
    {
      name: 'for a neighbour, made by ourselves',
      token: () => world.tokens.issueForNeighbour(cluster.id, v7(), [versions[2]!.digest!]),
      want: 'unknown',
    },
    { name: 'of a cluster that nobody knows', token: () => forge({ subject: v7() }), want: 'unknown' },
    { name: 'of no cluster', token: () => forge({ subject: 'cluster' }), want: 'unknown' },
    {
      name: 'of too many artifacts',
      token: () => forge({ claims: { art: Array.from({ length: 65 }, () => v7()) } }),
      want: 'unknown',
    },
    { name: 'of artifacts that do not exist', token: () => forge({ claims: { art: [v7()] } }), want: 'not-granted' },
    {
      name: 'that names the artifacts of a version that is not wanted',
      token: () => forge({ claims: { ver: [versions[1]!.digest], art: [chain[0]!.id] } }),
      want: 'not-granted',
    },
    {
      name: 'for whole files only',
      token: async () => (await world.tokens.issue(cluster.id, [versions[2]!.digest!])).token,
      want: 'not-granted',
    },
    { name: 'garbage', token: async () => 'a.b.c', want: 'unknown' },
  ];
  it.each(table)('$name', async ({ token: make, want: wanted }) => {
    expect(await judge(blobOf(chain[0]!), await make())).toBe(wanted);
  });

  it('another cluster cannot use it as its own: it says whose it is', async () => {
    const other = await makeCluster(world.store);
    await want(world.store, other.id, []);
    expect(await judge(blobOf(chain[0]!), await forge({ subject: other.id }))).toBe('not-granted');
  });
});
