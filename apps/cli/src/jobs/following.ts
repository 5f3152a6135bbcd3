// Following a job: to its end, or along what it writes, over all of its attempts.
import { setTimeout as delay } from 'node:timers/promises';
import { type AdminClient, type JobDto, type JobLogOptions } from '#contracts';
import { isFinal } from '#domain';
import { InterruptedError } from '../errors.ts';
import { poll, type Waiting } from '../polling.ts';
import type { Terminal } from '../terminal.ts';

const LOOK_MS = 1_000;

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

/**
 * Writes what the newest attempt wrote and, when it ends without the job having ended, what the next one writes. A log
 * that is not there yet is waited for.
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
  { signal }: Terminal,
): Promise<number | null> {
  for (;;) {
    const job = await client.job(name);
    if (job.attempts > number) return number + 1;
    if (isFinal(job.phase)) return null;
    await delay(LOOK_MS, undefined, { signal }).catch(() => {
      throw new InterruptedError(`${name} goes on.`);
    });
  }
}
