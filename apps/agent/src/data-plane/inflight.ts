// Requests that are being answered, and waiting for their end.
export class Inflight {
  #count = 0;
  #waiting: (() => void)[] = [];

  get count(): number {
    return this.#count;
  }

  began(): void {
    this.#count += 1;
  }

  ended(): void {
    this.#count -= 1;
    if (this.#count === 0) for (const resume of this.#waiting.splice(0)) resume();
  }

  /** Resolves when there are none, after `ms` at the latest. */
  async drained(ms: number): Promise<void> {
    if (this.#count === 0 || ms <= 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const bound = setTimeout(resolve, ms);
    this.#waiting.push(resolve);
    await promise;
    clearTimeout(bound);
  }
}
