/**
 * Life and death of a cluster as an observer sees it: heartbeats in, a judgement out.
 *
 * Loss is noticed fast and acted on slowly (R6). An observer that was itself away (paused, or cut off from NATS) knows
 * nothing about the time it missed: every lease is counted from its return, so a pause of any length moves nothing
 * until a fresh lease window has passed. All times are one process' monotonic milliseconds.
 */
import type { ClusterPhase } from './clusters.ts';

export const HEARTBEAT_INTERVAL_MS = 1_000;
/** Three missed heartbeats: gateways stop routing and the cluster is Suspect. */
export const SUSPECT_AFTER_MS = 3_000;
export const UNKNOWN_AFTER_MS = 40_000;
/** An observer whose own tick came later than this was away. */
export const OBSERVER_GAP_MS = 2_500;
/** At or above this share of Unknown clusters the fault is assumed to be ours, and nothing is moved. */
export const MASS_UNKNOWN_SHARE = 0.55;

export type Life = 'Alive' | 'Suspect' | 'Unknown';

export class LivenessTracker {
  private readonly seenAtMs = new Map<string, number>();
  private observingSinceMs: number;
  private tickedAtMs: number;

  constructor(nowMs: number) {
    this.observingSinceMs = nowMs;
    this.tickedAtMs = nowMs;
  }

  /** A sign of life: a heartbeat, a report, a dialled socket's answer. */
  seen(clusterId: string, nowMs: number): void {
    this.seenAtMs.set(clusterId, nowMs);
  }

  /** The observer lost its own eyes (NATS disconnected) or got them back. */
  blind(nowMs: number): void {
    this.observingSinceMs = Math.max(this.observingSinceMs, nowMs);
  }

  /** Call about once a second; a gap means that this process was paused. */
  tick(nowMs: number): void {
    if (nowMs - this.tickedAtMs > OBSERVER_GAP_MS) this.observingSinceMs = nowMs;
    this.tickedAtMs = nowMs;
  }

  forget(clusterId: string): void {
    this.seenAtMs.delete(clusterId);
  }

  /** Milliseconds of silence that count against the cluster. */
  silenceMs(clusterId: string, nowMs: number): number {
    return nowMs - Math.max(this.seenAtMs.get(clusterId) ?? Number.NEGATIVE_INFINITY, this.observingSinceMs);
  }

  /** Since the last sign of life, whether or not it counts; null: there was none. */
  sinceSeenMs(clusterId: string, nowMs: number): number | null {
    const seenAtMs = this.seenAtMs.get(clusterId);
    return seenAtMs === undefined ? null : nowMs - seenAtMs;
  }

  judge(clusterId: string, nowMs: number): Life {
    return judgeSilence(this.silenceMs(clusterId, nowMs));
  }

  /** True when the last sign of life is newer than the start of the present watch. */
  seenSinceWatching(clusterId: string): boolean {
    return (this.seenAtMs.get(clusterId) ?? Number.NEGATIVE_INFINITY) >= this.observingSinceMs;
  }
}

export function judgeSilence(silenceMs: number): Life {
  if (silenceMs >= UNKNOWN_AFTER_MS) return 'Unknown';
  return silenceMs > SUSPECT_AFTER_MS ? 'Suspect' : 'Alive';
}

/** Phases that heartbeats judge; PendingApproval and Left are intent alone. */
export const JUDGED_PHASES: ReadonlySet<ClusterPhase> = new Set(['Ready', 'Draining', 'Suspect', 'Unknown']);

/**
 * The phase that a judgement asks for, or null when the phase stays. One that is alive and to be emptied is Draining
 * instead of Ready.
 */
export function judgedPhase(
  phase: ClusterPhase,
  life: Life,
  seenSinceWatching: boolean,
  isDrained = false,
): ClusterPhase | null {
  const alive: ClusterPhase = isDrained ? 'Draining' : 'Ready';
  const judged: ClusterPhase = life === 'Alive' ? alive : life;
  if (phase === judged || !JUDGED_PHASES.has(phase)) return null;
  const wasInContact = phase === 'Ready' || phase === 'Draining';
  // Recovery needs a real sign of life, not merely an observer that has just begun to watch.
  if (judged === alive && !seenSinceWatching && !wasInContact) return null;
  // An observer that has just begun to watch must not soften Unknown to Suspect either.
  if (phase === 'Unknown' && judged === 'Suspect') return null;
  return judged;
}

/** True when so many clusters are Unknown that nothing may be moved (DESIGN §5 E). */
export function isMassUnknown(phases: readonly ClusterPhase[]): boolean {
  const members = phases.filter((phase) => phase !== 'PendingApproval' && phase !== 'Left');
  if (members.length < 2) return false;
  return members.filter((phase) => phase === 'Unknown').length / members.length >= MASS_UNKNOWN_SHARE;
}
