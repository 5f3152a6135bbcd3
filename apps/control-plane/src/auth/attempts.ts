// A bound on attempts per source address: a token bucket each, refilled evenly, in a bounded map.

const SOURCES_MAX = 10_000;

export class AttemptBound {
  /** Source → tokens left and when they were counted. Insertion order is age. */
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(
    private readonly perMinute: number,
    private readonly now: () => number = performance.now.bind(performance),
  ) {}

  /** Whether the source has attempts left. */
  allows(source: string): boolean {
    return this.#tokens(source) >= 1;
  }

  /** Counts one attempt. At the bound of sources the one that was quiet longest is forgotten. */
  count(source: string): void {
    const tokens = this.#tokens(source);
    this.#buckets.delete(source);
    this.#buckets.set(source, { tokens: Math.max(0, tokens - 1), atMs: this.now() });
    if (this.#buckets.size > SOURCES_MAX) this.#buckets.delete(this.#buckets.keys().next().value!);
  }

  /** Whole seconds until the source has an attempt again, at least 1. */
  retryAfterSeconds(source: string): number {
    return Math.max(1, Math.ceil(((1 - this.#tokens(source)) * 60) / this.perMinute));
  }

  #tokens(source: string): number {
    const bucket = this.#buckets.get(source);
    if (bucket === undefined) return this.perMinute;
    return Math.min(this.perMinute, bucket.tokens + ((this.now() - bucket.atMs) * this.perMinute) / 60_000);
  }
}
