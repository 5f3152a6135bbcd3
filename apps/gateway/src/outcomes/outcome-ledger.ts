/**
 * How answers of each version of a deployment went, as this gateway saw it; what rollouts are judged by.
 *
 * An attempt counts for the version of the replica that it was sent to, so one request may count for two. Counts only
 * rise. The hot path increments numbers in place and allocates only at the first request of a version. Bound:
 * OUTCOMES_ENTRIES_MAX pairs of deployment and version; beyond, the one that was used longest ago is forgotten (should it
 * come back, it starts at 0 again, which its reader takes for a new start).
 */
import { OUTCOMES_ENTRIES_MAX, type OutcomesMessage } from '#contracts';
import { FIRST_BYTE_BOUNDS_MS } from '#domain';
import { type ForwardOutcome, headerValue } from '#inference';
import type { Candidate } from '#routing';

/** On whatever an engine answered, or failed to. */
const VERSION_HEADER = 'x-atoll-version';

/** `none`: says nothing of the version. */
export type AttemptVerdict = 'succeeded' | 'failed' | 'none';

/**
 * What an attempt's end says of the version that it was sent to. Failed: a 5xx, a broken stream, an answer that did not
 * come in time, a connection that could not be had or broke. Not failed: what the client did wrong (4xx, and 429), or that
 * it left after the first byte. Nothing: it left before, the gateway called the attempt back, or no replica had a part in
 * it: the cluster's advertised address did not answer, or the agent itself refused (it stops, the replica drains or is not
 * up again yet), which names no version. Two such of twenty requests would take a good rollout back.
 */
export function attemptVerdict({ path }: Pick<Candidate, 'path'>, outcome: ForwardOutcome): AttemptVerdict {
  switch (outcome.kind) {
    case 'completed':
      return outcome.status >= 500 ? 'failed' : 'succeeded';
    case 'client-gone':
      return outcome.bytesSent > 0 ? 'succeeded' : 'none';
    case 'broken':
      return outcome.cause === 'aborted' ? 'none' : 'failed';
    case 'refused':
      if (outcome.cause === 'aborted' || (path === 'direct' && outcome.cause === 'connect')) return 'none';
      if (outcome.upstream === undefined) return 'failed';
      if (headerValue(outcome.upstream.headers, VERSION_HEADER) === null) return 'none';
      return outcome.upstream.status < 500 ? 'succeeded' : 'failed';
  }
}

interface Counts {
  readonly deploymentId: string;
  readonly versionDigest: string;
  requests: number;
  failures: number;
  readonly firstByteCounts: number[];
  /** Value of `uses` at its last use. */
  usedAt: number;
}

export class OutcomeLedger {
  private readonly counts = new Map<string, Map<string, Counts>>();
  private size = 0;
  private uses = 0;

  constructor(private readonly entriesMax = OUTCOMES_ENTRIES_MAX) {}

  /** Rises with every change. */
  get changes(): number {
    return this.uses;
  }

  /** `status` of the answer whose first byte came: only a good one says how fast a version is. */
  firstByte(deploymentId: string, versionDigest: string, status: number, elapsedMs: number): void {
    if (status >= 400) return;
    this.of(deploymentId, versionDigest).firstByteCounts[bucketOf(elapsedMs)]! += 1;
  }

  finished(deploymentId: string, versionDigest: string, verdict: AttemptVerdict): void {
    if (verdict === 'none') return;
    const counts = this.of(deploymentId, versionDigest);
    counts.requests += 1;
    if (verdict === 'failed') counts.failures += 1;
  }

  /** The most recently used first. */
  entries(): OutcomesMessage['entries'] {
    return [...this.counts.values()]
      .flatMap((versions) => [...versions.values()])
      .sort((left, right) => right.usedAt - left.usedAt)
      .map(({ usedAt: _usedAt, firstByteCounts, ...rest }) => ({ ...rest, firstByteCounts: [...firstByteCounts] }));
  }

  private of(deploymentId: string, versionDigest: string): Counts {
    this.uses += 1;
    const found = this.counts.get(deploymentId)?.get(versionDigest);
    if (found !== undefined) {
      found.usedAt = this.uses;
      return found;
    }
    if (this.size >= this.entriesMax) this.forgetOldest();
    const firstByteCounts = Array.from({ length: FIRST_BYTE_BOUNDS_MS.length + 1 }, () => 0);
    const made = { deploymentId, versionDigest, requests: 0, failures: 0, firstByteCounts, usedAt: this.uses };
    const versions = this.counts.get(deploymentId) ?? new Map<string, Counts>();
    this.counts.set(deploymentId, versions.set(versionDigest, made));
    this.size += 1;
    return made;
  }

  private forgetOldest(): void {
    let oldest: Counts | undefined;
    for (const versions of this.counts.values()) {
      for (const each of versions.values()) if (oldest === undefined || each.usedAt < oldest.usedAt) oldest = each;
    }
    if (oldest === undefined) return;
    const versions = this.counts.get(oldest.deploymentId)!;
    versions.delete(oldest.versionDigest);
    if (versions.size === 0) this.counts.delete(oldest.deploymentId);
    this.size -= 1;
  }
}

/** Index of the first bound that is not exceeded; the one after the last when all are. */
function bucketOf(elapsedMs: number): number {
  let bucket = 0;
  while (bucket < FIRST_BYTE_BOUNDS_MS.length && elapsedMs > FIRST_BYTE_BOUNDS_MS[bucket]!) bucket += 1;
  return bucket;
}
