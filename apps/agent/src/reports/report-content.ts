// What a report says of replicas, and which version counts as the one before. Pure.
import type { DesiredReplica, DesiredState, ReplicaReport } from '#domain';

/** Every wanted replica, and every one that is here though nobody wants it (any more). */
export function replicaReports(
  desired: DesiredState | null,
  here: readonly ReplicaReport[],
  heldDigests: ReadonlySet<string>,
): ReplicaReport[] {
  const known = new Set(here.map(({ replicaId }) => replicaId));
  const missing = (desired?.replicas ?? []).filter(({ replicaId }) => !known.has(replicaId));
  return [...here, ...missing.map((replica) => reportMissing(replica, heldDigests))];
}

function reportMissing(replica: DesiredReplica, heldDigests: ReadonlySet<string>): ReplicaReport {
  const { replicaId, deploymentId, versionDigest, draining } = replica;
  const base = { replicaId, deploymentId, versionDigest, restarts: 0 };
  if (draining) return { ...base, phase: 'Stopped', reason: '' };
  if (heldDigests.has(versionDigest)) return { ...base, phase: 'Pending', reason: 'its engine starts next' };
  return { ...base, phase: 'Fetching', reason: 'its version is being fetched and verified' };
}

/** Models that nobody wants here any more keep their last version for a return, but only the newest few: disks end. */
const UNWANTED_KEPT_MAX = 2;

/**
 * Model → digest of the version that was wanted before the present ones, for a rollback without a transfer.
 * Returns `previous` itself when nothing changed.
 */
export function previousAfter(
  previous: Readonly<Record<string, string>>,
  before: DesiredState | null,
  after: DesiredState,
): Readonly<Record<string, string>> {
  const wanted = new Set(after.versions.map(({ digest }) => digest));
  const gone = (before?.versions ?? []).filter(({ digest }) => !wanted.has(digest)).sort((a, b) => a.number - b.number);
  if (gone.length === 0) return previous;
  const kept = new Map(Object.entries(previous));
  for (const { modelName, digest } of gone) {
    kept.delete(modelName); // the newest stand last
    kept.set(modelName, digest);
  }
  const models = new Set(after.versions.map(({ modelName }) => modelName));
  const unwanted = [...kept.keys()].filter((modelName) => !models.has(modelName));
  for (const modelName of unwanted.slice(0, -UNWANTED_KEPT_MAX)) kept.delete(modelName);
  return Object.fromEntries(kept);
}
