/**
 * The admin API's client, for the command line, the quickstart and tests: one method a route, answers parsed by the
 * route's own schema, problems thrown as `ProblemError`. It keeps no state and never repeats a mutation.
 */
import type { ReadableStream } from 'node:stream/web';
import { z } from 'zod';
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
import { type Problem, pageOf, problemSchema } from './problems.ts';
import { type Rollback, type RolloutDto, rolloutSchema } from './rollouts.ts';
import { type AgreementDto, agreementSchema, type VersionSyncDto, versionSyncSchema } from './sync.ts';

/** The API said no, or could not be reached (`problem` is then null). `message` is fit to be shown. */
export class ProblemError extends Error {
  constructor(
    message: string,
    readonly problem: Problem | null,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'ProblemError';
  }
}

export interface UploadedFile {
  readonly path: string;
  readonly receivedBytes: number;
  readonly sizeBytes: number;
  readonly digest: string | null;
}

const uploadedFileSchema = z.object({
  path: z.string(),
  receivedBytes: z.int(),
  sizeBytes: z.int(),
  digest: z.string().nullable(),
});

const TIMEOUT_MS = 30_000;
const PAGES_MAX = 1_000;

export class AdminClient {
  /** `url` without `/api/v1`; `token` is an admin key. */
  constructor(
    private readonly url: string,
    private readonly token: string,
  ) {}

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

  async removeDeployment(name: string): Promise<void> {
    await this.call('DELETE', `/deployments/${encodeURIComponent(name)}`, z.unknown());
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

  /** Follows the pages of a list to its end. */
  private async all<Item extends z.ZodType>(path: string, item: Item): Promise<z.output<Item>[]> {
    const items: z.output<Item>[] = [];
    let after: string | null = null;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const query = new URLSearchParams({ limit: '200', ...(after === null ? {} : { after }) });
      const answer: { items: z.output<Item>[]; next: string | null } = await this.call(
        'GET',
        `${path}?${query}`,
        pageOf(item),
      );
      items.push(...answer.items);
      if (answer.next === null) return items;
      after = answer.next;
    }
    throw new ProblemError(`${path} has more than ${PAGES_MAX * 200} entries; ask for a part of it.`, null);
  }

  private call<Schema extends z.ZodType>(
    method: string,
    path: string,
    schema: Schema,
    body?: unknown,
    ifRevision?: number,
  ) {
    return this.send(method, path, schema, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(ifRevision === undefined ? {} : { 'if-match': `"${ifRevision}"` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  private async send<Schema extends z.ZodType>(
    method: string,
    path: string,
    schema: Schema,
    init: RequestInit,
  ): Promise<z.output<Schema>> {
    const url = `${this.url.replace(/\/$/, '')}/api/v1${path}`;
    let response: Response;
    let text: string;
    try {
      response = await fetch(url, {
        ...init,
        method,
        headers: { ...(init.headers as Record<string, string> | undefined), authorization: `Bearer ${this.token}` },
        redirect: 'error',
      });
      text = await response.text();
    } catch (cause) {
      throw new ProblemError(`The control plane at ${this.url} does not answer. Is it running?`, null, { cause });
    }
    if (!response.ok) throw problemOf(response, text);
    const parsed = schema.safeParse(parseJson(text));
    if (parsed.success) return parsed.data;
    throw new ProblemError(
      `${method} ${path}: the answer is not of the shape this client knows. Do the versions match?`,
      null,
      {
        cause: parsed.error,
      },
    );
  }
}

function problemOf(response: Response, text: string): ProblemError {
  const parsed = problemSchema.safeParse(parseJson(text));
  if (!parsed.success) return new ProblemError(`HTTP ${response.status} from ${response.url}, not from Atoll`, null);
  const fields = (parsed.data.errors ?? []).map(({ field, message }) => `\n  ${field}: ${message}`).join('');
  return new ProblemError(`${parsed.data.title}: ${parsed.data.detail}${fields}`, parsed.data);
}

/** Undefined for an empty body, and for what is not JSON: something between us and the control plane answered. */
function parseJson(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
