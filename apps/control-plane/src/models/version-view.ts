import type { VersionDto } from '#contracts';
import type { ModelVersion } from '#domain';
import type { Staging } from '../blobs/staging.ts';

/** A version as the API shows it: of an upload under way, how far each file is. */
export async function viewVersion(staging: Staging, model: string, version: ModelVersion): Promise<VersionDto> {
  const { id, number, phase, digest, sizeBytes, notes } = version;
  const files = await Promise.all(version.files.map((_file, index) => viewFile(staging, version, index)));
  return {
    id,
    model,
    number,
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
  if (version.phase === 'Published') return { path, sizeBytes, digest, receivedBytes: sizeBytes };
  if (version.phase === 'Abandoned') return { path, sizeBytes, digest: null, receivedBytes: 0 };
  return { path, sizeBytes, ...(await staging.read(version.id, index)) };
}
