// What a job left in its output folder: the files that its manifest lists, from the blob store.

import { Injectable } from '@nestjs/common';
import type { JobArtifactsDto } from '#contracts';
import { type Job, RefusedError, refuse, Store, type VersionFile } from '#domain';
import { BlobStore } from '../blobs/blob-store.ts';
import { ControlPlaneMetrics } from '../federation/metrics.ts';
import { findJob } from './jobs.ts';
import { readManifest } from './stored-manifests.ts';

@Injectable()
export class JobArtifacts {
  constructor(
    private readonly store: Store,
    readonly blobs: BlobStore,
    readonly counted: ControlPlaneMetrics,
  ) {}

  /** Empty until it succeeded with an output. */
  async list(tenantId: string, name: string): Promise<JobArtifactsDto> {
    const job = await findJob(this.store.read, tenantId, name);
    return { job: name, outputDigest: job.outputDigest, files: await this.#filesOf(job) };
  }

  /** The file of this path. @throws RefusedError not-found */
  async find(tenantId: string, name: string, path: string): Promise<VersionFile> {
    const job = await findJob(this.store.read, tenantId, name);
    const file = (await this.#filesOf(job)).find((each) => each.path === path);
    if (file === undefined || (await this.blobs.sizeBytes(file.digest)) !== file.sizeBytes) {
      throw new RefusedError(refuse.notFound('artifact', path));
    }
    return file;
  }

  async #filesOf({ name, outputDigest }: Job): Promise<VersionFile[]> {
    if (outputDigest === null) return [];
    const files = await readManifest(this.blobs, outputDigest);
    if (files === null) throw new RefusedError(refuse.notFound('output of', name));
    return files;
  }
}
