// What this agent measured of its own transfers, for the plans of the control plane. Kept over restarts.
//
// A sample is at least 1 MB or 1 s of work, small pieces added up until then, so that a short answer says nothing by
// itself; samples are averaged with a weight of 0.3 for the newest. What comes before the first piece (waiting for a turn,
// threads that start, an answer on its way) is not measured: it is no speed, and after one such sample for a way that then
// looks too slow to be taken there would never be another.
import { z } from 'zod';
import type { SyncMeasures } from '#domain';
import { freeBytesOf } from './disk-space.ts';

const SAMPLE_BYTES = 1_000_000;
const SAMPLE_MS = 1_000;
/** Making less than this is mostly syncing the disk, which says nothing of a large file. */
const APPLIED_BYTES_MIN = 4_000_000;
const NEWEST_WEIGHT = 0.3;
const DISK_AGE_MS = 10_000;
const PROFILES_MAX = 16;

export const measuresSchema = z.object({
  registryBytesPerSecond: z.number().positive().optional(),
  neighbourBytesPerSecond: z.number().positive().optional(),
  applyBytesPerSecond: z.record(z.string().max(32), z.number().positive()),
});
type Stored = z.output<typeof measuresSchema>;

/** A speed from pieces of work. Pure. */
export class SpeedMeasure {
  #bytesPerSecond: number | undefined;
  #bytes = 0;
  #ms = 0;

  constructor(bytesPerSecond?: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Undefined: never measured. */
  get bytesPerSecond(): number | undefined {
    return this.#bytesPerSecond;
  }

  add(bytes: number, ms: number): void {
    this.#bytes += bytes;
    this.#ms += ms;
    const isSample = this.#bytes >= SAMPLE_BYTES || this.#ms >= SAMPLE_MS;
    if (!isSample || this.#bytes <= 0 || this.#ms <= 0) return;
    const sample = this.#bytes / (this.#ms / 1000);
    const before = this.#bytesPerSecond ?? sample;
    this.#bytesPerSecond = before + NEWEST_WEIGHT * (sample - before);
    [this.#bytes, this.#ms] = [0, 0];
  }
}

/** What is made in pieces, timed from its first piece on; pieces tell how far it is. Pure: monotonic times are arguments. */
export class PieceTimer {
  #first: { readonly bytes: number; readonly atMs: number } | undefined;

  /** So much is there at `nowMs`. */
  reached(bytes: number, nowMs: number): void {
    this.#first ??= { bytes, atMs: nowMs };
  }

  /** What came after the first piece, and in which time; null when there was no more than one. */
  ended(bytes: number, nowMs: number): { readonly bytes: number; readonly ms: number } | null {
    if (this.#first === undefined || bytes <= this.#first.bytes) return null;
    return { bytes: bytes - this.#first.bytes, ms: nowMs - this.#first.atMs };
  }
}

export interface MeasuresOptions {
  readonly document?: { read(): Promise<Stored | null>; write(value: Stored): Promise<void> };
  /** Whose disk is told. */
  readonly folder: string;
  /** Free bytes of the disk that holds a path. Default: what the filesystem says. */
  readonly freeBytes?: ((path: string) => Promise<number>) | undefined;
}

export class Measures {
  readonly #options: MeasuresOptions;
  #transfer = { registry: new SpeedMeasure(), neighbour: new SpeedMeasure() };
  readonly #apply = new Map<string, SpeedMeasure>();
  #diskFreeBytes = 0;
  #diskAtMs = Number.NEGATIVE_INFINITY;
  #stored = '';

  constructor(options: MeasuresOptions) {
    this.#options = options;
  }

  /** Takes up what an earlier start had measured. */
  async open(): Promise<void> {
    const stored = await this.#options.document?.read();
    await this.refreshDisk().catch(() => undefined);
    if (!stored) return;
    this.#transfer = {
      registry: new SpeedMeasure(stored.registryBytesPerSecond),
      neighbour: new SpeedMeasure(stored.neighbourBytesPerSecond),
    };
    for (const [profile, speed] of Object.entries(stored.applyBytesPerSecond)) {
      this.#apply.set(profile, new SpeedMeasure(speed));
    }
    this.#stored = JSON.stringify(this.#values());
  }

  transferred(from: 'registry' | 'neighbour', bytes: number, ms: number): void {
    this.#transfer[from].add(bytes, ms);
  }

  /** `bytes` of result were made; fewer than 4 MB at once count for nothing. */
  applied(profile: string, bytes: number, ms: number): void {
    if (bytes < APPLIED_BYTES_MIN) return;
    const measure = this.#apply.get(profile) ?? new SpeedMeasure();
    if (this.#apply.size < PROFILES_MAX) this.#apply.set(profile, measure);
    measure.add(bytes, ms);
  }

  /** For reports and questions. The free disk in it may be some seconds old; asking makes it newer. */
  current(): SyncMeasures {
    if (performance.now() - this.#diskAtMs > DISK_AGE_MS) void this.refreshDisk().catch(() => undefined);
    return { ...this.#values(), diskFreeBytes: this.#diskFreeBytes };
  }

  /** Free bytes of the disk, now. */
  async refreshDisk(): Promise<number> {
    const { folder, freeBytes = freeBytesOf } = this.#options;
    this.#diskAtMs = performance.now();
    const free = Math.max(0, Math.floor(await freeBytes(folder)));
    this.#diskFreeBytes = Math.min(free, Number.MAX_SAFE_INTEGER);
    return free;
  }

  /** Writes them down when they have changed. */
  async store(): Promise<void> {
    const values = this.#values();
    const text = JSON.stringify(values);
    if (text === this.#stored) return;
    this.#stored = text;
    await this.#options.document?.write(values);
  }

  #values(): Stored {
    const { registry, neighbour } = this.#transfer;
    const apply = [...this.#apply].filter(([, { bytesPerSecond }]) => bytesPerSecond !== undefined);
    return {
      ...(registry.bytesPerSecond === undefined ? {} : { registryBytesPerSecond: registry.bytesPerSecond }),
      ...(neighbour.bytesPerSecond === undefined ? {} : { neighbourBytesPerSecond: neighbour.bytesPerSecond }),
      applyBytesPerSecond: Object.fromEntries(apply.map(([profile, { bytesPerSecond }]) => [profile, bytesPerSecond!])),
    };
  }
}
