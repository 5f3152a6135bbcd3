// Versions from the first declared file to the published digest. Bytes go to the staging folder and, when the version is
// published, into the blob store; the row becomes Published only after every blob is in its place.

import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import type { createVersionSchema, publishVersionSchema, VersionDto } from '#contracts';
import {
  type Model,
  type ModelVersion,
  manifestText,
  RefusedError,
  type Rows,
  refuse,
  Store,
  type VersionFile,
} from '#domain';
import { wantParentDiffs } from '../artifacts/want.ts';
import type { Actor } from '../auth/actor.ts';
import { BlobStore } from '../blobs/blob-store.ts';
import { Staging } from '../blobs/staging.ts';
import { ControlPlaneMetrics } from '../federation/metrics.ts';
import { Settings } from '../installation/settings.ts';
import { repeatable } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { invalidFields } from '../problems/validation.pipe.ts';
import { fileProblems } from './file-list.ts';
import { findModel } from './models.ts';
import { isSigned } from './signature.ts';
import { readRelations, viewFile, viewVersion } from './version-view.ts';

export interface VersionTarget {
  readonly tenantId: string;
  readonly model: string;
  readonly number: number;
}

export interface Part {
  readonly path: string;
  readonly offset: number;
  readonly source: AsyncIterable<Buffer>;
}

@Injectable()
export class Versions {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
    private readonly staging: Staging,
    private readonly blobs: BlobStore,
    private readonly settings: Settings,
    private readonly counted: ControlPlaneMetrics,
  ) {}

  async create(
    actor: Actor,
    modelName: string,
    wanted: z.output<typeof createVersionSchema>,
    idempotencyKey: string | undefined,
  ): Promise<VersionDto> {
    const problems = fileProblems(wanted.files, this.settings);
    if (problems.length > 0) throw invalidFields(problems);
    const request = repeatable(idempotencyKey, { modelName, ...wanted });
    return this.mutations.create(actor, 'versions.create', request, async (rows) => {
      const model = await findModel(rows, actor.tenantId, modelName);
      const version = await rows.versions.insert({
        ...newVersion(model, wanted),
        parentId: await parentOf(rows, model, wanted.parent),
      });
      const detail = {
        model: model.name,
        number: version.number,
        files: version.files.length,
        sizeBytes: version.sizeBytes,
      };
      const result = await this.#view(rows, model.name, version);
      return { result, targetKind: 'version', targetId: version.id, detail };
    });
  }

  async list(tenantId: string, modelName: string): Promise<VersionDto[]> {
    const model = await findModel(this.store.read, tenantId, modelName);
    const versions = await this.store.read.versions.listOfModel(model.id);
    const relations = await readRelations(this.store.read, versions);
    return Promise.all(versions.map((version) => viewVersion(this.staging, model.name, version, relations)));
  }

  async get(target: VersionTarget): Promise<VersionDto> {
    const version = await findVersion(this.store.read, target);
    return this.#view(this.store.read, target.model, version);
  }

  /** Appends one part of one file; see Staging.append for what is refused. */
  async upload(target: VersionTarget, part: Part): Promise<VersionDto['files'][number]> {
    const version = await findVersion(this.store.read, target);
    demandUploading(version);
    const index = version.files.findIndex((file) => file.path === part.path);
    const file = version.files[index];
    if (file === undefined) {
      const known = version.files.slice(0, 10).map(({ path }) => path);
      throw new RefusedError(refuse.invalid('path', `is not a file of this version; it has ${known.join(', ')}`));
    }
    const { path, sizeBytes, digest } = file;
    const source = counting(part.source, (bytes) => this.counted.metrics.uploadBytesTotal.inc(bytes));
    await this.staging.append({
      ...part,
      source,
      path,
      sizeBytes,
      declaredDigest: digest,
      versionId: version.id,
      index,
    });
    return viewFile(this.staging, version, index);
  }

  /** @throws RequestError 422 when files are not whole or the signature does not hold */
  async publish(actor: Actor, target: VersionTarget, body: z.output<typeof publishVersionSchema>): Promise<VersionDto> {
    // 1. What it will be, judged before anything is moved.
    const version = await findVersion(this.store.read, target);
    demandUploading(version);
    const signature = body.signature ?? null;
    const files = await this.#completeFiles(version);
    const digest = createHash('sha256').update(manifestText(files)).digest('hex');
    if (signature !== null && !isSigned(digest, signature)) {
      const message = `does not verify over the digest that these files have, ${digest}`;
      throw invalidFields([{ field: 'signature', message }]);
    }

    // 2. Bytes first, then the row, with its diffs.
    await this.#adopt(version.id, files);
    const published = await this.mutations.run(actor, 'versions.publish', async (rows) => {
      await rows.versions.publish(version.id, digest, files, signature);
      const row = (await rows.versions.find({ id: version.id }))!;
      await wantParentDiffs(rows, row);
      const detail = { model: target.model, number: version.number, digest, signedBy: signature?.publicKey ?? null };
      const result = await this.#view(rows, target.model, row);
      return { result, targetKind: 'version', targetId: version.id, detail };
    });

    // 3. A collection that ran in between did not know yet that these blobs are in use.
    await this.#adopt(version.id, files);
    await this.staging.discard(version.id);
    return published;
  }

  /** Gives up an upload, or takes back a published version that nothing uses. */
  async abandon(actor: Actor, target: VersionTarget): Promise<void> {
    const id = await this.mutations.run(actor, 'versions.delete', async (rows) => {
      const { id: versionId } = await findVersion(rows, target);
      const version = (await rows.versions.find({ id: versionId }, true))!; // no alias moves here meanwhile
      const { aliases } = await readRelations(rows, [version]);
      const names = aliases.get(version.id) ?? [];
      if (names.length > 0) {
        const reason = `the version is what alias "${names.join('", "')}" points at; move or delete that first`;
        throw new RefusedError(refuse.conflict(reason));
      }
      if (!(await rows.versions.abandon(version.id))) {
        throw new RefusedError(refuse.conflict(`version ${version.number} is Abandoned already`));
      }
      const detail = { model: target.model, number: version.number, was: version.phase };
      return { result: version.id, targetKind: 'version', targetId: version.id, detail };
    });
    await this.staging.discard(id);
  }

  async #view(rows: Rows, model: string, version: ModelVersion): Promise<VersionDto> {
    return viewVersion(this.staging, model, version, await readRelations(rows, [version]));
  }

  async #adopt(versionId: string, files: readonly VersionFile[]): Promise<void> {
    for (const [index, { digest }] of files.entries()) {
      await this.blobs.adopt(this.staging.pathOf(versionId, index), digest);
    }
  }

  /** @throws RequestError naming the files that are not whole */
  async #completeFiles(version: ModelVersion): Promise<VersionFile[]> {
    const staged = await Promise.all(version.files.map((_file, index) => this.staging.read(version.id, index)));
    const missing = staged.flatMap(({ digest, receivedBytes }, index) => {
      const { path, sizeBytes } = version.files[index]!;
      const message = `${path}: ${receivedBytes} of ${sizeBytes} bytes are here; upload the rest`;
      return digest === null ? [{ field: `files[${index}]`, message }] : [];
    });
    if (missing.length > 0) throw invalidFields(missing);
    return version.files.map(({ path, sizeBytes }, index) => ({ path, sizeBytes, digest: staged[index]!.digest! }));
  }
}

