/** A database with versions, artifacts and clusters that want them, and the control plane's answers to it. Specs only. */
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { v7 } from 'uuid';
import type { SyncPlanReply, SyncPlanRequest } from '#contracts';
import {
  type ArtifactFile,
  type Cluster,
  type ClusterReport,
  DEFAULT_MODEL_POLICY,
  DEFAULT_TENANT_ID,
  type DesiredReplica,
  type HeldVersion,
  type ModelVersion,
  manifestText,
  type Store,
  type VersionArtifact,
  type VersionFile,
} from '#domain';
import { migrate, openStore, type PostgresStore } from '#store';
import { createTestDatabase } from '#testing';
import type { BlobStore } from '../../apps/control-plane/src/blobs/blob-store.ts';
import { BlobTokens } from '../../apps/control-plane/src/blobs/blob-tokens.ts';
import { PublicAddress } from '../../apps/control-plane/src/installation/settings.ts';
import type { Secrets } from '../../apps/control-plane/src/secrets/secrets.ts';
import { SyncPlans } from '../../apps/control-plane/src/sync/sync-plans.ts';
import { WallClock } from '../../apps/control-plane/src/sync/wall-clock.ts';

export const MB = 1_000_000;
export const REGISTRY_URL = 'http://127.0.0.1:1';

/** The time of day on command. */
export class SetClock extends WallClock {
  at = new Date();

  override now(): Date {
    return this.at;
  }
}

export interface SyncWorld {
  readonly store: PostgresStore;
  readonly databaseUrl: string;
  readonly clock: SetClock;
  readonly tokens: BlobTokens;
  readonly plans: SyncPlans;
  readonly signingKey: KeyObject;
  readonly verifyingKey: KeyObject;
  stop(): Promise<void>;
}

export async function startSyncWorld(): Promise<SyncWorld> {
  const database = await createTestDatabase({ migrate });
  const store = await openStore({ url: database.url, poolSize: 8 });
  const { privateKey: signingKey, publicKey: verifyingKey } = generateKeyPairSync('ed25519');
  const address = new PublicAddress();
  address.announce(REGISTRY_URL);
  const secrets = { blobSigningKey: signingKey, blobVerifyingKey: verifyingKey } as Secrets;
  // Nothing here resumes from a checkpoint, so no manifest is read.
  const noBlobs = { sizeBytes: async () => null } as unknown as BlobStore;
  const tokens = new BlobTokens(secrets, store, address, noBlobs);
  const clock = new SetClock();
  return {
    store,
    databaseUrl: database.url,
    clock,
    tokens,
    plans: new SyncPlans(store, tokens, clock),
    signingKey,
    verifyingKey,
    stop: async () => {
      await store.close();
      await database.drop();
    },
  };
}

/** A digest that stands for some content that nobody looks at. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Files by their megabytes; content is told apart by `path@number` unless `content` names it. */
export function filesOf(number: number, megabytes: Readonly<Record<string, number>>): VersionFile[] {
  return Object.entries(megabytes).map(([path, size]) => ({
    path,
    digest: digestOf(`${path}@${number}`),
    sizeBytes: size * MB,
  }));
}

export async function makeModel(store: Store, name = `model-${v7()}`): Promise<string> {
  const id = v7();
  const model = { id, tenantId: DEFAULT_TENANT_ID, name, policy: DEFAULT_MODEL_POLICY };
  await store.transaction((rows) => rows.models.insert({ ...model, createdAt: new Date(), revision: 1 }));
  return id;
}

export async function publish(store: Store, modelId: string, files: readonly VersionFile[]): Promise<ModelVersion> {
  const digest = digestOf(manifestText(files));
  return store.transaction(async (rows) => {
    const { id } = await rows.versions.insert({
      id: v7(),
      tenantId: DEFAULT_TENANT_ID,
      modelId,
      phase: 'Uploading',
      digest: null,
      sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      files,
      notes: '',
      parentId: null,
      metadata: {},
      signature: null,
      createdAt: new Date(),
      publishedAt: null,
    });
    await rows.versions.publish(id, digest, files, null);
    return (await rows.versions.find({ id }))!;
  });
}

