/** A control plane's federation and leader on real servers, and an agent that only speaks the wire. Specs only. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type INestMicroservice, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { v7 } from 'uuid';
import { type DesiredFetchReply, desiredFetchReplySchema, type ReportMessage, SUBJECTS } from '#contracts';
import {
  type Cluster,
  DEFAULT_DEPLOYMENT_SERVING,
  DEFAULT_DISCONNECT_POLICY,
  DEFAULT_MODEL_POLICY,
  DEFAULT_QUEUE_ID,
  DEFAULT_ROLLOUT_POLICY,
  DEFAULT_SYNC_POLICIES,
  DEFAULT_TENANT_ID,
  type Deployment,
  LeaderLease,
  type ModelVersion,
  type ReplicaPhase,
  Store,
} from '#domain';
import {
  connectNats,
  createIdentity,
  inboxPrefixOf,
  issueUserJwt,
  type NatsSession,
  NatsTransportStrategy,
  permissionTables,
  publishEvent,
  publishJson,
  requestJson,
  subscribeJson,
  writeOperatorFiles,
} from '#messaging';
import { migrate, openStore, PostgresLeaderLease, type PostgresStore } from '#store';
import { createTestDatabase, startNatsServer, type TestNatsServer } from '#testing';
import { BlobStore } from '../../apps/control-plane/src/blobs/blob-store.ts';
import { BlobTokens } from '../../apps/control-plane/src/blobs/blob-tokens.ts';
import { FederationModule } from '../../apps/control-plane/src/federation/federation.module.ts';
import { MonotonicClock } from '../../apps/control-plane/src/federation/fleet-liveness.ts';
import { CountedFederation, FederationMetrics } from '../../apps/control-plane/src/federation/metrics.ts';
import { LeaderModule } from '../../apps/control-plane/src/leader/leader.module.ts';
import { ControlPlaneNats, connectControlPlane } from '../../apps/control-plane/src/nats/control-plane-nats.ts';

export const CPU = { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } } as const;

/** Milliseconds that pass on command, on top of the process' own clock. */
export class TravellingClock extends MonotonicClock {
  private aheadMs = 0;

  override nowMs(): number {
    return performance.now() + this.aheadMs;
  }

  advance(ms: number): void {
    this.aheadMs += ms;
  }
}

export interface Servers {
  readonly server: TestNatsServer;
  readonly store: PostgresStore;
  readonly databaseUrl: string;
  readonly operatorDirectory: string;
  stop(): Promise<void>;
}

export async function startServers(): Promise<Servers> {
  const [database, server] = await Promise.all([createTestDatabase({ migrate }), startNatsServer()]);
  const operatorDirectory = await mkdtemp(join(tmpdir(), 'atoll-operator-'));
  await writeOperatorFiles(operatorDirectory, server.operator);
  const store = await openStore({ url: database.url, poolSize: 8 });
  return {
    server,
    store,
    databaseUrl: database.url,
    operatorDirectory,
    stop: async () => {
      await store.close();
      await server.stop();
      await database.drop();
      await rm(operatorDirectory, { recursive: true, force: true });
    },
  };
}

export interface Centre {
  readonly app: INestMicroservice;
  readonly nats: ControlPlaneNats;
  readonly counts: CountedFederation;
  readonly clock: TravellingClock;
  stop(): Promise<void>;
}

/** One control plane without its HTTP side; `leads` false leaves the leader out. */
export async function startCentre(servers: Servers, options: { leads: boolean }): Promise<Centre> {
  const nats = await connectControlPlane({
    servers: [servers.server.url],
    agentServers: [servers.server.url],
    operatorDirectory: servers.operatorDirectory,
    name: 'spec',
    onError: () => undefined,
  });
  const clock = new TravellingClock();
  const counts = new CountedFederation();
  const blobs = await BlobStore.open(join(servers.operatorDirectory, 'blobs'));
  const base = globalModule(servers, nats, blobs);
  const built = await Test.createTestingModule({
    imports: [base, FederationModule, ...(options.leads ? [LeaderModule] : [])],
  })
    .overrideProvider(MonotonicClock)
    .useValue(clock)
    .overrideProvider(FederationMetrics)
    .useValue(counts)
    .compile();
  const strategy = new NatsTransportStrategy({ connection: nats.connection });
  const app = built.createNestMicroservice({ strategy, logger: false });
  await app.listen();
  return {
    app,
    nats,
    counts,
    clock,
    stop: async () => {
      await app.close();
      await nats.close();
    },
  };
}