async function* counting(source: AsyncIterable<Buffer>, count: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    count(chunk.length);
    yield chunk;
  }
}

function newVersion(
  model: Model,
  wanted: z.output<typeof createVersionSchema>,
): Omit<ModelVersion, 'number' | 'parentId'> {
  return {
    id: uuidv7(),
    tenantId: model.tenantId,
    modelId: model.id,
    phase: 'Uploading',
    digest: null,
    sizeBytes: wanted.files.reduce((sum, file) => sum + file.sizeBytes, 0),
    // An undeclared digest is empty until the file is whole.
    files: wanted.files.map(({ path, sizeBytes, digest = '' }) => ({ path, sizeBytes, digest })),
    notes: wanted.notes,
    metadata: wanted.metadata,
    signature: null,
    createdAt: new Date(),
    publishedAt: null,
  };
}

/**
 * @param number default: the newest published one, null when there is none
 * @throws RefusedError invalid `parent`
 */
async function parentOf(rows: Rows, model: Model, number: number | undefined): Promise<string | null> {
  if (number === undefined) {
    const versions = await rows.versions.listOfModel(model.id);
    return versions.find(({ phase }) => phase === 'Published')?.id ?? null;
  }
  const parent = await rows.versions.find({ modelId: model.id, number });
  if (parent?.phase === 'Published') return parent.id;
  const reason = `version ${number} of model "${model.name}" is ${parent?.phase ?? 'not there'}; name a Published one`;
  throw new RefusedError(refuse.invalid('parent', reason));
}

/** @throws RefusedError not-found for the model or the version */
export async function findVersion(rows: Rows, { tenantId, model: name, number }: VersionTarget): Promise<ModelVersion> {
  const model = await findModel(rows, tenantId, name);
  const version = await rows.versions.find({ modelId: model.id, number });
  if (version === null) throw new RefusedError(refuse.notFound(`version of model "${name}"`, String(number)));
  return version;
}

function demandUploading({ phase, number }: ModelVersion): void {
  if (phase === 'Uploading') return;
  const reason = `version ${number} is ${phase}; only one that is Uploading takes content or can be published`;
  throw new RefusedError(refuse.conflict(reason));
}