/** A Ready artifact that makes all of `to`'s files from those of the same path in `base`, with `megabytes` in all. */
export async function encode(
  store: Store,
  base: ModelVersion | null,
  to: ModelVersion,
  megabytes: number,
): Promise<VersionArtifact> {
  const files = to.files.map((file, index): ArtifactFile => {
    const from = base?.files[index]?.digest ?? null;
    return {
      digest: file.digest,
      sizeBytes: file.sizeBytes,
      encoding: from === null ? 'snapshot' : 'diff',
      baseDigest: from,
      blobDigest: digestOf(`${base?.id} ${to.id} ${file.path}`),
      blobBytes: Math.floor((megabytes * MB) / to.files.length),
    };
  });
  const { tenantId, modelId, id: versionId } = to;
  const profile = base === null ? 'snapshot' : 'fast';
  return store.transaction(async (rows) => {
    const { id } = await rows.artifacts.want({
      tenantId,
      modelId,
      versionId,
      baseVersionId: base?.id ?? null,
      profile,
    });
    // Others may be wanted by what was planned before: they are made by nobody here.
    for (let taken = await rows.artifacts.take(); taken !== null && taken.id !== id; )
      taken = await rows.artifacts.take();
    await rows.artifacts.finish(id, files);
    return (await rows.artifacts.find(id))!;
  });
}

/** The cluster's document is these versions from now on. */
export async function want(
  store: Store,
  clusterId: string,
  versions: readonly ModelVersion[],
  replicas: readonly DesiredReplica[] = [],
): Promise<void> {
  await store.transaction(async (rows) => {
    const models = new Map((await rows.models.all()).map(({ id, name }) => [id, name]));
    const named = versions.map(({ id, modelId, number, digest, files }) => {
      return { versionId: id, modelName: models.get(modelId)!, number, digest: digest!, files };
    });
    await rows.desired.put(clusterId, 0, { versions: named, replicas, tasks: [] });
  });
}

export function held(version: ModelVersion, change: Partial<HeldVersion> = {}): HeldVersion {
  const { digest, sizeBytes } = version;
  const whole = { phase: 'Held' as const, bytesHave: sizeBytes, bytesTotal: sizeBytes, reason: '' };
  return { digest: digest!, ...whole, ...change };
}

export function fetching(version: ModelVersion, have: number, of: number): HeldVersion {
  const sync = {
    path: 'whole-files',
    source: 'registry',
    wireBytesHave: have,
    wireBytesTotal: of,
    bytesPerSecond: 1,
    etaSeconds: null,
  };
  return held(version, { phase: 'Fetching', bytesHave: 0, sync });
}

/** What the cluster says is so from now on. */
export async function observe(store: Store, clusterId: string, report: Partial<ClusterReport> = {}): Promise<void> {
  const whole: ClusterReport = {
    clusterId,
    bootId: v7(),
    sequence: 1,
    epoch: 0,
    revision: 0,
    agentVersion: '1.0.0',
    nodes: [],
    replicas: [],
    versions: [],
    ...report,
  };
  const observation = { clusterId, report: whole, replacedBoots: [], receivedAt: new Date() };
  await store.transaction((rows) => rows.observations.upsert(observation));
}

export function request(version: ModelVersion, change: Partial<SyncPlanRequest> = {}): SyncPlanRequest {
  const measures = { applyBytesPerSecond: {}, diskFreeBytes: 1e12 };
  return { versionDigest: version.digest!, held: [], avoid: [], avoidNeighbours: [], measures, ...change };
}

export type Go = Extract<SyncPlanReply, { decision: 'go' }>;

export function demandGo(reply: SyncPlanReply | string): Go {
  if (typeof reply === 'string' || reply.decision !== 'go') throw new Error(`not "go": ${JSON.stringify(reply)}`);
  return reply;
}

export async function changeCluster(store: Store, { id }: Cluster, change: Partial<Cluster>): Promise<void> {
  await store.transaction(async (rows) => {
    const { revision } = (await rows.clusters.find({ id }, true))!;
    await rows.clusters.update(id, revision, change);
  });
}
