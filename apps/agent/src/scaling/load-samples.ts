// What the agent measured of a deployment's load, as the series that scaling looks at. Pure bookkeeping; times are
// monotonic milliseconds.
//
// Utilisation is requests in flight for each ready replica, over `targetInflight`: 1 is what is aimed at, and more than 1
// says how many more are needed. Each sample is the mean of a window, so that a moment's burst is not load.
import type { ScalingSample } from '#scheduling';

const SAMPLE_MS = 5_000;
const SAMPLES_KEPT = 360;
const FIRST_TOKENS_KEPT = 1_000;

export class LoadSamples {
  readonly #windowMs: number;
  #looks: { readonly atMs: number; readonly inflight: number }[] = [];
  #firstTokensMs: number[] = [];
  #sinceMs: number | undefined;
  #samples: ScalingSample[] = [];

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Oldest first. */
  get samples(): readonly ScalingSample[] {
    return this.#samples;
  }

  firstToken(ms: number): void {
    if (this.#firstTokensMs.length < FIRST_TOKENS_KEPT) this.#firstTokensMs.push(ms);
  }

  /** About once a second; the first sample is of a whole window. Without a ready replica there is nothing that utilisation could be of. */
  look(atMs: number, inflight: number, readyReplicas: number, targetInflight: number): void {
    this.#looks = [...this.#looks.filter((each) => each.atMs > atMs - this.#windowMs), { atMs, inflight }];
    this.#sinceMs ??= atMs;
    if (atMs - this.#sinceMs < this.#windowMs) return;
    const newest = this.#samples.at(-1);
    if (newest !== undefined && atMs - newest.atMs < Math.min(SAMPLE_MS, this.#windowMs)) return;
    const mean = this.#looks.reduce((sum, each) => sum + each.inflight, 0) / this.#looks.length;
    const sample: ScalingSample = {
      atMs,
      readyReplicas,
      p99Ms: percentile99(this.#firstTokensMs),
      utilisation: readyReplicas === 0 ? null : mean / (readyReplicas * targetInflight),
      queueLength: null,
      requestsPerSecond: null,
    };
    this.#samples = [...this.#samples, sample].slice(-SAMPLES_KEPT);
    this.#firstTokensMs = [];
  }
}

function percentile99(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.ceil(sorted.length * 0.99) - 1]!;
}
