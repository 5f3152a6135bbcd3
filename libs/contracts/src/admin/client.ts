/**
 * The admin API's client, for the command line, the quickstart and tests: one method a route, answers parsed by the
 * route's own schema, problems thrown as `ProblemError`. How it asks is in `caller.ts`.
 */
import type { ReadableStream } from 'node:stream/web';
import { z } from 'zod';
import { BudgetCalls } from './budget-calls.ts';
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
import {
  type AttemptDto,
  attemptSchema,
  type CreateJob,
  type JobArtifactsDto,
  type JobDto,
  type JobEventDto,
  type JobExplainDto,
  type JobPlanDto,
  jobArtifactsSchema,
  jobEventSchema,
  jobExplainSchema,
  jobPlanSchema,
  jobSchema,
} from './jobs.ts';
import { type ApiKeyCreated, type ApiKeyDto, apiKeyCreatedSchema, apiKeySchema, type CreateApiKey } from './keys.ts';
import {
  type AliasDto,
  type ArtifactDto,
  aliasSchema,
  artifactSchema,
  type CreateVersion,
  type ModelDto,
  modelSchema,
  type PublishVersion,
  type UpdateModel,
  type VersionDto,
  versionSchema,
  type WantArtifact,
} from './models.ts';
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
  type TenantDto,
  tenantCreatedSchema,
  tenantSchema,
  type UpdatePriorityClass,
  type UpdateQueue,
  type UsageDto,
  usageSchema,
} from './queues.ts';
import { type Rollback, type RolloutDto, rolloutSchema } from './rollouts.ts';
import { type AgreementDto, agreementSchema, type VersionSyncDto, versionSyncSchema } from './sync.ts';

export interface UploadedFile {
  readonly path: string;
  readonly receivedBytes: number;
  readonly sizeBytes: number;
  readonly digest: string | null;
}

export interface JobLogOptions {
  /** Default 0. */
  readonly rank?: number;
  /** Number; default: the newest. */
  readonly attempt?: number;
  readonly tailBytes?: number;
  readonly signal?: AbortSignal;
}

const uploadedFileSchema = z.object({
  path: z.string(),
  receivedBytes: z.int(),
  sizeBytes: z.int(),
  digest: z.string().nullable(),
});

export class AdminClient extends BudgetCalls {
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

  createModel(name: string): Promise<ModelDto> {
    return this.call('POST', '/models', modelSchema, { name });
  }

  models(): Promise<ModelDto[]> {
    return this.all('/models', modelSchema);
  }

  model(name: string): Promise<ModelDto> {
    return this.call('GET', `/models/${encodeURIComponent(name)}`, modelSchema);
  }

  updateModel(name: string, body: UpdateModel): Promise<ModelDto> {
    return this.call('PATCH', `/models/${encodeURIComponent(name)}`, modelSchema, body);
  }

  async removeModel(name: string): Promise<void> {
    await this.call('DELETE', `/models/${encodeURIComponent(name)}`, z.unknown());
  }

  versions(model: string): Promise<VersionDto[]> {
    return this.all(`/models/${encodeURIComponent(model)}/versions`, versionSchema);
  }

  createVersion(model: string, body: CreateVersion): Promise<VersionDto> {
    return this.call('POST', `/models/${encodeURIComponent(model)}/versions`, versionSchema, body);
  }

  version(model: string, number: number): Promise<VersionDto> {
    return this.call('GET', `/models/${encodeURIComponent(model)}/versions/${number}`, versionSchema);
  }

  /** Gives up an upload, or removes a published version that no deployment uses. */
  async removeVersion(model: string, number: number): Promise<void> {
    await this.call('DELETE', `/models/${encodeURIComponent(model)}/versions/${number}`, z.unknown());
  }

  /**
   * Sends a file's bytes from `offset` on. Cut half-way, ask `version` how much arrived and call again from there.
   * `signal` ends it; without one, it may take as long as the server lets it.
   */
  uploadFile(
    model: string,
    number: number,
    file: { path: string; offset: number; content: ReadableStream | Uint8Array; signal?: AbortSignal },
  ): Promise<UploadedFile> {
    const query = new URLSearchParams({ path: file.path, offset: String(file.offset) });
    const path = `/models/${encodeURIComponent(model)}/versions/${number}/content?${query}`;
    return this.send('PUT', path, uploadedFileSchema, {
      body: file.content as never,
      headers: { 'content-type': 'application/octet-stream' },
      duplex: 'half',
      // Uploads may take hours; the server bounds idleness.
      signal: file.signal,
    } as RequestInit);
  }

  publishVersion(model: string, number: number, body: PublishVersion = {}): Promise<VersionDto> {
    return this.call('POST', `/models/${encodeURIComponent(model)}/versions/${number}/publish`, versionSchema, body);
  }

  aliases(model: string): Promise<AliasDto[]> {
    return this.all(`/models/${encodeURIComponent(model)}/aliases`, aliasSchema);
  }

  /** Makes the alias or moves it; deployments that follow it begin a rollout. */
  moveAlias(model: string, alias: string, version: number): Promise<AliasDto> {
    const path = `/models/${encodeURIComponent(model)}/aliases/${encodeURIComponent(alias)}`;
    return this.call('PUT', path, aliasSchema, { version });
  }

  async removeAlias(model: string, alias: string): Promise<void> {
    const path = `/models/${encodeURIComponent(model)}/aliases/${encodeURIComponent(alias)}`;
    await this.call('DELETE', path, z.unknown());
  }

