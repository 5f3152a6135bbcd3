/**
 * Whether a new version is worse than the old one, by what gateways counted and agents say. One bad request must not end
 * a rollout: rates are compared by the lower end of what the count allows, medians only with enough requests on both sides.
 */
import { FIRST_BYTE_BOUNDS_MS, type RolloutAbortRule, type VersionOutcomes } from '#domain';
import type { ComparedOutcomes, RolloutFacts } from './facts.ts';

/** Smaller differences of the median first byte never end a rollout, whatever their ratio. */
export const FIRST_BYTE_FLOOR_MS = 50;
/** One-sided 97.5 %. */
const Z = 1.96;

/** One sentence, or null while nothing speaks against the new version. */
export function abortReason(facts: RolloutFacts): string | null {
  const { abort } = facts.rollout.policy;
  if (abort === null) return null;
  const started = failedStart(abort, facts);
  if (started !== null || facts.outcomes === null) return started;
  return failsMore(abort, facts.outcomes) ?? answersLater(abort, facts.outcomes);
}

function failedStart({ failedStarts }: RolloutAbortRule, { rollout, clusters, replicas }: RolloutFacts): string | null {
  const failed = replicas.find(
    ({ versionId, phase, restarts }) =>
      versionId === rollout.toVersionId && phase === 'Failed' && restarts >= failedStarts,
  );
  if (failed === undefined) return null;
  const where = clusters.find(({ id }) => id === failed.clusterId)?.name ?? failed.clusterId;
  const words = failed.reason === '' ? '' : `: ${failed.reason}`;
  return `a replica of the new version failed ${failed.restarts} times in ${where}${words}`;
}

/** Lower end of the new version's failure rate above the old one's rate and the margin. Without old requests: rate 0. */
function failsMore(rule: RolloutAbortRule, { from, to }: ComparedOutcomes): string | null {
  if (to.requests < rule.requestsMin) return null;
  const before = from.requests === 0 ? 0 : from.failures / from.requests;
  if (wilsonLowerBound(to.failures, to.requests) <= before + rule.errorRateAbove) return null;
  const rates = `${percent(to.failures / to.requests)} of ${to.requests} requests, the old one ${percent(before)} of ${from.requests}`;
  return `the new version fails ${rates}; ${percent(rule.errorRateAbove)} more were allowed`;
}

function answersLater(rule: RolloutAbortRule, { from, to }: ComparedOutcomes): string | null {
  if (Math.min(measured(from), measured(to)) < rule.requestsMin) return null;
  const [before, after] = [medianFirstByteMs(from)!, medianFirstByteMs(to)!];
  if (after - before < FIRST_BYTE_FLOOR_MS || after <= before * rule.firstByteRatioAbove) return null;
  const times = `${Math.round(after)} ms, that of the old one ${Math.round(before)} ms`;
  return `the median first byte of the new version takes ${times}; ${rule.firstByteRatioAbove} times as long was allowed`;
}

/**
 * Lower end of the Wilson score interval (E. B. Wilson, 1927) of a rate of `failures` among `requests` > 0, one-sided 97.5 %:
 * (p + z²/2n − z √(p(1−p)/n + z²/4n²)) / (1 + z²/n). 1 of 20 gives 0.009, 3 of 20 gives 0.052.
 */
export function wilsonLowerBound(failures: number, requests: number): number {
  const rate = Math.min(1, failures / requests);
  const square = Z * Z;
  const middle = rate + square / (2 * requests);
  const half = Z * Math.sqrt((rate * (1 - rate)) / requests + square / (4 * requests * requests));
  return Math.max(0, (middle - half) / (1 + square / requests));
}

/**
 * Median by linear interpolation within its bucket, ms; null without any. One in the last bucket, which has no upper end,
 * counts as that bucket's lower end: later is not known.
 */
export function medianFirstByteMs({ firstByteCounts }: Pick<VersionOutcomes, 'firstByteCounts'>): number | null {
  const total = firstByteCounts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let below = 0;
  for (const [index, count] of firstByteCounts.entries()) {
    if (count > 0 && below + count >= total / 2) {
      const low = FIRST_BYTE_BOUNDS_MS[index - 1] ?? 0;
      const high = FIRST_BYTE_BOUNDS_MS[index] ?? low;
      return low + ((high - low) * (total / 2 - below)) / count;
    }
    below += count;
  }
  return null;
}

function measured({ firstByteCounts }: VersionOutcomes): number {
  return firstByteCounts.reduce((sum, count) => sum + count, 0);
}

function percent(share: number): string {
  return `${Math.round(share * 1_000) / 10} %`;
}
