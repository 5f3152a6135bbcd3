// Following a job: to its end, or along what it writes, over all of its attempts.
import { setTimeout as delay } from 'node:timers/promises';
import { type AdminClient, type JobDto, type JobLogOptions } from '#contracts';
import { isFinal, type JobPhase } from '#domain';
import { FailedError, InterruptedError } from '../errors.ts';
import { poll, type Waiting } from '../polling.ts';
import type { Terminal } from '../terminal.ts';

const LOOK_MS = 500;

/** Resolves when it has ended, however. */
export function waitUntilEnded(client: AdminClient, name: string, waiting: Waiting): Promise<JobDto> {
  const late = (missing: string, seconds: number) =>
    `${name} has not ended after ${seconds} s: ${missing}\n  Look closer: atoll explain job ${name}`;
  return poll<JobDto>(late, waiting, async () => {
    const job = await client.job(name);
    if (isFinal(job.phase)) return { done: job };
    const { phase, reason, progress } = job;
    return progress === null ? { missing: `${phase}: ${reason}` } : { missing: phase, detail: progress };
  });
}

/** It is not being run, and may not be for long. */
const IDLE_PHASES: ReadonlySet<JobPhase> = new Set(['Waiting', 'Queued', 'Suspended']);

/**
 * Writes what the newest attempt wrote and, when it ends without the job having ended, what the next one writes. A log
 * that is not there yet is waited for, and so is an attempt: with a word about why, and another when that changes.
 *
 * @throws FailedError when the job ended without an attempt: there is no log and never will be
 */
export async function followLogs(
  client: AdminClient,
  name: string,
  options: Omit<JobLogOptions, 'signal'>,
  terminal: Terminal,
): Promise<void> {
  const { signal } = terminal;
  let number = options.attempt ?? (await client.job(name)).attempts;
  for (;;) {
    if (number > 0) {
      const pieces = client.followJobLog(name, { ...options, attempt: number, follow: true, signal });
      for await (const piece of pieces) terminal.out(piece);
    }
    const next = options.attempt === undefined ? await nextAttempt(client, name, number, terminal) : null;
    if (next === null) return;
    if (number > 0) terminal.err(`attempt ${next} of ${name}:\n`);
    number = next;
  }
}

/** Null once the job has ended and no further attempt has begun. */
async function nextAttempt(
  client: AdminClient,
  name: string,
  number: number,
  terminal: Terminal,
): Promise<number | null> {
  const begins = number === 0 ? 'has not begun' : 'has not begun again';
  let said = '';
  for (;;) {
    const { attempts, phase, reason } = await client.job(name);
    if (attempts > number) return number + 1;
    if (isFinal(phase)) {
      if (number > 0) return null;
      throw new FailedError(`${name} ended without having begun, so it has no log. It is ${phase}: ${reason}`);
    }
    const waits = `${name} ${begins}. It is ${phase}: ${reason}\n`;
    if (IDLE_PHASES.has(phase) && waits !== said) terminal.err(waits);
    said = waits;
    await delay(LOOK_MS, undefined, { signal: terminal.signal }).catch(() => {
      throw new InterruptedError(`${name} goes on.`);
    });
  }
}
