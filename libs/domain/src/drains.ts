/**
 * Emptying a cluster on request. Pure: what a drain asks for now follows from its mode and its age, so that whoever
 * plans, previews and explains says the same.
 */

/**
 * move  replicas go once their replacements serve elsewhere, jobs save and are queued again
 * wait  nothing new; jobs run to their end and replicas stay, until the deadline: then as `move`
 * stop  everything ends now, gracefully, whether or not it has a place elsewhere
 */
export const DRAIN_MODES = ['move', 'wait', 'stop'] as const;
export type DrainMode = (typeof DRAIN_MODES)[number];

export interface ClusterDrain {
  readonly mode: DrainMode;
  /** move: from then on what found no other place is stopped; wait: how long it waits; stop: nothing. */
  readonly deadlineSeconds: number;
  /** RFC 3339, the clock of the control plane that was asked. */
  readonly since: string;
  /** As the audit log names who asked. */
  readonly requestedBy: string;
}

/** R7: an old replica goes when the new one serves, or after this. */
export const MOVE_DEADLINE_SECONDS = 600;
export const DRAIN_DEADLINE_SECONDS: Readonly<Record<DrainMode, number>> = {
  move: MOVE_DEADLINE_SECONDS,
  wait: 3_600,
  stop: 0,
};
export const DRAIN_DEADLINE_SECONDS_MAX = 7 * 86_400;

/** hold: what runs stays, nothing comes; move: it goes once it has another place; stop: it ends now. */
export const DRAIN_STAGES = ['hold', 'move', 'stop'] as const;
export type DrainStage = (typeof DRAIN_STAGES)[number];

/** What a drain asks for, or null when there is none. `nowMs`: by the clock that `since` is of. */
export function drainStage(drain: ClusterDrain | null, nowMs: number): DrainStage | null {
  if (drain === null) return null;
  const { mode, deadlineSeconds } = drain;
  if (mode === 'stop') return 'stop';
  const ageSeconds = (nowMs - Date.parse(drain.since)) / 1_000;
  if (mode === 'wait' && ageSeconds < deadlineSeconds) return 'hold';
  const stopFromSeconds = mode === 'wait' ? deadlineSeconds + MOVE_DEADLINE_SECONDS : deadlineSeconds;
  return ageSeconds < stopFromSeconds ? 'move' : 'stop';
}
