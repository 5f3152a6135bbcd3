// How old an offline bundle is, whatever clocks and restarts did. Pure.
//
// While the agent runs, age is counted by a clock that only goes forward. Across restarts the wall clock tells the rest,
// and may be CLOCK_SKEW_MS_MAX wrong either way. So that a wall clock that was set back extends nothing without bound, two
// marks are kept on disk: the latest wall time that was seen, and how long agents have run with this bundle.
import { CLOCK_SKEW_MS_MAX, type OfflineBundle } from '#domain';

/** What is noted beside a bundle, at most once a minute. */
export interface BundleMarks {
  /** Of the bundle that they belong to. */
  readonly sequence: number;
  /** How long agents have run with it, in all. */
  readonly ranMs: number;
  /** Unix milliseconds: the latest wall time that was seen. */
  readonly wallMs: number;
}

export type BundleTerm = Pick<OfflineBundle, 'issuedAt' | 'validForSeconds' | 'sequence'>;

export type BundleStanding =
  | { readonly state: 'valid'; readonly leftMs: number }
  | { readonly state: 'expired'; readonly endedAgoMs: number }
  /** Issued at a time that is yet to come by this machine's clock. */
  | { readonly state: 'early' };

/** The wall time to reckon with: never before one that was already seen. */
export function reckonedWallMs(term: BundleTerm, marks: BundleMarks | null, wallMs: number): number {
  return marks === null || marks.sequence !== term.sequence ? wallMs : Math.max(wallMs, marks.wallMs);
}

/** Milliseconds since its issue, at a start or when it is taken; null when it was issued in the future. */
export function ageMs(term: BundleTerm, marks: BundleMarks | null, wallMs: number): number | null {
  const sinceIssueMs = reckonedWallMs(term, marks, wallMs) - Date.parse(term.issuedAt);
  if (sinceIssueMs < -CLOCK_SKEW_MS_MAX) return null;
  const ranMs = marks !== null && marks.sequence === term.sequence ? marks.ranMs : 0;
  return Math.max(0, ranMs, sinceIssueMs - CLOCK_SKEW_MS_MAX);
}

/** `age` as `ageMs` gave it at the start; `ranMs` since then. */
export function standingOf(term: BundleTerm, age: number | null, ranMs: number): BundleStanding {
  if (age === null) return { state: 'early' };
  const leftMs = term.validForSeconds * 1_000 - age - ranMs;
  return leftMs > 0 ? { state: 'valid', leftMs } : { state: 'expired', endedAgoMs: Math.abs(leftMs) };
}
