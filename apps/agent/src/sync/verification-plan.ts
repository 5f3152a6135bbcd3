// When and in which order what is held is hashed again. Pure: times are arguments.
//
// Only whole files prove anything, for a digest is of a whole file: a piece at a random offset could be compared with
// nothing. So a round by sample takes whole files, the longest unverified first, until it has hashed `sampleBytes`; the
// last one may go beyond. Hence every byte of T bytes held is verified within ⌈T / sampleBytes⌉ rounds, and a round costs
// at most `sampleBytes` and one file. A full round takes all, in the same order.
import type { DesiredFetchReply } from '#contracts';
import type { VersionFile } from '#domain';

export type VerificationMode = NonNullable<DesiredFetchReply['verification']>['mode'];

/** A file of a held version. */
export interface HeldFile extends VersionFile {
  readonly versionDigest: string;
  /** Wall clock at which its last hashing began. */
  readonly verifiedAtMs: number;
}

export function filesOfRound(files: readonly HeldFile[], mode: VerificationMode, sampleBytes: number): HeldFile[] {
  const longestFirst = [...files].sort((left, right) => left.verifiedAtMs - right.verifiedAtMs);
  if (mode === 'full') return longestFirst;
  let bytes = 0;
  return longestFirst.filter(({ sizeBytes }) => {
    const isWanted = bytes < sampleBytes;
    if (isWanted) bytes += sizeBytes;
    return isWanted;
  });
}

/** What the centre says with every answer and what a timer here does may be so far apart and mean one moment. */
const SAME_MOMENT_MS = 10_000;

/**
 * When the next round is due, after the centre said that it is in `toldInMs`. An answer that was made just before or just
 * after the moment itself neither takes a round back nor makes it run twice.
 *
 * @param dueAtMs as it was; monotonic, like the others
 * @param beganAtMs the last round's begin
 */
export function dueAfter(
  { dueAtMs, beganAtMs }: { readonly dueAtMs: number; readonly beganAtMs: number | undefined },
  toldInMs: number,
  nowMs: number,
): number {
  const toldAtMs = nowMs + toldInMs;
  const isImminent = dueAtMs - nowMs <= SAME_MOMENT_MS;
  if (isImminent && toldAtMs > dueAtMs) return dueAtMs;
  const isRepeated = beganAtMs !== undefined && toldAtMs - beganAtMs <= SAME_MOMENT_MS;
  return isRepeated ? dueAtMs : toldAtMs;
}