  artifacts(model: string): Promise<ArtifactDto[]> {
    return this.all(`/models/${encodeURIComponent(model)}/artifacts`, artifactSchema);
  }

  wantArtifact(model: string, body: WantArtifact): Promise<ArtifactDto> {
    return this.call('POST', `/models/${encodeURIComponent(model)}/artifacts`, artifactSchema, body);
  }

  /** How every cluster got, gets or would get this version. */
  versionSync(model: string, number: number): Promise<VersionSyncDto> {
    return this.call('GET', `/models/${encodeURIComponent(model)}/versions/${number}/sync`, versionSyncSchema);
  }

  /** The version vector: what every cluster holds and serves of this model. */
  agreement(model: string): Promise<AgreementDto> {
    return this.call('GET', `/models/${encodeURIComponent(model)}/agreement`, agreementSchema);
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
    yield* this.text(`${path}?${queryOf(wanted)}`, signal);
  }

  async removeDeployment(name: string): Promise<void> {
    await this.call('DELETE', `/deployments/${encodeURIComponent(name)}`, z.unknown());
  }

  submitJob(body: CreateJob): Promise<JobDto> {
    return this.call('POST', '/jobs', jobSchema, body);
  }

  /** Where and when it would run, and who would be preempted. Nothing is changed. */
  planJob(body: CreateJob): Promise<JobPlanDto> {
    return this.call('POST', '/jobs?dryRun=true', jobPlanSchema, body);
  }

  /** Newest first. */
  jobs(filter: { queue?: string; phases?: readonly JobDto['phase'][] } = {}): Promise<JobDto[]> {
    const { queue, phases } = filter;
    const query = new URLSearchParams({
      ...(queue === undefined ? {} : { queue }),
      ...(phases === undefined || phases.length === 0 ? {} : { phase: phases.join(',') }),
    });
    return this.all('/jobs', jobSchema, query);
  }

  job(name: string): Promise<JobDto> {
    return this.call('GET', `/jobs/${encodeURIComponent(name)}`, jobSchema);
  }

  /** `retry`: a job that failed or was cancelled begins once more. */
  steerJob(name: string, intent: 'cancel' | 'suspend' | 'resume' | 'retry'): Promise<JobDto> {
    return this.call('POST', `/jobs/${encodeURIComponent(name)}/${intent}`, jobSchema, {});
  }

  /** Cancels an active job and removes one that ended. */
  async removeJob(name: string): Promise<void> {
    await this.call('DELETE', `/jobs/${encodeURIComponent(name)}`, z.unknown());
  }

  explainJob(name: string): Promise<JobExplainDto> {
    return this.call('GET', `/jobs/${encodeURIComponent(name)}/explain`, jobExplainSchema);
  }

  jobAttempts(name: string): Promise<AttemptDto[]> {
    return this.all(`/jobs/${encodeURIComponent(name)}/attempts`, attemptSchema);
  }

  /** Newest first. */
  jobEvents(name: string): Promise<JobEventDto[]> {
    return this.all(`/jobs/${encodeURIComponent(name)}/events`, jobEventSchema);
  }

  /** What is kept of a member's log, as it is now. */
  async jobLog(name: string, options: JobLogOptions = {}): Promise<string> {
    let text = '';
    for await (const piece of this.followJobLog(name, { ...options, follow: false })) text += piece;
    return text;
  }

  /** Its pieces as they come; with `follow` until the member ended. */
  async *followJobLog(name: string, options: JobLogOptions & { follow?: boolean } = {}): AsyncGenerator<string> {
    const { signal, ...wanted } = options;
    yield* this.text(`/jobs/${encodeURIComponent(name)}/logs?${queryOf(wanted)}`, signal);
  }

  jobArtifacts(name: string): Promise<JobArtifactsDto> {
    return this.call('GET', `/jobs/${encodeURIComponent(name)}/artifacts`, jobArtifactsSchema);
  }

  /** The bytes of one file of the output. */
  jobArtifact(name: string, path: string, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const segments = path.split('/').map(encodeURIComponent).join('/');
    return this.stream(`/jobs/${encodeURIComponent(name)}/artifacts/${segments}`, signal);
  }

  queues(): Promise<QueueDto[]> {
    return this.all('/queues', queueSchema);
  }

  queue(name: string): Promise<QueueDetailDto> {
    return this.call('GET', `/queues/${encodeURIComponent(name)}`, queueDetailSchema);
  }

  createQueue(body: CreateQueue): Promise<QueueDto> {
    return this.call('POST', '/queues', queueSchema, body);
  }

  /** Of the key's own tenant, or of the one that is named. */
  updateQueue(name: string, body: UpdateQueue, tenant?: string): Promise<QueueDto> {
    const whose = tenant === undefined ? '' : `/tenants/${encodeURIComponent(tenant)}`;
    return this.call('PATCH', `${whose}/queues/${encodeURIComponent(name)}`, queueSchema, body);
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

  createTenant(name: string): Promise<TenantCreated> {
    return this.call('POST', '/tenants', tenantCreatedSchema, { name });
  }

  /** Of the key's own tenant, or of the one that is named. `since` is a UTC day. */
  usage({ tenant, since }: { tenant?: string; since?: string } = {}): Promise<UsageDto> {
    const query = since === undefined ? '' : `?${new URLSearchParams({ since })}`;
    const path = tenant === undefined ? '/usage' : `/tenants/${encodeURIComponent(tenant)}/usage`;
    return this.call('GET', `${path}${query}`, usageSchema);
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
