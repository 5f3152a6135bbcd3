// Bounded concurrency for one subscription. At most `concurrencyMax` messages are in hand and `pendingMax` wait.
// At the bound an event pushes out the oldest waiting one (state is level-triggered: the newest is worth more),
// and a request is refused (its caller is told at once, and retries).

export type IntakePolicy = 'drop-oldest' | 'refuse-newest';

export interface IntakeOptions<Item> {
  concurrencyMax: number;
  pendingMax: number;
  atBound: IntakePolicy;
  /** Must not reject; a rejection would be a programming error and is rethrown as unhandled. */
  run: (item: Item) => Promise<void>;
  onShed: (item: Item) => void;
}

export class Intake<Item> {
  readonly #options: IntakeOptions<Item>;
  readonly #waiting: Item[] = [];
  #running = 0;
  #idle: (() => void)[] = [];

  constructor(options: IntakeOptions<Item>) {
    this.#options = options;
  }

  push(item: Item): void {
    const { atBound, onShed, pendingMax, concurrencyMax } = this.#options;
    if (this.#running < concurrencyMax) {
      this.#start(item);
      return;
    }
    if (this.#waiting.length >= pendingMax) {
      if (atBound === 'refuse-newest') {
        onShed(item);
        return;
      }
      const oldest = this.#waiting.shift();
      if (oldest !== undefined) onShed(oldest);
    }
    this.#waiting.push(item);
  }

  /** Resolves once nothing runs or waits. */
  whenIdle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #start(item: Item): void {
    this.#running += 1;
    void this.#options.run(item).finally(() => this.#next());
  }

  #next(): void {
    this.#running -= 1;
    const item = this.#waiting.shift();
    if (item !== undefined) {
      this.#start(item);
      return;
    }
    if (this.#running > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
