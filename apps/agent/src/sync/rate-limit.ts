// How fast all transfers of this agent together may take bytes. The bucket is pure: the caller tells the monotonic time.
//
// A piece is charged after it came, for nobody knows its size before; the bucket may then be in debt, and who asks next
// waits until it is paid. So the average keeps to the rate over any second, whatever the size of the pieces.
import { setTimeout as delay } from 'node:timers/promises';

/** What may be saved up while nothing flows, in seconds of the rate. */
const BURST_SECONDS = 0.25;
/** A wait is looked at again this often, for the rate may have been raised meanwhile. */
const WAIT_SLICE_MS = 1_000;

/** Times are monotonic milliseconds that never go back. */
export class TokenBucket {
  #bytesPerSecond: number | null = null;
  #tokens = 0;
  #atMs = 0;

  /** Null: unlimited. A new rate neither forgives debt nor keeps what a higher one had saved. */
  limit(bytesPerSecond: number | null, nowMs: number): void {
    this.#refill(nowMs);
    this.#bytesPerSecond = bytesPerSecond;
    this.#tokens = bytesPerSecond === null ? 0 : Math.min(this.#tokens, bytesPerSecond * BURST_SECONDS);
  }

  charge(bytes: number, nowMs: number): void {
    this.#refill(nowMs);
    if (this.#bytesPerSecond !== null) this.#tokens -= bytes;
  }

  /** Milliseconds until the next piece may be taken; 0: now. */
  waitMs(nowMs: number): number {
    this.#refill(nowMs);
    if (this.#bytesPerSecond === null || this.#tokens >= 0) return 0;
    return (-this.#tokens / this.#bytesPerSecond) * 1000;
  }

  #refill(nowMs: number): void {
    const rate = this.#bytesPerSecond;
    if (rate !== null) {
      const gained = (Math.max(0, nowMs - this.#atMs) / 1000) * rate;
      this.#tokens = Math.min(rate * BURST_SECONDS, this.#tokens + gained);
    }
    this.#atMs = Math.max(this.#atMs, nowMs);
  }
}

/** Charges what came and waits as long as the bucket says. Rejects with the signal's reason. */
export async function pace(bucket: TokenBucket, bytes: number, signal: AbortSignal): Promise<void> {
  bucket.charge(bytes, performance.now());
  for (;;) {
    const waitMs = bucket.waitMs(performance.now());
    if (waitMs <= 0) return;
    await delay(Math.min(Math.ceil(waitMs), WAIT_SLICE_MS), undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
