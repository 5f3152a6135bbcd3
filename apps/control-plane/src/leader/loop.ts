/**
 * One bounded loop of the leader: runs when woken and at least every `intervalMs`, never twice at once, with growing
 * waits after failures, and ends promptly when its signal does.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { StaleEpochError } from '#domain';

export interface LoopOptions {
  /** For logs. */
  readonly name: string;
  /** Longest wait between two runs, ms. */
  readonly intervalMs: number;
  /** Shortest wait between the end of a run and the next, ms: coalesces what wakes it meanwhile. Default 0. */
  readonly restMs?: number;
  /** Subscribes to what wakes the loop; returns how to stop. */
  readonly wakes?: readonly ((wake: () => void) => () => void)[];
  readonly run: () => Promise<void>;
  /** Must not throw. */
  readonly onError: (name: string, error: unknown) => void;
}

const RETRY_MS = 200;
const RETRY_MS_MAX = 10_000;

/** Resolves when `signal` aborts and the run in hand is over. Never rejects. A lost leadership ends it too. */
export async function runLoop(options: LoopOptions, signal: AbortSignal): Promise<void> {
  const bell = new Bell();
  const unsubscribes = (options.wakes ?? []).map((subscribe) => subscribe(() => bell.ring()));
  let failures = 0;
  try {
    while (!signal.aborted) {
      bell.reset();
      try {
        await options.run();
        failures = 0;
      } catch (error) {
        if (signal.aborted || error instanceof StaleEpochError) return;
        failures += 1;
        options.onError(options.name, error);
        await pause(Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.min(failures - 1, 6)), signal);
        continue;
      }
      if (options.restMs !== undefined) await pause(options.restMs, signal);
      await bell.wait(options.intervalMs, signal);
    }
  } finally {
    for (const unsubscribe of unsubscribes) unsubscribe();
  }
}

async function pause(waitMs: number, signal: AbortSignal): Promise<void> {
  await delay(waitMs, undefined, { signal }).catch(() => undefined);
}

/** Remembers that it rang while nobody waited. */
class Bell {
  private rang = false;
  private wakeUp: (() => void) | null = null;

  ring(): void {
    this.rang = true;
    this.wakeUp?.();
  }

  reset(): void {
    this.rang = false;
  }

  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.rang || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.wakeUp = null;
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      signal.addEventListener('abort', done, { once: true });
      this.wakeUp = done;
    });
  }
}
