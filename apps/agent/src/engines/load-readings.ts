// What one engine instance says of its load, read again and again beside its probes and never in their way: a reading that
// hangs or fails leaves the last one standing until that is too old to be believed (R8). What is missing is absent (E07).
//
// Also kept: how many requests of ours it had, so that what it says can be told from what we know better. An engine's
// numbers lag, so the most of the last two readings' time counts: what is then left over is somebody else's.
import type { EngineLoad } from './engine-adapter.ts';

const BELIEVED_MS = 3_000;

export class LoadReadings {
  readonly #read: () => Promise<EngineLoad | null>;
  #last: { readonly load: EngineLoad; readonly askedAtMs: number } | undefined;
  #isReading = false;
  #inflight = 0;
  /** Since the last reading, and between the one before and that. */
  #most = 0;
  #mostBefore = 0;

  constructor(read: () => Promise<EngineLoad | null>) {
    this.#read = read;
  }

  /** The most requests of ours that it had at once of late. */
  get inflightOfLate(): number {
    return Math.max(this.#most, this.#mostBefore);
  }

  noteInflight(count: number): void {
    this.#inflight = count;
    this.#most = Math.max(this.#most, count);
  }

  /** One reading at a time. `nowMs`: monotonic. Never throws, and waits for nothing. */
  poll(nowMs: number): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#read().then(
      (load) => this.#took(load, nowMs),
      () => this.#took(null, nowMs),
    );
  }

  /** Null: it says nothing, or said it too long ago. */
  at(nowMs: number): EngineLoad | null {
    if (this.#last === undefined || nowMs - this.#last.askedAtMs > BELIEVED_MS) return null;
    return this.#last.load;
  }

  #took(load: EngineLoad | null, askedAtMs: number): void {
    this.#isReading = false;
    if (load !== null) this.#last = { load, askedAtMs };
    this.#mostBefore = this.#most;
    this.#most = this.#inflight;
  }
}
