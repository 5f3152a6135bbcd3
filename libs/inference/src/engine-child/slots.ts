// Bounded concurrency with a bounded queue, first come first served.

export type SlotResult =
  | { readonly kind: 'slot'; readonly release: () => void }
  /** The queue is full. */
  | { readonly kind: 'overloaded' }
  /** The signal fired while waiting. */
  | { readonly kind: 'aborted' };

interface Waiter {
  readonly start: () => void;
}

/** `runningMax` hold a slot, `queuedMax` wait for one, all others are refused at once. */
export class Slots {
  running = 0;
  readonly #queue: Waiter[] = [];

  constructor(
    readonly runningMax: number,
    readonly queuedMax: number,
  ) {}

  get queued(): number {
    return this.#queue.length;
  }

  acquire(signal: AbortSignal): Promise<SlotResult> {
    if (signal.aborted) return Promise.resolve({ kind: 'aborted' });
    if (this.running < this.runningMax) return Promise.resolve(this.#take());
    if (this.#queue.length >= this.queuedMax) return Promise.resolve({ kind: 'overloaded' });
    return new Promise((resolve) => {
      const onAbort = (): void => {
        this.#queue.splice(this.#queue.indexOf(waiter), 1);
        resolve({ kind: 'aborted' });
      };
      const waiter: Waiter = {
        start: () => {
          signal.removeEventListener('abort', onAbort);
          resolve(this.#take());
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#queue.push(waiter);
    });
  }

  #take(): SlotResult {
    this.running += 1;
    let isReleased = false;
    return {
      kind: 'slot',
      release: () => {
        if (isReleased) return;
        isReleased = true;
        this.running -= 1;
        this.#queue.shift()?.start();
      },
    };
  }
}
