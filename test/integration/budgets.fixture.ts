/** Tenants with keys and budgets, and clusters that serve them, in a real database. Specs only. */
import { v7 } from 'uuid';
import {
  type ApiKey,
  type Budget,
  type Cluster,
  DEFAULT_QUEUE_ID,
  DEFAULT_TENANT_ID,
  type Deployment,
  type LeaseWish,
  type Store,
  type Tenant,
  type ToldUsage,
} from '#domain';
import { aName, CLAIM, DIGEST, insertCluster, insertDeployment, NOW } from './store.fixture.ts';

export async function insertTenant(store: Store): Promise<Tenant> {
  const tenant = { id: v7(), name: aName('tenant'), createdAt: NOW };
  await store.transaction((rows) => rows.tenants.insert(tenant));
  return tenant;
}

export async function insertKey(store: Store, change: Partial<ApiKey> = {}): Promise<ApiKey> {
  const key: ApiKey = {
    ...{ id: v7(), tenantId: DEFAULT_TENANT_ID, name: aName('key'), publicId: aName('publicid0').replace('-', '0') },
    ...{ secretHash: DIGEST, offlineHash: DIGEST, role: 'inference', models: null },
    ...{ expiresAt: null, revokedAt: null, createdAt: NOW, ...change },
  };
  await store.transaction((rows) => rows.apiKeys.insert(key));
  return key;
}

export async function insertBudget(store: Store, change: Partial<Budget> = {}): Promise<Budget> {
  const budget: Budget = {
    ...{ id: v7(), tenantId: DEFAULT_TENANT_ID, name: aName('budget'), keyPublicId: null, limitTokens: 1_000_000 },
    ...{ period: 'total', createdAt: NOW, revision: 1, ...change },
  };
  await store.transaction((rows) => rows.budgets.insert(budget));
  return budget;
}

/** The cluster's document says that it serves these deployments. */
export async function serve(store: Store, clusterId: string, ...deployments: Deployment[]): Promise<void> {
  const replicas = deployments.map((deployment) => ({
    ...{ replicaId: v7(), deploymentId: deployment.id, deploymentName: deployment.name, epoch: 0, draining: false },
    ...{ servedModel: deployment.servedModel, versionDigest: DIGEST, claim: CLAIM },
  }));
  await store.transaction((rows) => rows.desired.put(clusterId, 0, { versions: [], replicas, tasks: [] }));
}

export interface Site {
  readonly tenant: Tenant;
  readonly deployment: Deployment;
  readonly key: ApiKey;
  readonly clusters: readonly Cluster[];
}

/** A tenant of its own with a key, and a deployment of it that so many clusters serve and were given the keys of. */
export async function makeSite(store: Store, clusterCount = 1): Promise<Site> {
  const tenant = await insertTenant(store);
  const key = await insertKey(store, { tenantId: tenant.id });
  const deployment = await insertDeployment(store, { tenantId: tenant.id, queueId: DEFAULT_QUEUE_ID });
  const clusters: Cluster[] = [];
  for (let count = 0; count < clusterCount; count += 1) {
    const cluster = await insertCluster(store);
    await serve(store, cluster.id, deployment);
    const content = { source: '', contentHash: '', tenantIds: [tenant.id] };
    await store.transaction((rows) => rows.bundles.issue(cluster.id, content, 3_600));
    clusters.push(cluster);
  }
  return { tenant, deployment, key, clusters };
}

export function aWish(budgetId: string, change: Partial<LeaseWish> = {}): LeaseWish {
  return { requestId: v7(), budgetId, leaseId: null, tokens: 10_000, ...change };
}

export function usageOf({ tenant, key, deployment }: Site, change: Partial<ToldUsage> = {}): ToldUsage {
  return {
    ...{ tenantId: tenant.id, keyPublicId: key.publicId, deploymentId: deployment.id, servedModel: 'tiny' },
    ...{ versionDigest: DIGEST, requests: 1, promptTokens: 100, completionTokens: 50, estimatedRequests: 0 },
    ...{ leaseIds: [], ...change },
  };
}
