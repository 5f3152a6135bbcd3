/**
 * The agent's decision: from what is desired and what is here, what to do next. Pure and level-triggered: it looks at
 * the whole of both sides each time, so a lost, late or repeated trigger changes nothing.
 *
 * Invariants: no engine starts before its version is held (and so verified); a replica whose spec is unchanged keeps
 * its process; nothing is stopped for lost contact, only because an applied document no longer wants it; a version is
 * kept while a replica uses it or the document names it.
 */
import type { DesiredReplica, DesiredState, DesiredVersion } from './desired.ts';

export interface LocalReplica {
  readonly replicaId: string;
  readonly versionDigest: string;
  readonly phase: 'Starting' | 'Ready' | 'Failed' | 'Stopping';
  /** Monotonic milliseconds at which a failed replica may be tried again. */
  readonly retryAtMs?: number;
}

export interface LocalState {
  readonly replicas: readonly LocalReplica[];
  /** Digests whose every file is here and verified. */
  readonly heldDigests: ReadonlySet<string>;
  /** Digests being fetched now. */
  readonly fetchingDigests: ReadonlySet<string>;
  /** Digest → monotonic milliseconds before which it is not tried again. */
  readonly fetchRetryAtMs: ReadonlyMap<string, number>;
}

export type AgentAction =
  | { readonly action: 'fetch'; readonly version: DesiredVersion }
  | { readonly action: 'start'; readonly replica: DesiredReplica }
  | { readonly action: 'drain'; readonly replicaId: string }
  | { readonly action: 'stop'; readonly replicaId: string; readonly reason: string }
  | { readonly action: 'cancel-fetch'; readonly digest: string };

/** Versions that nobody names any more are kept as `previous` until the caller's retention rule drops them. */
export function reconcileCluster(desired: DesiredState, local: LocalState, nowMs: number): AgentAction[] {
  return [
    ...stopUnwanted(desired, local),
    ...fetchMissing(desired, local, nowMs),
    ...startMissing(desired, local, nowMs),
    ...cancelUnwantedFetches(desired, local),
  ];
}

function stopUnwanted(desired: DesiredState, local: LocalState): AgentAction[] {
  const wanted = new Map(desired.replicas.map((replica) => [replica.replicaId, replica]));
  return local.replicas.flatMap((replica): AgentAction[] => {
    if (replica.phase === 'Stopping') return [];
    const spec = wanted.get(replica.replicaId);
    if (spec === undefined) return [{ action: 'stop', replicaId: replica.replicaId, reason: 'no longer wanted' }];
    if (spec.versionDigest !== replica.versionDigest) {
      return [{ action: 'stop', replicaId: replica.replicaId, reason: 'its version changed' }];
    }
    return spec.draining ? [{ action: 'drain', replicaId: replica.replicaId }] : [];
  });
}

function fetchMissing(desired: DesiredState, local: LocalState, nowMs: number): AgentAction[] {
  return desired.versions
    .filter((version) => !local.heldDigests.has(version.digest) && !local.fetchingDigests.has(version.digest))
    .filter((version) => (local.fetchRetryAtMs.get(version.digest) ?? 0) <= nowMs)
    .map((version) => ({ action: 'fetch', version }));
}

function startMissing(desired: DesiredState, local: LocalState, nowMs: number): AgentAction[] {
  const here = new Map(local.replicas.map((replica) => [replica.replicaId, replica]));
  return desired.replicas
    .filter((replica) => !replica.draining && local.heldDigests.has(replica.versionDigest))
    .filter((replica) => {
      const running = here.get(replica.replicaId);
      if (running === undefined) return true;
      // One of another version is stopped first, failed or not.
      const isSame = running.versionDigest === replica.versionDigest;
      return isSame && running.phase === 'Failed' && (running.retryAtMs ?? 0) <= nowMs;
    })
    .map((replica) => ({ action: 'start', replica }));
}

function cancelUnwantedFetches(desired: DesiredState, local: LocalState): AgentAction[] {
  const wanted = new Set(desired.versions.map((version) => version.digest));
  return [...local.fetchingDigests]
    .filter((digest) => !wanted.has(digest))
    .map((digest) => ({ action: 'cancel-fetch', digest }));
}

/** Wait before try number `attempt` (1 is the first retry): 1 s doubled each time, at most 60 s. */
export function retryDelayMs(attempt: number): number {
  return Math.min(60_000, 1_000 * 2 ** Math.min(Math.max(attempt - 1, 0), 6));
}
