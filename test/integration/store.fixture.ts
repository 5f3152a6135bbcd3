/** Rows with defaults for the store's specs: a spec names only what it is about. */
import { expect } from '@jest/globals';
import { Client } from 'pg';
import { v7 } from 'uuid';
import {
  type Cluster,
  type ClusterReport,
  DEFAULT_DEPLOYMENT_SERVING,
  DEFAULT_DISCONNECT_POLICY,
  DEFAULT_MODEL_POLICY,
  DEFAULT_QUEUE_ID,
  DEFAULT_ROLLOUT_POLICY,
  DEFAULT_SYNC_POLICIES,
  DEFAULT_TENANT_ID,
  type Decision,
  type Deployment,
  type Job,
  type Placement,
  type Store,
} from '#domain';
import { eventually } from '#testing';

export const NOW = new Date('2026-01-02T03:04:05.678Z');
export const DIGEST = 'a'.repeat(64);
export const CLAIM = { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } } as const;

let count = 0;

export function aName(stem: string): string {
  count += 1;
  return `${stem}-${count}`;
}

export function aCluster(change: Partial<Cluster> = {}): Cluster {
  return {
    id: v7(),
    tenantId: DEFAULT_TENANT_ID,
    name: aName('cluster'),
    kind: 'edge',
    region: 'eu',
    zone: '',
    labels: { site: 'a' },
    sync: DEFAULT_SYNC_POLICIES.edge,
    publicKey: aName('U'),
    phase: 'Ready',
    cordoned: false,
    drain: null,
    ahead: null,
    phaseSince: NOW,
    createdAt: NOW,
    revision: 1,
    ...change,
  };
}

export async function insertCluster(store: Store, change: Partial<Cluster> = {}): Promise<Cluster> {
  const cluster = aCluster(change);
  await store.transaction((rows) => rows.clusters.insert(cluster));
  return cluster;
}

/** A model with one published version, and a deployment of it. */
export async function insertDeployment(store: Store, change: Partial<Deployment> = {}): Promise<Deployment> {
  const modelId = v7();
  const deployment: Deployment = {
    id: v7(),
    tenantId: DEFAULT_TENANT_ID,
    name: aName('deployment'),
    modelId,
    versionId: v7(),
    alias: null,
    rollout: DEFAULT_ROLLOUT_POLICY,
    servedModel: 'tiny',
    replicas: 1,
    claim: CLAIM,
    selector: { kinds: ['edge'] },
    spread: null,
    disconnect: DEFAULT_DISCONNECT_POLICY,
    serving: DEFAULT_DEPLOYMENT_SERVING,
    queueId: DEFAULT_QUEUE_ID,
    priorityClass: 'serving',
    priority: 9,
    deletedAt: null,
    createdAt: NOW,
    revision: 1,
    ...change,
  };
  await store.transaction(async (rows) => {
    const owner = { id: modelId, tenantId: DEFAULT_TENANT_ID };
    const policy = DEFAULT_MODEL_POLICY;
    await rows.models.insert({ ...owner, name: aName('model'), policy, createdAt: NOW, revision: 1 });
    await rows.versions.insert(aVersion(modelId, deployment.versionId));
    const files = [{ path: 'model.gguf', digest: DIGEST, sizeBytes: 12 }];
    await rows.versions.publish(deployment.versionId, DIGEST, files, null);
    await rows.deployments.insert(deployment);
  });
  return deployment;
}

export function aVersion(modelId: string, id: string = v7()) {
  return {
    id,
    tenantId: DEFAULT_TENANT_ID,
    modelId,
    phase: 'Uploading',
    digest: null,
    sizeBytes: 0,
    files: [],
    notes: '',
    parentId: null,
    metadata: {},
    signature: null,
    createdAt: NOW,
    publishedAt: null,
  } as const;
}

export function aPlacement(deployment: Deployment, clusterId: string, change: Partial<Placement> = {}): Placement {
  return {
    id: v7(),
    tenantId: DEFAULT_TENANT_ID,
    deploymentId: deployment.id,
    clusterId,
    versionId: deployment.versionId,
    claim: CLAIM,
    devices: null,
    phase: 'Assigned',
    epoch: 0,
    reason: 'fits',
    createdAt: NOW,
    phaseSince: NOW,
    ...change,
  };
}

export function aReport(clusterId: string, change: Partial<ClusterReport> = {}): ClusterReport {
  return {
    clusterId,
    bootId: v7(),
    sequence: 1,
    epoch: 0,
    revision: 0,
    agentVersion: '0.1.0',
    nodes: [],
    replicas: [],
    versions: [],
    ...change,
  };
}

export async function observe(store: Store, clusterId: string, change: Partial<ClusterReport> = {}): Promise<void> {
  const report = aReport(clusterId, change);
  await store.transaction((rows) =>
    rows.observations.upsert({ clusterId, report, replacedBoots: [], receivedAt: NOW }),
  );
}

/** Of an event that is written: the store gives it id and time. */
export function eventOf({ id, tenantId }: Pick<Job, 'id' | 'tenantId'>, kind: string) {
  return { tenantId, jobId: id, attemptId: null, kind, message: `it was ${kind}` };
}

export function decisionOf(subjectId: string, change: Partial<Decision> = {}): Decision {
  return {
    id: v7(),
    subjectKind: 'job',
    subjectId,
    epoch: 2 ** 40,
    inputsHash: DIGEST,
    candidates: [],
    outcome: 'waits',
    detail: null,
    decidedAt: NOW,
    ...change,
  };
}

/** Until a statement in the database of this URL waits for a lock. */
export async function someoneWaits(url: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const blocked = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    await eventually(async () => expect((await client.query(blocked)).rowCount).toBeGreaterThan(0));
  } finally {
    await client.end();
  }
}
