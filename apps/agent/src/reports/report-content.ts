// What a report says of replicas, and which version counts as the one before. Pure.
import type { DesiredReplica, DesiredState, HeldVersion, ReplicaReport } from '#domain';

const REASON_CHARACTERS_MAX = 500;

/** Every wanted replica, and every one that is here though nobody wants it (any more). */
export function replicaReports(
  desired: DesiredState | null,
  here: readonly ReplicaReport[],
  heldDigests: ReadonlySet<string>,
  /** Version digest → why it may not be here. */
  refusals: ReadonlyMap<string, string> = new Map(),
  /** Replica id → what it waits for. */
  waits: ReadonlyMap<string, string> = new Map(),
): ReplicaReport[] {
  const known = new Set(here.map(({ replicaId }) => replicaId));
  const missing = (desired?.replicas ?? []).filter(({ replicaId }) => !known.has(replicaId));
  return [...here, ...missing.map((replica) => reportMissing(replica, heldDigests, refusals, waits))];
}

function reportMissing(
  replica: DesiredReplica,
  heldDigests: ReadonlySet<string>,
  refusals: ReadonlyMap<string, string>,
  waits: ReadonlyMap<string, string>,
): ReplicaReport {
  const { replicaId, deploymentId, versionDigest, draining } = replica;
  const base = { replicaId, deploymentId, versionDigest, restarts: 0 };
  if (draining) return { ...base, phase: 'Stopped', reason: '' };
  const refusal = refusals.get(versionDigest);
  if (refusal !== undefined) return { ...base, phase: 'Fetching', reason: refusal };
  const wait = waits.get(replicaId);
  if (wait !== undefined) return { ...base, phase: 'Pending', reason: wait.slice(0, REASON_CHARACTERS_MAX) };
  if (heldDigests.has(versionDigest)) return { ...base, phase: 'Pending', reason: 'its engine starts next' };
  return { ...base, phase: 'Fetching', reason: 'its version is being fetched and verified' };
}

/** What may not be here is not held in any sense that matters, though its bytes may lie here as the base of a diff. */
export function versionReports(versions: readonly HeldVersion[], refusals: ReadonlyMap<string, string>): HeldVersion[] {
  return versions.map((version) => {
    const reason = refusals.get(version.digest);
    if (reason === undefined) return version;
    const { digest, bytesHave, bytesTotal } = version;
    return { digest, phase: 'Failed', bytesHave, bytesTotal, reason: reason.slice(0, 500) };
  });
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
