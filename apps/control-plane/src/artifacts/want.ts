// Who wants which encodings made. Wanting is idempotent, and cheap where the rows are there already.

import type { ArtifactProfile, Model, ModelVersion, Rows, VersionArtifact } from '#domain';

/** In this order, so that the quick one is made first. */
const DIFF_PROFILES = ['fast', 'small'] as const satisfies readonly ArtifactProfile[];

/** Beyond this many waiting ones of one model nothing more is wanted by itself: clusters take whole files meanwhile. */
export const WAITING_MAX = 64;

/** What Failed is tried again by itself only so long after it was wanted. */
export const RETRY_AFTER_MS = 3_600_000;

/** What is made of every published version: its diffs against its parent. */
export async function wantParentDiffs(rows: Rows, version: ModelVersion): Promise<void> {
  if (version.parentId === null) return;
  const parent = await rows.versions.find({ id: version.parentId });
  const model = parent === null ? null : await rows.models.find({ id: version.modelId });
  if (parent !== null && model !== null) await wantDiff(rows, model, version, parent);
}

/**
 * Has the diffs that make `version` from `base` made, where they are not there and can be: both are Published and differ.
 * For clusters that are late; call it in a transaction.
 *
 * @param now default: the installation's clock
 */
export async function wantDiff(
  rows: Rows,
  model: Pick<Model, 'id' | 'tenantId'>,
  version: ModelVersion,
  base: ModelVersion,
  now?: Date,
): Promise<void> {
  if (version.phase !== 'Published' || base.phase !== 'Published' || version.digest === base.digest) return;
  const known = await rows.artifacts.ofModel(model.id);
  const at = now ?? (await rows.clock.now());
  for (const profile of DIFF_PROFILES) {
    if (!isWorthWanting(known, { versionId: version.id, baseVersionId: base.id, profile }, at)) continue;
    await rows.artifacts.want(keyOf(model, version, base, profile));
  }
}

/** As `wantDiff`, for the encoding that needs no base. */
export async function wantSnapshot(
  rows: Rows,
  model: Pick<Model, 'id' | 'tenantId'>,
  version: ModelVersion,
  now?: Date,
): Promise<void> {
  const known = await rows.artifacts.ofModel(model.id);
  const key = { versionId: version.id, baseVersionId: null, profile: 'snapshot' } as const;
  const at = now ?? (await rows.clock.now());
  if (version.phase === 'Published' && isWorthWanting(known, key, at)) {
    await rows.artifacts.want(keyOf(model, version, null, 'snapshot'));
  }
}

export function keyOf(
  { id: modelId, tenantId }: Pick<Model, 'id' | 'tenantId'>,
  version: ModelVersion,
  base: ModelVersion | null,
  profile: ArtifactProfile,
) {
  return { tenantId, modelId, versionId: version.id, baseVersionId: base?.id ?? null, profile };
}

/** Whether it is neither there nor waiting, did not fail lately, and there is room in the queue. Pure. */
export function isWorthWanting(
  known: readonly VersionArtifact[],
  key: Pick<VersionArtifact, 'versionId' | 'baseVersionId' | 'profile'>,
  now: Date,
): boolean {
  const same = known.find(
    ({ versionId, baseVersionId, profile }) =>
      versionId === key.versionId && baseVersionId === key.baseVersionId && profile === key.profile,
  );
  if (same !== undefined && same.phase !== 'Failed') return false;
  if (same !== undefined && now.getTime() - same.wantedAt.getTime() < RETRY_AFTER_MS) return false;
  return known.filter(({ phase }) => phase === 'Wanted').length < WAITING_MAX;
}
