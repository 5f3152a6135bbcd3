/** How the admin API is asked about models, their versions and aliases, and how versions come to clusters. */
import type { ReadableStream } from 'node:stream/web';
import { z } from 'zod';
import { AdminCaller } from './caller.ts';
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
import { type AgreementDto, agreementSchema, type VersionSyncDto, versionSyncSchema } from './sync.ts';

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

export class ModelCalls extends AdminCaller {
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
}
