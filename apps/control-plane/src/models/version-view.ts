import type { VersionDto } from '#contracts';
import type { ModelVersion, Rows } from '#domain';
import type { Staging } from '../blobs/staging.ts';

/** What a version's view says of other rows of its model. */
export interface VersionRelations {
  /** Version id → number, of parents. */
  readonly numbers: ReadonlyMap<string, number>;
  /** Version id → names that point at it. */
  readonly aliases: ReadonlyMap<string, readonly string[]>;
}

/** @param versions of one model */
export async function readRelations(rows: Rows, versions: readonly ModelVersion[]): Promise<VersionRelations> {
  const known = new Map(versions.map(({ id, number }) => [id, number]));
  const parentIds = versions.flatMap(({ parentId }) => (parentId === null || known.has(parentId) ? [] : [parentId]));
  const parents = await rows.versions.findAll([...new Set(parentIds)]);
  const aliases = new Map<string, string[]>();
  const [first] = versions;
  for (const { name, versionId } of first === undefined ? [] : await rows.aliases.listOfModel(first.modelId)) {
    aliases.set(versionId, [...(aliases.get(versionId) ?? []), name]);
  }
  return { numbers: new Map([...known, ...parents.map(({ id, number }) => [id, number] as const)]), aliases };
}

/** A version as the API shows it: of an upload under way, how far each file is. */
export async function viewVersion(
  staging: Staging,
  model: string,
  version: ModelVersion,
  { numbers, aliases }: VersionRelations,
): Promise<VersionDto> {
  const { id, number, phase, digest, sizeBytes, notes, metadata, signature } = version;
  const files = await Promise.all(version.files.map((_file, index) => viewFile(staging, version, index)));
  return {
    id,
    model,
    number,
    parent: version.parentId === null ? null : (numbers.get(version.parentId) ?? null),
    metadata: { ...metadata },
    signature,
    aliases: [...(aliases.get(id) ?? [])],
    phase,
    digest,
    sizeBytes,
    files,
    notes,
    createdAt: version.createdAt.toISOString(),
    publishedAt: version.publishedAt?.toISOString() ?? null,
  };
}

export async function viewFile(
  staging: Staging,
  version: ModelVersion,
  index: number,
): Promise<VersionDto['files'][number]> {
  const { path, sizeBytes, digest } = version.files[index]!;
  if (version.phase === 'Abandoned') return { path, sizeBytes, digest: null, receivedBytes: 0 };
  if (version.phase !== 'Uploading') return { path, sizeBytes, digest, receivedBytes: sizeBytes };
  return { path, sizeBytes, ...(await staging.read(version.id, index)) };
}
