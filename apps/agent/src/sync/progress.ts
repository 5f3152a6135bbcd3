// How far one fetch is: what the report shows of it. Pure; monotonic time is an argument.
import type { SyncProgress } from '#domain';

/** The rate is over this long. */
const RATE_MS = 5_000;
const SAMPLE_MS = 250;

export class ProgressMeter {
  #path = 'waiting';
  #source = '';
  #have = 0;
  #total = 0;
  #arrived = 0;
  /** What had arrived when; the oldest is at most a little older than RATE_MS. */
  #samples: { readonly atMs: number; readonly arrived: number }[] = [];

  /** A way was chosen: `have` of its `total` wire bytes are here already. */
  begin(path: string, have: number, total: number): void {
    [this.#path, this.#have, this.#total] = [path, have, total];
  }

  from(source: string): void {
    this.#source = source;
  }

  /** Bytes came; negative: what was here proved worthless. */
  add(bytes: number, nowMs: number): void {
    this.#have += bytes;
    if (bytes <= 0) return;
    const last = this.#samples.at(-1);
    if (last === undefined || nowMs - last.atMs >= SAMPLE_MS) {
      this.#samples.push({ atMs: nowMs, arrived: this.#arrived });
      while (this.#samples.length > 2 && this.#samples[1]!.atMs <= nowMs - RATE_MS) this.#samples.shift();
    }
    this.#arrived += bytes;
  }

  /** Wire bytes that came, whatever became of them. */
  get arrived(): number {
    return this.#arrived;
  }

  show(nowMs: number): SyncProgress {
    const have = Math.max(0, Math.min(this.#have, this.#total));
    const bytesPerSecond = Math.round(this.#rate(nowMs));
    return {
      path: this.#path,
      source: this.#source,
      wireBytesHave: have,
      wireBytesTotal: this.#total,
      bytesPerSecond,
      etaSeconds: bytesPerSecond > 0 ? Math.ceil((this.#total - have) / bytesPerSecond) : null,
    };
  }

  /** Over the last seconds, silence included; 0 when nothing came in them. */
  #rate(nowMs: number): number {
    const from = this.#samples.find(({ atMs }) => atMs >= nowMs - RATE_MS);
    if (from === undefined) return 0;
    const ms = Math.max(SAMPLE_MS, nowMs - from.atMs);
    return (this.#arrived - from.arrived) / (ms / 1000);
  }
}
