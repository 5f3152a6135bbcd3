// What is done next about a task that has a process, or had one: from what is seen, one step. Pure, looked at several
// times a second, so that a step that was missed (or an agent that restarted) costs a moment.
//
// Who saves is the member of rank 0: its checkpoint counts for the attempt. The others are asked as well, for they may
// hold parts of the state, and are ended once it has saved.

export interface TaskFacts {
  /** Its process is gone, with all that it started. */
  readonly isOver: boolean;
  readonly overSeconds: number;
  /** Since the last byte that was sent. */
  readonly sendIdleSeconds: number;
  /** The command says that a checkpoint is whole. */
  readonly hasDone: boolean;
  /** One is being hashed and sent. */
  readonly isSaving: boolean;
  readonly canSave: boolean;
  readonly intervalSeconds: number | null;
  /** Since it began, was asked or saved. */
  readonly quietSeconds: number;
  readonly stop: StopFacts | null;
  readonly graceSeconds: number;
  /** The control plane answers. */
  readonly isInContact: boolean;
}

export interface StopFacts {
  readonly wantsCheckpoint: boolean;
  /** Since it was told of. */
  readonly seconds: number;
  readonly isAsked: boolean;
  /** The request was answered, by the member that counts. */
  readonly isAnswered: boolean;
  /** SIGTERM was sent. */
  readonly isTold: boolean;
}

export type TaskStep = 'wait' | 'save' | 'ask' | 'tell' | 'kill' | 'give-up' | 'conclude';

/** Left for an orderly end when no checkpoint came. */
const END_SECONDS_MAX = 5;
/** Of one that was stopped, after its process has gone: others wait for its room. */
const SEND_SECONDS_MIN = 60;
/** Of one that ended by itself: without a byte. */
const SEND_IDLE_SECONDS_MAX = 3_600;

export function nextTaskStep(facts: TaskFacts): TaskStep {
  if (facts.isOver) return stepAfterEnd(facts);
  if (facts.stop !== null) return stepOfStop(facts, facts.stop);
  const { hasDone, intervalSeconds, quietSeconds, isSaving, canSave } = facts;
  if (hasDone && !isSaving) return 'save';
  const isDue = canSave && intervalSeconds !== null && quietSeconds >= intervalSeconds;
  // Also when the last request was not answered: a signal may have come before the command listened.
  return isDue && !isSaving ? 'ask' : 'wait';
}

function stepAfterEnd({ hasDone, isSaving, isInContact, ...facts }: TaskFacts): TaskStep {
  if (!isSaving) return hasDone ? 'save' : 'conclude';
  const { stop, graceSeconds, overSeconds, sendIdleSeconds } = facts;
  const isTooLong =
    stop === null ? sendIdleSeconds >= SEND_IDLE_SECONDS_MAX : overSeconds >= Math.max(SEND_SECONDS_MIN, graceSeconds);
  return isInContact && isTooLong ? 'give-up' : 'wait';
}

/** A command that saves at every moment does not put its own end off: what is whole then is kept once it is over. */
function stepOfStop({ canSave, graceSeconds, hasDone }: TaskFacts, stop: StopFacts): TaskStep {
  if (stop.seconds >= graceSeconds) return 'kill';
  const isToBeTold = !stop.wantsCheckpoint || !canSave || stop.isAnswered;
  if (isToBeTold && !stop.isTold) return 'tell';
  // It takes the place of an older one that is being sent: there will be no other.
  if (hasDone) return 'save';
  if (stop.isTold) return 'wait';
  if (!stop.isAsked) return 'ask';
  return stop.seconds >= graceSeconds - Math.min(END_SECONDS_MAX, graceSeconds / 4) ? 'tell' : 'wait';
}
