// What encodings of a model's versions there are, and having one made now.

import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { ArtifactDto, wantArtifactSchema } from '#contracts';
import { type ModelVersion, RefusedError, type Rows, refuse, Store, type VersionArtifact } from '#domain';
import type { Actor } from '../auth/actor.ts';
import { findModel } from '../models/models.ts';
import { Mutations } from '../mutations/mutations.ts';
import { keyOf } from './want.ts';

@Injectable()
export class Artifacts {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
  ) {}

  /** Newest first. */
  async list(tenantId: string, modelName: string): Promise<ArtifactDto[]> {
    const { read } = this.store;
    const model = await findModel(read, tenantId, modelName);
    const versions = new Map((await read.versions.listOfModel(model.id)).map((version) => [version.id, version]));
    const artifacts = await read.artifacts.ofModel(model.id);
    return artifacts
      .filter(({ versionId }) => versions.has(versionId)) // both were read at two moments
      .sort((left, right) => (left.id < right.id ? 1 : -1))
      .map((artifact) => viewArtifact(artifact, versions));
  }

  /** Repeating it gives the same artifact; one that failed is tried again. */
  want(actor: Actor, modelName: string, wanted: z.output<typeof wantArtifactSchema>): Promise<ArtifactDto> {
    return this.mutations.run(actor, 'artifacts.want', async (rows) => {
      const model = await findModel(rows, actor.tenantId, modelName);
      const version = await publishedVersion(rows, model.id, 'version', wanted.version);
      const base = wanted.base === null ? null : await publishedVersion(rows, model.id, 'base', wanted.base);
      if (base?.id === version.id) throw new RefusedError(refuse.invalid('base', 'is the version itself'));
      const profile = base === null ? 'snapshot' : wanted.profile;
      const artifact = await rows.artifacts.want(keyOf(model, version, base, profile));
      const versions = new Map([version, ...(base === null ? [] : [base])].map((each) => [each.id, each]));
      const detail = { model: model.name, version: wanted.version, base: wanted.base, profile };
      return { result: viewArtifact(artifact, versions), targetKind: 'artifact', targetId: artifact.id, detail };
    });
  }
}

/** @throws RefusedError invalid, naming the field */
async function publishedVersion(rows: Rows, modelId: string, field: string, number: number): Promise<ModelVersion> {
  const version = await rows.versions.find({ modelId, number });
  if (version?.phase === 'Published') return version;
  throw new RefusedError(refuse.invalid(field, `version ${number} is ${version?.phase ?? 'not there'}, not Published`));
}

function viewArtifact(artifact: VersionArtifact, versions: ReadonlyMap<string, ModelVersion>): ArtifactDto {
  const { id, profile, phase, bytes, reason } = artifact;
  const { number, sizeBytes } = versions.get(artifact.versionId)!;
  const base = artifact.baseVersionId === null ? null : (versions.get(artifact.baseVersionId)?.number ?? null);
  const percent = sizeBytes === 0 ? 0 : Math.round((bytes / sizeBytes) * 10_000) / 100;
  return {
    id,
    version: number,
    base,
    profile,
    phase,
    bytes,
    percent: phase === 'Ready' ? percent : null,
    reason,
    wantedAt: artifact.wantedAt.toISOString(),
    readyAt: artifact.readyAt?.toISOString() ?? null,
  };
}
