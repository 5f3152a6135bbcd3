// When a task that is out of contact is asked for a checkpoint, told to end, and killed. Pure.
//
// The centre may run it elsewhere once it has been silent for `stopAfterSilentSeconds`, so by then it is dead: what grace
// it gets lies before that, and is at most half of it.

export interface SilenceRules {
  readonly stopAfterSilentSeconds: number;
  readonly graceSeconds: number;
  readonly canSave: boolean;
}

export interface SilenceState {
  readonly silentSeconds: number;
  /** A checkpoint was asked for because of this silence. */
  readonly isAsked: boolean;
  /** And was answered. */
  readonly isSaved: boolean;
  readonly isTold: boolean;
}

export type SilenceStep = 'go-on' | 'ask' | 'tell' | 'kill';

const END_SECONDS_MAX = 5;

/** `tell`: SIGTERM. It is not taken back when contact returns; a checkpoint that was asked for costs nothing. */
export function silenceStep(rules: SilenceRules, state: SilenceState): SilenceStep {
  const { stopAfterSilentSeconds, graceSeconds, canSave } = rules;
  const { silentSeconds, isAsked, isSaved, isTold } = state;
  const lead = Math.min(graceSeconds, stopAfterSilentSeconds / 2);
  const end = Math.min(END_SECONDS_MAX, lead / 2);
  if (silentSeconds >= stopAfterSilentSeconds) return 'kill';
  if (isTold) return 'go-on';
  if (silentSeconds >= stopAfterSilentSeconds - end) return 'tell';
  if (!canSave || silentSeconds < stopAfterSilentSeconds - lead) return 'go-on';
  if (!isAsked) return 'ask';
  return isSaved ? 'tell' : 'go-on';
}
