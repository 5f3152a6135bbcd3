// How a task ended, in words: from its exit and what it was told. Pure.
import type { DesiredTask } from '#domain';
import type { ExitRecord } from './runner/runner-contract.ts';
import type { TaskEnd } from './task-folder.ts';
import type { Sent } from './task-sender.ts';

export interface EndFacts {
  /** Null: its process vanished and left no exit code. */
  readonly exit: ExitRecord | null;
  readonly stop: Pick<NonNullable<DesiredTask['stop']>, 'reason'> | null;
  /** SIGTERM or SIGKILL was sent. */
  readonly isTold: boolean;
  /** It saved after it was asked to stop. */
  readonly isAnswered: boolean;
  /** Why it may not go on, whatever its exit code: `its mount base was found damaged`. */
  readonly fault: string | null;
  /** Progress of the newest checkpoint in the registry; null: none. */
  readonly saved: string | null;
  /** Why a newer checkpoint is not there. */
  readonly saveFault: string | undefined;
  readonly canSave: boolean;
  readonly lastLine: string;
}

/**
 * A command that ends by itself with 0, neither told to end nor after it saved for a stop, has finished its work: it is
 * not run again because a stop came at its last moment.
 */
export function endOf(facts: EndFacts): TaskEnd {
  const { exit, stop, isTold, isAnswered, fault } = facts;
  if (fault !== null) return { phase: 'Failed', reason: sentence(fault) };
  if (exit?.cause === 'silence') {
    return {
      phase: 'Stopped',
      reason: `It was ended here: the control plane was out of contact too long. ${savedWords(facts)}`.trim(),
    };
  }
  const isFinished = exit?.exitCode === 0 && !isTold && !isAnswered;
  if (isFinished) return { phase: 'Succeeded', reason: '', exitCode: 0 };
  if (stop !== null) {
    const reason = [sentence(stop.reason), savedWords(facts)].join(' ').trim();
    return { phase: 'Stopped', reason, ...(exit === null ? {} : { exitCode: exit.exitCode }) };
  }
  if (exit === null) {
    return {
      phase: 'Failed',
      reason: 'Its process is gone and left no exit code: it was killed from outside, or the machine restarted.',
    };
  }
  if (exit.cause === 'not-started') return { phase: 'Failed', reason: exit.reason, exitCode: exit.exitCode };
  if (exit.exitCode === 0) return { phase: 'Succeeded', reason: '', exitCode: 0 };
  return { phase: 'Failed', reason: failureWords(exit, facts.lastLine), exitCode: exit.exitCode };
}

/**
 * Of one that succeeded: what became of its output folder. Where it could not be sent no exit code is told: 0 is what a
 * command says that left nothing, and that is not tried again.
 */
export function outputEnd(end: TaskEnd, sent: Sent, isRequired: boolean): TaskEnd {
  if (sent.sent === 'nothing') {
    const { exitCode: _zero, ...rest } = end;
    return {
      ...rest,
      phase: 'Failed',
      reason: `Its command ended well, but its output could not be kept: ${sentence(sent.reason)}`,
    };
  }
  if (sent.files > 0) return { ...end, outputDigest: sent.digest };
  return isRequired
    ? { ...end, phase: 'Failed', reason: 'It ended without a file in ATOLL_OUTPUT_DIR, and its output is required.' }
    : end;
}

function failureWords({ exitCode, signal }: ExitRecord, lastLine: string): string {
  const how = signal === null ? `It ended with code ${exitCode}` : `It was ended by ${signal}`;
  const memory = signal === 'SIGKILL' ? ' (the machine may have run out of memory)' : '';
  return `${how}${memory}${lastLine === '' ? '.' : `; its last words: ${lastLine}`}`;
}

function savedWords({ saved, saveFault, canSave }: EndFacts): string {
  const fault = saveFault === undefined ? '' : ` (${saveFault})`;
  if (saved !== null) return `${saved === '' ? 'A checkpoint is saved' : `Saved: ${saved}`}${fault}.`;
  return canSave ? `It saved no checkpoint${fault}.` : '';
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
