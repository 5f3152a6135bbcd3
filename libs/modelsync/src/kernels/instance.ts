/**
 * The WebAssembly module that runs the inner loops of *coded* and *predicted*, and its memory.
 *
 * The source is AssemblyScript in assembly/; generate.mjs compiles it into module.generated.ts (base64), so importing
 * this file is all that is needed, from sources and from the build. Each JavaScript thread that imports it has one
 * instance. A block's regions are laid out anew for each call and nothing is kept between calls, so memory is bounded by
 * the largest block so far ({@link BLOCK_BYTES_MAX}): to encode 8 bytes a byte of bf16 and 13 a byte of int8, to decode
 * 2 to 4.
 *
 * Results are the same bits on every machine: integer arithmetic, and IEEE single-precision multiplications and
 * additions in a fixed order (WebAssembly has no fused multiply-add outside its relaxed instructions).
 */
import { InvalidOptionError } from '../errors.ts';
import { moduleBase64 } from './module.generated.ts';

/** Bytes that one call takes at most; the container's blocks are 1 to 4 MiB. */
export const BLOCK_BYTES_MAX = 16 * 2 ** 20;

export interface KernelExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  prepare(base: number, next: number, contexts: number, differences: number, count: number, ...shape: Shape): void;
  apply(base: number, differences: number, out: number, count: number, width: number, mask: number): void;
  lookUpChunks(
    base: number,
    maps: number,
    stride: number,
    classes: number,
    first: number,
    out: number,
    count: number,
    ...shape: Shape
  ): void;
  activityTotals(contexts: number, differences: number, totals: number, count: number): void;
  activityDeviations(contexts: number, differences: number, means: number, out: number, count: number): void;
  histogram(
    contexts: number,
    differences: number,
    classes: number,
    compact: number,
    stride: number,
    out: number,
    count: number,
  ): void;
  assign(
    contexts: number,
    classes: number,
    map: number,
    stride: number,
    first: number,
    out: number,
    count: number,
  ): void;
  lowRank(
    left: number,
    right: number,
    rank: number,
    columns: number,
    column: number,
    count: number,
    sums: number,
  ): void;
  predictFloats(
    base: number,
    sums: number,
    words: number,
    contexts: number,
    flips: number,
    count: number,
    width: number,
    mask: number,
  ): void;
  predictQuants(
    scales: number,
    nextScales: number,
    quants: number,
    words: number,
    contexts: number,
    flips: number,
    blocks: number,
  ): void;
  splitQuantised(blocks: number, scales: number, quants: number, count: number): void;
  joinQuantised(blocks: number, scales: number, quants: number, count: number): void;
  residuals(
    next: number,
    words: number,
    flips: number,
    differences: number,
    count: number,
    width: number,
    mask: number,
  ): void;
  restore(
    words: number,
    flips: number,
    differences: number,
    out: number,
    count: number,
    width: number,
    mask: number,
  ): void;
  groupCounts(base: number, counts: number, count: number, ...shape: Shape): void;
  groupScatter(base: number, next: number, places: number, planes: number, count: number, ...shape: Shape): void;
  groupGather(base: number, out: number, places: number, planes: number, count: number, ...shape: Shape): void;
  deltas(base: number, next: number, out: number, count: number, width: number, mask: number): void;
  timesThin(row: number, columns: number, matrix: number, thin: number, out: number): void;
  addOuter(row: number, columns: number, thinRow: number, thin: number, out: number): void;
  encoderStart(wordsEnd: number, bitsEnd: number): void;
  encodeTokens(
    clusters: number,
    differences: number,
    frequencies: number,
    gaps: number,
    histograms: number,
    count: number,
  ): void;
  encoderFinish(): void;
  wordsAddress(): number;
  /** Address × 8 + bit. */
  bitsAddress(): number;
  expandTable(frequencies: number, table: number): void;
  decoderStart(words: number, firstBit: number): void;
  decodeTokens(
    clusters: number,
    differences: number,
    tables: number,
    gaps: number,
    values: number,
    count: number,
  ): number;
  decoderSettled(): number;
}

/** Width in bytes, shift and mask of the exponent (mask 0: integers). */
export type Shape = readonly [width: number, shift: number, mask: number];

const MEMORY_START = 4096;
const PAGE_BYTES = 65536;

export const kernels = instantiate(Buffer.from(moduleBase64, 'base64'));

/** Regions of the memory for one call: `take` all of them, then look at them; a later `take` makes views stale. */
export class Arena {
  private end = MEMORY_START;

  /** Address of `bytes` bytes, aligned to 16, with what an earlier call left in them. */
  take(bytes: number): number {
    const address = this.end;
    this.end += Math.ceil(bytes / 16) * 16;
    const missing = this.end - kernels.memory.buffer.byteLength;
    if (missing > 0) kernels.memory.grow(Math.ceil(missing / PAGE_BYTES));
    return address;
  }

  /** The same, all zero. */
  takeZeroed(bytes: number): number {
    const address = this.take(bytes);
    new Uint8Array(kernels.memory.buffer, address, bytes).fill(0);
    return address;
  }

  takeCopy(bytes: Uint8Array): number {
    const address = this.take(bytes.length);
    new Uint8Array(kernels.memory.buffer).set(bytes, address);
    return address;
  }
}

export const bytesAt = (address: number, length: number) => new Uint8Array(kernels.memory.buffer, address, length);
export const halvesAt = (address: number, length: number) => new Uint16Array(kernels.memory.buffer, address, length);
export const wordsAt = (address: number, length: number) => new Uint32Array(kernels.memory.buffer, address, length);
export const integersAt = (address: number, length: number) => new Int32Array(kernels.memory.buffer, address, length);
export const floatsAt = (address: number, length: number) => new Float32Array(kernels.memory.buffer, address, length);

/** Throws InvalidOptionError for blocks that are larger than one call takes. */
export function checkBlockBytes(bytes: number): void {
  if (bytes > BLOCK_BYTES_MAX) throw new InvalidOptionError('block', `${bytes} bytes are more than ${BLOCK_BYTES_MAX}`);
}

/** The standard library's types have WebAssembly only among the browser's. */
function instantiate(binary: Uint8Array): KernelExports {
  const { WebAssembly } = globalThis as unknown as {
    readonly WebAssembly: {
      readonly Module: new (binary: Uint8Array) => object;
      readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
    };
  };
  return new WebAssembly.Instance(new WebAssembly.Module(binary), {}).exports as KernelExports;
}
