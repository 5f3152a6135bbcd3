/**
 * The admin API's client, for the command line, the quickstart and tests: one method a route, answers parsed by the
 * route's own schema, problems thrown as `ProblemError`. How it asks is in `caller.ts`; what there is most to ask of stands
 * in files of its own, by noun.
 */
import { z } from 'zod';
import { queryOf } from './caller.ts';
import {
  type ClusterExplainDto,
  type ConflictsDto,
  clusterExplainSchema,
  conflictsSchema,
  type DrainCluster,
  type DrainPlanDto,
  drainPlanSchema,
  type ResyncDto,
  resyncSchema,
} from './cluster-operations.ts';
import {
  type ClusterDto,
  type CreateJoinToken,
  clusterSchema,
  type JoinTokenCreated,
  joinTokenCreatedSchema,
  type UpdateCluster,
} from './clusters.ts';
import {
  type CreateDeployment,
  type DeploymentDto,
  type DeploymentPlanDto,
  deploymentPlanSchema,
  deploymentSchema,
  type UpdateDeployment,
} from './deployments.ts';
import { JobCalls } from './job-calls.ts';
import { type ApiKeyCreated, type ApiKeyDto, apiKeyCreatedSchema, apiKeySchema, type CreateApiKey } from './keys.ts';
import {
  type CreatePriorityClass,
  type CreateQueue,
  type PriorityClassDto,
  priorityClassSchema,
  type QueueDetailDto,
  type QueueDto,
  queueDetailSchema,
  queueSchema,
  type TenantCreated,
  type TenantDetailDto,
  type TenantDto,
  tenantCreatedSchema,
  tenantDetailSchema,
  tenantSchema,
  type UpdatePriorityClass,
  type UpdateQueue,
  type UsageDto,
  usageSchema,
} from './queues.ts';
import { type Rollback, type RolloutDto, rolloutSchema } from './rollouts.ts';

export class AdminClient extends JobCalls {
  createJoinToken(body: CreateJoinToken): Promise<JoinTokenCreated> {
    return this.call('POST', '/join-tokens', joinTokenCreatedSchema, body);
  }

  clusters(): Promise<ClusterDto[]> {
    return this.all('/clusters', clusterSchema);
  }

  cluster(name: string): Promise<ClusterDto> {
    return this.call('GET', `/clusters/${encodeURIComponent(name)}`, clusterSchema);
  }

  acceptCluster(name: string): Promise<ClusterDto> {
    return this.call('POST', `/clusters/${encodeURIComponent(name)}/accept`, clusterSchema, {});
  }

  /** With `ifRevision` the change is refused (412) when somebody else changed the cluster since. */
  updateCluster(name: string, body: UpdateCluster, { ifRevision }: { ifRevision?: number } = {}): Promise<ClusterDto> {
    return this.call('PATCH', `/clusters/${encodeURIComponent(name)}`, clusterSchema, body, ifRevision);
  }

  async removeCluster(name: string): Promise<void> {
    await this.call('DELETE', `/clusters/${encodeURIComponent(name)}`, z.unknown());
  }

  /** Asking again changes mode and deadline. */
  drainCluster(name: string, body: DrainCluster): Promise<ClusterDto> {
    return this.call('POST', `/clusters/${encodeURIComponent(name)}/drain`, clusterSchema, body);
  }

  planDrain(name: string, body: DrainCluster): Promise<DrainPlanDto> {
    return this.call('POST', `/clusters/${encodeURIComponent(name)}/drain?dryRun=true`, drainPlanSchema, body);
  }

  undrainCluster(name: string): Promise<ClusterDto> {
    return this.call('DELETE', `/clusters/${encodeURIComponent(name)}/drain`, clusterSchema);
  }

  explainCluster(name: string): Promise<ClusterExplainDto> {
    return this.call('GET', `/clusters/${encodeURIComponent(name)}/explain`, clusterExplainSchema);
  }

  clusterConflicts(name: string): Promise<ConflictsDto> {
    return this.call('GET', `/clusters/${encodeURIComponent(name)}/conflicts`, conflictsSchema);
  }

  /** Of an agent that is ahead of a restored database; with `dryRun` only says what its agent would do. */
  resyncCluster(name: string, { dryRun = false } = {}): Promise<ResyncDto> {
    return this.call('POST', `/clusters/${encodeURIComponent(name)}/resync?dryRun=${dryRun}`, resyncSchema, {});
  }

  createDeployment(body: CreateDeployment): Promise<DeploymentDto> {
    return this.call('POST', '/deployments', deploymentSchema, body);
  }

  planDeployment(body: CreateDeployment): Promise<DeploymentPlanDto> {
    return this.call('POST', '/deployments?dryRun=true', deploymentPlanSchema, body);
  }

  deployments(): Promise<DeploymentDto[]> {
    return this.all('/deployments', deploymentSchema);
  }

  deployment(name: string): Promise<DeploymentDto> {
    return this.call('GET', `/deployments/${encodeURIComponent(name)}`, deploymentSchema);
  }

  updateDeployment(name: string, body: UpdateDeployment): Promise<DeploymentDto> {
    return this.call('PATCH', `/deployments/${encodeURIComponent(name)}`, deploymentSchema, body);
  }

  planUpdate(name: string, body: UpdateDeployment): Promise<DeploymentPlanDto> {
    return this.call('PATCH', `/deployments/${encodeURIComponent(name)}?dryRun=true`, deploymentPlanSchema, body);
  }