async function issueBlobToken(clusterId: string, digests: readonly string[]): Promise<DesiredFetchReply['blobs']> {
  const token = `${clusterId}:${digests.join(',')}`;
  return { url: 'http://127.0.0.1:1/api/v1/blobs', token, expiresInSeconds: 900 };
}

function globalModule(servers: Servers, nats: ControlPlaneNats, blobs: BlobStore) {
  const lease = new PostgresLeaderLease({ url: servers.databaseUrl });
  class Base {}
  Module({})(Base);
  const providers = [
    { provide: Store, useValue: servers.store },
    { provide: LeaderLease, useValue: lease },
    { provide: ControlPlaneNats, useValue: nats },
    { provide: BlobStore, useValue: blobs },
    {
      provide: BlobTokens,
      useValue: {
        issue: issueBlobToken,
        issueForPlan: (clusterId: string, digest: string) => issueBlobToken(clusterId, [digest]),
      },
    },
  ];
  return { module: Base, global: true, providers, exports: providers.map(({ provide }) => provide) };
}

/** Waits for a condition; the error says what did not come. */
export async function until<T>(
  what: string,
  look: () => Promise<T | null | undefined | false>,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== null && found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await delay(20);
  }
}

let made = 0;

export async function makeCluster(store: Store, change: Partial<Cluster> = {}): Promise<Cluster> {
  made += 1;
  const now = new Date();
  const cluster: Cluster = {
    id: v7(),
    tenantId: DEFAULT_TENANT_ID,
    name: `cluster-${made}`,
    kind: 'edge',
    region: 'cn',
    zone: '',
    labels: {},
    sync: DEFAULT_SYNC_POLICIES.edge,
    publicKey: createIdentity().publicKey,
    phase: 'Ready',
    cordoned: false,
    drain: null,
    ahead: null,
    phaseSince: now,
    createdAt: now,
    revision: 1,
    ...change,
  };
  await store.transaction((rows) => rows.clusters.insert(cluster));
  return cluster;
}

/** A published version of a new model, or the next one of `modelId`. */
export async function makeVersion(store: Store, modelId?: string): Promise<ModelVersion> {
  made += 1;
  const digest = made.toString(16).padStart(64, '0');
  const files = [{ path: 'model.gguf', digest, sizeBytes: 10 }];
  return store.transaction(async (rows) => {
    const owner = modelId ?? v7();
    const createdAt = new Date();
    if (modelId === undefined) {
      await rows.models.insert({
        id: owner,
        tenantId: DEFAULT_TENANT_ID,
        name: `model-${made}`,
        policy: DEFAULT_MODEL_POLICY,
        createdAt,
        revision: 1,
      });
    }
    const version = await rows.versions.insert({
      id: v7(),
      tenantId: DEFAULT_TENANT_ID,
      modelId: owner,
      phase: 'Uploading',
      digest: null,
      sizeBytes: 10,
      files,
      notes: '',
      parentId: null,
      metadata: {},
      signature: null,
      createdAt,
      publishedAt: null,
    });
    await rows.versions.publish(version.id, digest, files, null);
    return { ...version, digest };
  });
}

export async function makeDeployment(
  store: Store,
  version: ModelVersion,
  change: Partial<Deployment> = {},
): Promise<Deployment> {
  made += 1;
  const deployment: Deployment = {
    id: v7(),
    tenantId: DEFAULT_TENANT_ID,
    name: `chat-${made}`,
    modelId: version.modelId,
    versionId: version.id,
    alias: null,
    rollout: DEFAULT_ROLLOUT_POLICY,
    servedModel: 'chat',
    replicas: 1,
    claim: CPU,
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
    ...change,
  };
  await store.transaction((rows) => rows.deployments.insert(deployment));
  return deployment;
}

/** Speaks the wire as an agent does, and runs nothing: replicas become what `phaseOf` says. */
export class WireAgent {
  bootId: string = v7();
  sequence = 0;
  epoch = 0;
  revision = 0;
  /** What it reports of each wanted replica; null: not listed. */
  phaseOf: (replicaId: string, isDraining: boolean) => ReplicaPhase | null = (_id, isDraining) =>
    isDraining ? null : 'Ready';
  /** How often it says that each replica failed, and why. */
  restartsOf: (replicaId: string) => number = () => 0;
  readonly hints: unknown[] = [];
  readonly acked: string[] = [];
  state: DesiredFetchReply['state'] = null;
  private timer: NodeJS.Timeout | null = null;

