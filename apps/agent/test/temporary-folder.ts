import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface TemporaryFolder {
  readonly path: string;
  remove(): Promise<void>;
}

export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'atoll-agent-')));
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}

/** Awaits a condition; what it gives is handed back. Throws after `timeoutMs`, naming `what`. */
export async function until<T>(
  look: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  what: string | (() => string),
  timeoutMs = 30_000,
): Promise<T> {
  for (const untilMs = performance.now() + timeoutMs; performance.now() < untilMs; ) {
    const seen = await look();
    if (seen !== undefined && seen !== null && seen !== false) return seen;
    await delay(20);
  }
  throw new Error(`Waited ${timeoutMs} ms in vain until ${typeof what === 'string' ? what : what()}.`);
}