  explainDeployment(name: string): Promise<DeploymentPlanDto> {
    return this.call('GET', `/deployments/${encodeURIComponent(name)}/explain`, deploymentPlanSchema);
  }

  planRemoval(name: string): Promise<DeploymentPlanDto> {
    return this.call('DELETE', `/deployments/${encodeURIComponent(name)}?dryRun=true`, deploymentPlanSchema);
  }

  rollouts(deployment: string): Promise<RolloutDto[]> {
    return this.all(`/deployments/${encodeURIComponent(deployment)}/rollouts`, rolloutSchema);
  }

  /** Of the active rollout. `abort` goes back to the version before. */
  steerRollout(deployment: string, verb: 'pause' | 'resume' | 'abort'): Promise<DeploymentDto> {
    return this.call('POST', `/deployments/${encodeURIComponent(deployment)}/rollout/${verb}`, deploymentSchema, {});
  }

  rollBack(deployment: string, body: Rollback = {}): Promise<DeploymentDto> {
    return this.call('POST', `/deployments/${encodeURIComponent(deployment)}/rollback`, deploymentSchema, body);
  }

  planRollback(deployment: string, body: Rollback = {}): Promise<DeploymentPlanDto> {
    const path = `/deployments/${encodeURIComponent(deployment)}/rollback?dryRun=true`;
    return this.call('POST', path, deploymentPlanSchema, body);
  }

  /** What a replica's engine wrote, piece by piece; with `follow` as it comes, until the replica is gone. */
  async *replicaLog(
    deployment: string,
    replicaId: string,
    options: { follow?: boolean; tailBytes?: number; signal?: AbortSignal } = {},
  ): AsyncGenerator<string> {
    const { signal, ...wanted } = options;
    const path = `/deployments/${encodeURIComponent(deployment)}/replicas/${encodeURIComponent(replicaId)}/logs`;
    yield* this.text(`${path}?${queryOf(wanted)}`, { signal, isFollowed: wanted.follow === true });
  }

  async removeDeployment(name: string): Promise<void> {
    await this.call('DELETE', `/deployments/${encodeURIComponent(name)}`, z.unknown());
  }

  /** Of the key's own tenant, or of the one that is named. */
  queues(tenant?: string): Promise<QueueDto[]> {
    return this.all(`${ofTenant(tenant)}/queues`, queueSchema);
  }

  queue(name: string): Promise<QueueDetailDto> {
    return this.call('GET', `/queues/${encodeURIComponent(name)}`, queueDetailSchema);
  }

  /** Of the tenant that is named: without who waits in it. */
  tenantQueue(tenant: string, name: string): Promise<QueueDto> {
    return this.call('GET', `${ofTenant(tenant)}/queues/${encodeURIComponent(name)}`, queueSchema);
  }

  createQueue(body: CreateQueue): Promise<QueueDto> {
    return this.call('POST', '/queues', queueSchema, body);
  }

  /** Of the key's own tenant, or of the one that is named. */
  updateQueue(name: string, body: UpdateQueue, tenant?: string): Promise<QueueDto> {
    return this.call('PATCH', `${ofTenant(tenant)}/queues/${encodeURIComponent(name)}`, queueSchema, body);
  }

  async removeQueue(name: string): Promise<void> {
    await this.call('DELETE', `/queues/${encodeURIComponent(name)}`, z.unknown());
  }

  priorityClasses(): Promise<PriorityClassDto[]> {
    return this.all('/priority-classes', priorityClassSchema);
  }

  createPriorityClass(body: CreatePriorityClass): Promise<PriorityClassDto> {
    return this.call('POST', '/priority-classes', priorityClassSchema, body);
  }

  updatePriorityClass(name: string, body: UpdatePriorityClass): Promise<PriorityClassDto> {
    return this.call('PATCH', `/priority-classes/${encodeURIComponent(name)}`, priorityClassSchema, body);
  }

  async removePriorityClass(name: string): Promise<void> {
    await this.call('DELETE', `/priority-classes/${encodeURIComponent(name)}`, z.unknown());
  }

  tenants(): Promise<TenantDto[]> {
    return this.all('/tenants', tenantSchema);
  }

  tenant(name: string): Promise<TenantDetailDto> {
    return this.call('GET', ofTenant(name), tenantDetailSchema);
  }

  createTenant(name: string): Promise<TenantCreated> {
    return this.call('POST', '/tenants', tenantCreatedSchema, { name });
  }

  /** Refused while anything of it is left. */
  async removeTenant(name: string): Promise<void> {
    await this.call('DELETE', ofTenant(name), z.unknown());
  }

  /** Of the key's own tenant, or of the one that is named. `since` is a UTC day. */
  usage({ tenant, since }: { tenant?: string; since?: string } = {}): Promise<UsageDto> {
    const query = since === undefined ? '' : `?${new URLSearchParams({ since })}`;
    return this.call('GET', `${ofTenant(tenant)}/usage${query}`, usageSchema);
  }

  createApiKey(body: CreateApiKey): Promise<ApiKeyCreated> {
    return this.call('POST', '/api-keys', apiKeyCreatedSchema, body);
  }

  apiKeys(): Promise<ApiKeyDto[]> {
    return this.all('/api-keys', apiKeySchema);
  }

  async revokeApiKey(id: string): Promise<void> {
    await this.call('DELETE', `/api-keys/${encodeURIComponent(id)}`, z.unknown());
  }
}

function ofTenant(tenant: string | undefined): string {
  return tenant === undefined ? '' : `/tenants/${encodeURIComponent(tenant)}`;
}
