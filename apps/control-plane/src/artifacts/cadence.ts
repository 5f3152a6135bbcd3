// When a self-contained snapshot of a model's newest version is made: when its cron fired since the version was
// published, and earlier where the diffs since the last snapshot cost more bytes than a new snapshot would. Pure.

import type { Model, ModelVersion, VersionArtifact } from '#domain';
import { hasFired } from '../models/cron.ts';
import { RETRY_AFTER_MS } from './want.ts';

/** @param versions all of the model; @param artifacts all of the model. @returns the version and why, or null */
export function dueSnapshot(
  { policy }: Pick<Model, 'policy'>,
  versions: readonly ModelVersion[],
  artifacts: readonly VersionArtifact[],
  now: Date,
): { readonly version: ModelVersion; readonly reason: string } | null {
  const published = versions.filter(({ phase }) => phase === 'Published');
  const version = published.reduce<ModelVersion | undefined>(
    (newest, each) => (newest === undefined || each.number > newest.number ? each : newest),
    undefined,
  );
  if (version === undefined) return null;
  const own = artifacts.find((each) => each.versionId === version.id && each.profile === 'snapshot');
  if (own !== undefined && !mayBeTriedAgain(own, now)) return null;
  if (hasFired(policy.snapshotCron, 'UTC', version.publishedAt ?? version.createdAt, now)) {
    return { version, reason: `"${policy.snapshotCron}" fired since version ${version.number} was published` };
  }
  const reason = costlyChain(version, published, artifacts);
  return reason === null ? null : { version, reason };
}

function mayBeTriedAgain({ phase, wantedAt }: VersionArtifact, now: Date): boolean {
  return phase === 'Failed' && now.getTime() - wantedAt.getTime() >= RETRY_AFTER_MS;
}

/** @returns why the diffs since the newest earlier snapshot cost too much, or null: they do not, or cannot be told yet */
function costlyChain(
  version: ModelVersion,
  published: readonly ModelVersion[],
  artifacts: readonly VersionArtifact[],
): string | null {
  const isReadySnapshot = (versionId: string) =>
    artifacts.find((each) => each.versionId === versionId && each.profile === 'snapshot' && each.phase === 'Ready');
  const earlier = published
    .filter(({ id, number }) => number < version.number && isReadySnapshot(id) !== undefined)
    .sort((left, right) => right.number - left.number)[0];
  if (earlier === undefined || earlier.sizeBytes === 0) return null;
  // While diffs are being made, a cheaper chain may come.
  if (artifacts.some(({ phase }) => phase === 'Wanted' || phase === 'Making')) return null;
  const snapshotBytes = (isReadySnapshot(earlier.id)!.bytes / earlier.sizeBytes) * version.sizeBytes;
  const bytes = chainBytes(artifacts, earlier.id, version.id);
  if (bytes <= snapshotBytes) return null;
  const cost = Number.isFinite(bytes) ? `${bytes} bytes` : 'more than can be had';
  return `the diffs since the snapshot of version ${earlier.number} cost ${cost}, a snapshot about ${Math.round(snapshotBytes)}`;
}

/** Bytes of the cheapest chain of Ready diffs from one version to another; Infinity where there is none. */
export function chainBytes(artifacts: readonly VersionArtifact[], fromId: string, toId: string): number {
  const diffs = artifacts.filter(({ phase, baseVersionId }) => phase === 'Ready' && baseVersionId !== null);
  const open = new Map([[fromId, 0]]);
  const settled = new Set<string>();
  while (open.size > 0) {
    const [versionId, bytes] = [...open].reduce((left, right) => (left[1] <= right[1] ? left : right));
    if (versionId === toId) return bytes;
    open.delete(versionId);
    settled.add(versionId);
    for (const diff of diffs) {
      if (diff.baseVersionId !== versionId || settled.has(diff.versionId)) continue;
      open.set(diff.versionId, Math.min(open.get(diff.versionId) ?? Number.POSITIVE_INFINITY, bytes + diff.bytes));
    }
  }
  return Number.POSITIVE_INFINITY;
}
