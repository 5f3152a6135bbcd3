import { setTimeout as delay } from 'node:timers/promises';

export interface EventuallyOptions {
  /** Default 30,000: a machine that is busy with other specs is slow. */
  timeoutMs?: number;
  /** Between two tries; default 20. */
  intervalMs?: number;
}

/**
 * Tries until `attempt` no longer throws and returns what it returned. At the time limit throws what it threw last,
 * so the failure shows the assertion, not a timeout.
 */
export async function eventually<T>(attempt: () => T | Promise<T>, options: EventuallyOptions = {}): Promise<T> {
  const { timeoutMs = 30_000, intervalMs = 20 } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() + intervalMs > deadline) throw error;
    }
    await delay(intervalMs);
  }
}
