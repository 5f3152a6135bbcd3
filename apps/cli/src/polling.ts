// Looking again and again until something is so: says what is missing all the while, and gives up at a stated time.
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { ProblemError } from '#contracts';
import { wholeNumber } from './arguments.ts';
import { FailedError } from './errors.ts';
import { LiveLine } from './output/live-line.ts';
import { formatSeconds } from './output/units.ts';
import type { Terminal } from './terminal.ts';

export interface Waiting {
  readonly terminal: Terminal;
  readonly timeoutSeconds: number;
  /** Between two looks; default 500. */
  readonly intervalMs?: number;
}

/** What is missing is said at once when it changes; `detail` is what changes all the time (bytes, rates). */
export type Look<Found> = { readonly done: Found } | { readonly missing: string; readonly detail?: string };

const INTERVAL_MS = 500;

/** Throws FailedError with `failure`'s words at the time limit, and what `look` throws; a control plane may be away. */
export async function poll<Found>(
  failure: (missing: string, timeoutSeconds: number) => string,
  { terminal, timeoutSeconds, intervalMs = INTERVAL_MS }: Waiting,
  look: () => Promise<Look<Found>>,
): Promise<Found> {
  const line = new LiveLine(terminal);
  const startedMs = terminal.now().getTime();
  let missing = 'nothing is known yet';
  try {
    for (;;) {
      const seen = await look().catch(toleratingSilence);
      if ('done' in seen) return seen.done;
      ({ missing } = seen);
      const waitedMs = terminal.now().getTime() - startedMs;
      if (waitedMs >= timeoutSeconds * 1000) break;
      const text = seen.detail === undefined ? missing : `${missing}  ${seen.detail}`;
      line.update(`waiting ${formatSeconds(waitedMs / 1000)}: ${text}`, missing);
      await delay(intervalMs, undefined, { signal: terminal.signal });
    }
  } finally {
    line.end();
  }
  throw new FailedError(failure(missing, timeoutSeconds));
}

/** A control plane that restarts meanwhile is waited for like everything else. */
function toleratingSilence(error: unknown): { missing: string; detail?: string } {
  const isPassing = error instanceof ProblemError && (error.problem === null || error.problem.status >= 500);
  if (!isPassing) throw error;
  return { missing: error.message };
}

const TIMEOUT_SECONDS_MAX = 86_400;

/** `--timeout`, for all commands that wait. */
export function addTimeoutOption(command: Command, secondsDefault: number): Command {
  return command.option(
    '--timeout <seconds>',
    'how long to wait at most',
    wholeNumber(1, TIMEOUT_SECONDS_MAX),
    secondsDefault,
  );
}