  private constructor(
    readonly clusterId: string,
    readonly session: NatsSession,
    private readonly devices: number,
  ) {}

  static async connect(servers: Servers, clusterId: string, devices = 2): Promise<WireAgent> {
    const { publicKey, seed } = createIdentity();
    const permissions = permissionTables.agent(clusterId);
    const accountSeed = servers.server.operator.atollAccount.seed;
    const jwt = await issueUserJwt({
      accountSeed,
      userPublicKey: publicKey,
      name: 'agent',
      role: 'agent',
      clusterId,
      permissions,
    });
    const session = await connectNats({
      servers: servers.server.url,
      credentials: () => ({ jwt, seed }),
      name: `agent-${clusterId}`,
      inboxPrefix: inboxPrefixOf(clusterId),
      reconnectWaitMs: 50,
      reconnectJitterMs: 10,
    });
    const agent = new WireAgent(clusterId, session, devices);
    agent.publicKey = publicKey;
    const onError = () => undefined;
    subscribeJson(session.connection, SUBJECTS.desiredHint(clusterId), (received) => agent.onHint(received.value), {
      onError,
    });
    subscribeJson(
      session.connection,
      SUBJECTS.acked(clusterId),
      ({ value }) => void agent.acked.push(...(value as { ids: string[] }).ids),
      { onError },
    );
    await session.connection.flush();
    return agent;
  }

  publicKey = '';
  isFollowing = false;

  /** Heartbeats, reports, and does what it is told from now on. */
  async live(): Promise<void> {
    this.isFollowing = true;
    this.heartbeat();
    this.timer = setInterval(() => this.heartbeat(), 200);
    await this.apply();
  }

  /** Says nothing and does nothing until it lives again. */
  pause(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.isFollowing = false;
  }

  async stop(): Promise<void> {
    this.pause();
    await this.session.close();
  }

  heartbeat(): void {
    const beat = {
      boot: this.bootId.slice(0, 8),
      sequence: 1,
      revision: this.revision,
      inflight: 0,
      queued: 0,
      stallMs: 0,
    };
    publishJson(this.session.connection, SUBJECTS.heartbeat(this.clusterId), beat);
  }

  async fetch(): Promise<DesiredFetchReply> {
    const asked = { revision: this.revision, epoch: this.epoch };
    const answer = await requestJson(this.session.connection, SUBJECTS.desiredFetch(this.clusterId), asked, {
      timeoutMs: 30_000,
    });
    return desiredFetchReplySchema.parse(answer);
  }

  async apply(): Promise<void> {
    const { state } = await this.fetch();
    this.state = state;
    if (state !== null) {
      this.epoch = state.epoch;
      this.revision = state.revision;
    }
    this.report();
  }

  report(change: Partial<ReportMessage> = {}, subjectClusterId = this.clusterId): void {
    this.sequence += 1;
    const replicas = (this.state?.replicas ?? []).flatMap(({ replicaId, deploymentId, versionDigest, draining }) => {
      const phase = this.phaseOf(replicaId, draining);
      const reason = phase === 'Failed' ? 'the engine ended with code 1' : '';
      const restarts = this.restartsOf(replicaId);
      return phase === null ? [] : [{ replicaId, deploymentId, versionDigest, phase, reason, restarts }];
    });
    const report: ReportMessage = {
      clusterId: this.clusterId,
      bootId: this.bootId,
      sequence: this.sequence,
      epoch: this.epoch,
      revision: this.revision,
      agentVersion: '1.0.0',
      nodes: [
        {
          name: 'machine',
          devices: Array.from({ length: this.devices }, (_, index) => ({
            id: `cpu-${index}`,
            deviceType: 'cpu',
            memoryBytes: 1e9,
          })),
        },
      ],
      replicas,
      versions: [],
      ...change,
    };
    publishJson(this.session.connection, SUBJECTS.report(subjectClusterId), report);
  }

  async tell(event: { id: string; [field: string]: unknown }): Promise<void> {
    await publishEvent(this.session.connection, this.clusterId, event.id, event);
  }

  private async onHint(hint: unknown): Promise<void> {
    this.hints.push(hint);
    if (this.isFollowing) await this.apply();
  }
}
