/** Work on one thing at a time, by its key; work on different things runs side by side. */
export class OneAtATime {
  readonly #inHand = new Map<string, Promise<unknown>>();

  /** Runs `work` once nobody else is at the same key, whatever became of theirs. Rejects as it does, or with the signal's reason. */
  async run<Result>(key: string, signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    for (let other = this.#inHand.get(key); other !== undefined; other = this.#inHand.get(key)) {
      const ended = other.then(
        () => undefined,
        () => undefined,
      );
      await orAborted(signal, ended);
    }
    const mine = work();
    this.#inHand.set(key, mine);
    try {
      return await mine;
    } finally {
      this.#inHand.delete(key);
    }
  }
}

/** Waits for `work` no longer than the signal allows; then rejects with its reason, and the work goes on unheard. */
export async function orAborted<Result>(signal: AbortSignal, work: Promise<Result>): Promise<Result> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
