/**
 * The agent's decision: from what is desired and what is here, what to do next. Pure and level-triggered: it looks at
 * the whole of both sides each time, so a lost, late or repeated trigger changes nothing.
 *
 * Invariants: no engine starts before its version is held (and so verified); a replica whose spec is unchanged keeps
 * its process; nothing is stopped for lost contact, only because an applied document no longer wants it; a version is
 * kept while a replica uses it or the document names it; where devices are bound here, no device gets two holders.
 */
import type { DesiredReplica, DesiredState, DesiredVersion } from './desired.ts';
import { deviceKeysOf } from './device-binding.ts';
import type { NodeDevices } from './jobs.ts';
import { bindReplicas, type DeviceBook } from './replica-binding.ts';

export interface LocalReplica {
  readonly replicaId: string;
  readonly versionDigest: string;
  readonly phase: 'Starting' | 'Ready' | 'Failed' | 'Stopping';
  /** Monotonic milliseconds at which a failed replica may be tried again. */
  readonly retryAtMs?: number;
  /** What it holds until it is gone. Absent: nothing was bound. */
  readonly devices?: readonly NodeDevices[];
}

export interface LocalState {
  readonly replicas: readonly LocalReplica[];
  /** Digests whose every file is here and verified. */
  readonly heldDigests: ReadonlySet<string>;
  /** Digests being fetched now. */
  readonly fetchingDigests: ReadonlySet<string>;
  /** Digest → monotonic milliseconds before which it is not tried again. */
  readonly fetchRetryAtMs: ReadonlyMap<string, number>;
  /** Digests that may not run here, whatever engine would run them. */
  readonly refusedDigests?: ReadonlySet<string>;
  /** Whether the engine of that name reads model files of ours. Absent: every one does. */
  readonly needsFiles?: (engine: string | undefined) => boolean;
  /** Absent: nothing is bound here. */
  readonly book?: DeviceBook;
}

export type AgentAction =
  | { readonly action: 'fetch'; readonly version: DesiredVersion }
  | { readonly action: 'start'; readonly replica: DesiredReplica; readonly devices?: readonly NodeDevices[] }
  /** It cannot start yet: what its report says. */
  | { readonly action: 'wait'; readonly replicaId: string; readonly reason: string }
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
    if (isBoundAnew(spec, replica)) {
      return [{ action: 'stop', replicaId: replica.replicaId, reason: 'it was given other devices' }];
    }
    return spec.draining ? [{ action: 'drain', replicaId: replica.replicaId }] : [];
  });
}

/** An engine that began before devices were noted has whatever it has. */
function isBoundAnew({ devices }: DesiredReplica, running: LocalReplica): boolean {
  if (devices === undefined || running.devices === undefined) return false;
  return deviceKeysOf(devices).sort().join() !== deviceKeysOf(running.devices).sort().join();
}

/** Bases that only engines run which read no files of ours need not be here. Adapters are, for they are loaded from here. */
function unneededDigests({ replicas, tasks }: DesiredState, { needsFiles = () => true }: LocalState): Set<string> {
  const unneeded = new Set(
    replicas.filter(({ engine }) => !needsFiles(engine)).map((replica) => replica.versionDigest),
  );
  for (const { engine, versionDigest, adapters = [] } of replicas) {
    if (needsFiles(engine)) unneeded.delete(versionDigest);
    for (const adapter of adapters) unneeded.delete(adapter.versionDigest);
  }
  for (const { mounts } of tasks ?? []) for (const { versionDigest } of mounts) unneeded.delete(versionDigest);
  return unneeded;
}

function fetchMissing(desired: DesiredState, local: LocalState, nowMs: number): AgentAction[] {
  const unneeded = unneededDigests(desired, local);
  return desired.versions
    .filter(({ digest }) => !unneeded.has(digest))
    .filter((version) => !local.heldDigests.has(version.digest) && !local.fetchingDigests.has(version.digest))
    .filter((version) => (local.fetchRetryAtMs.get(version.digest) ?? 0) <= nowMs)
    .map((version) => ({ action: 'fetch', version }));
}

function startMissing(desired: DesiredState, local: LocalState, nowMs: number): AgentAction[] {
  const { heldDigests, refusedDigests, needsFiles = () => true, book } = local;
  const here = new Map(local.replicas.map((replica) => [replica.replicaId, replica]));
  const starting = desired.replicas
    .filter((replica) => !replica.draining && refusedDigests?.has(replica.versionDigest) !== true)
    .filter(({ engine, versionDigest }) => !needsFiles(engine) || heldDigests.has(versionDigest))
    .filter((replica) => {
      const running = here.get(replica.replicaId);
      if (running === undefined) return true;
      // One of another version is stopped first, failed or not.
      const isSame = running.versionDigest === replica.versionDigest && !isBoundAnew(replica, running);
      return isSame && running.phase === 'Failed' && (running.retryAtMs ?? 0) <= nowMs;
    });
  if (book === undefined) return starting.map((replica) => ({ action: 'start', replica }));
  return bindReplicas(starting, desired.replicas, local.replicas, book);
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
