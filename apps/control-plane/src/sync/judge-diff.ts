/**
 * Whether a direct diff that is not there yet is worth having, and worth waiting for. Pure, and stateless: how long was
 * waited already is told by the age of the artifact's row, so that no cluster waits for ever whatever dies.
 *
 * Estimates (MODELSYNC.md, conservative): a diff is 30 % of what it makes with `fast`, 20 % with `small`; making one
 * takes 2 s and 100 MB/s or 20 MB/s.
 */
import type { VersionArtifact } from '#domain';
import type { ClusterPlan, ClusterQuestion, NoClusterPlan } from './plan-for-cluster.ts';
import { type Speeds, speedsOf } from './speeds.ts';

export type DiffProfile = 'fast' | 'small';

const PROFILES: readonly DiffProfile[] = ['fast', 'small'];
const SHARE: Readonly<Record<DiffProfile, number>> = { fast: 0.3, small: 0.2 };
const MAKE_BYTES_PER_SECOND: Readonly<Record<DiffProfile, number>> = { fast: 100e6, small: 20e6 };
const MAKE_OVERHEAD_SECONDS = 2;
/** What it must spare the registry: so much of the bytes, and at least 64 KiB. */
const SAVING_SHARE_MIN = 0.25;
const SAVING_BYTES_MIN = 65_536;
/** Longest wait for one artifact, counted from when it was wanted. */
export const DIFF_WAIT_SECONDS_MAX = 60;
/** Whoever waits asks again when the diff may be there, at most so much later: who makes it may be quicker or dead. */
const RETRY_SECONDS_MAX = 10;
/** An encoding that takes no longer than this is waited for even if it spares only bytes. */
const SHORT_MAKE_SECONDS = 5;
const CLEAR_WIN_FACTOR = 2;

export interface DiffVerdict {
  /** To be made, against a version that the cluster holds; null: it exists, is being made, failed, or does not pay. */
  readonly want: { readonly baseVersionId: string; readonly profile: DiffProfile } | null;
  /** Null: go on with the plan there is. */
  readonly waitFor: { readonly baseVersionId: string; readonly retryAfterSeconds: number } | null;
}

const NEITHER: DiffVerdict = { want: null, waitFor: null };

export function judgeDiff(question: ClusterQuestion, plan: ClusterPlan | NoClusterPlan, now: Date): DiffVerdict {
  const { cluster, version, avoid = [] } = question;
  if (cluster.sync.mode === 'snapshot' || question.neighbour !== null) return NEITHER;
  const bases = heldVersions(question);
  const direct = question.artifacts.filter(
    ({ versionId, baseVersionId }) => versionId === version.id && bases.some(({ id }) => id === baseVersionId),
  );
  if (bases.length === 0 || direct.some(({ phase, id }) => phase === 'Ready' && !avoid.includes(id))) return NEITHER;
  const speeds = speedsOf(cluster, question.measures);
  const pending = direct.find(({ phase }) => phase === 'Wanted' || phase === 'Making');
  const profile = pending === undefined ? cheaperProfile(plan.missingBytes, speeds) : diffProfileOf(pending);
  if (!isWorthIt(plan, profile)) return NEITHER;
  const base = pending?.baseVersionId ?? bases[0]!.id;
  // Against the newest that is held, and only once: what failed once would fail again, as long as its row remembers.
  const isNew = pending === undefined && !direct.some(({ baseVersionId }) => baseVersionId === base);
  if (pending === undefined && !isNew) return NEITHER;
  const ageMs = pending === undefined ? 0 : now.getTime() - pending.wantedAt.getTime();
  const ageSeconds = Math.max(0, ageMs / 1_000);
  const retryAfterSeconds = Math.min(RETRY_SECONDS_MAX, Math.max(1, makeSecondsOf(plan, profile) - ageSeconds));
  return {
    want: isNew ? { baseVersionId: base, profile } : null,
    waitFor: isWorthWaiting(plan, profile, ageSeconds, speeds) ? { baseVersionId: base, retryAfterSeconds } : null,
  };
}

/** Newest first. */
function heldVersions({ versions, held, version }: ClusterQuestion) {
  return versions
    .filter(({ id, digest, phase }) => {
      return (
        digest !== null &&
        phase === 'Published' &&
        id !== version.id &&
        digest !== version.digest &&
        held.includes(digest)
      );
    })
    .sort((left, right) => right.number - left.number);
}

function diffProfileOf({ profile }: VersionArtifact): DiffProfile {
  return profile === 'small' ? 'small' : 'fast';
}

function cheaperProfile(missingBytes: number, speeds: Speeds): DiffProfile {
  const [fast, small] = PROFILES.map((profile) => diffSeconds(missingBytes, profile, speeds));
  return small! < fast! ? 'small' : 'fast';
}

function diffSeconds(missingBytes: number, profile: DiffProfile, speeds: Speeds): number {
  const transfer = (missingBytes * SHARE[profile]) / speeds.registryBytesPerSecond;
  return transfer + missingBytes / speeds.applyBytesPerSecond[profile];
}

function isWorthIt(plan: ClusterPlan | NoClusterPlan, profile: DiffProfile): boolean {
  const planned = plan.path === 'impossible' ? Number.POSITIVE_INFINITY : plan.registryBytes;
  const saved = planned - plan.missingBytes * SHARE[profile];
  return saved >= SAVING_BYTES_MIN && saved >= plan.missingBytes * SAVING_SHARE_MIN;
}

function makeSecondsOf({ missingBytes }: ClusterPlan | NoClusterPlan, profile: DiffProfile): number {
  return MAKE_OVERHEAD_SECONDS + missingBytes / MAKE_BYTES_PER_SECOND[profile];
}

function isWorthWaiting(
  plan: ClusterPlan | NoClusterPlan,
  profile: DiffProfile,
  ageSeconds: number,
  speeds: Speeds,
): boolean {
  const makeSeconds = makeSecondsOf(plan, profile);
  if (ageSeconds > Math.min(DIFF_WAIT_SECONDS_MAX, 3 * makeSeconds + SHORT_MAKE_SECONDS)) return false;
  if (plan.path === 'impossible' || makeSeconds <= SHORT_MAKE_SECONDS) return true;
  const withDiff = Math.max(1, makeSeconds - ageSeconds) + diffSeconds(plan.missingBytes, profile, speeds);
  return makeSeconds - ageSeconds <= DIFF_WAIT_SECONDS_MAX && plan.seconds > CLEAR_WIN_FACTOR * withDiff;
}
