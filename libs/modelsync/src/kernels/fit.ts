/**
 * Finds the low-rank model that makes a tensor's update cheapest: decompose.ts gives the components; ranks ×
 * coarsenesses are tried on a sample of rows with the coder's own cost model, and the cheapest wins, or none. Done by the
 * publisher only; same input and seed, same bytes.
 *
 * Quantisation: with component k split evenly (‖left‖² = ‖right‖² = its singular value s), total noise is least for a
 * given size when the step of every factor is √(λ / s): one λ, tried at several values.
 */
import type { ElementType } from '../elements.ts';
import { decompose, type Tensor, type Update } from './decompose.ts';
import { shapeOf } from './element-blocks.ts';
import { estimateBlockBits } from './encoder.ts';
import { FACTOR_BITS_MAX, type PredictionModel, RANK_MAX, scaledRight, writePrediction } from './factors.ts';
import { Arena, type Shape } from './instance.ts';
import { preparePredicted, supportsPredicted } from './predicted.ts';

export interface FitOptions {
  /** Components at most, 1 to 64. */
  readonly rankMax: number;
  /** Start of the random numbers, a whole number. */
  readonly seed: number;
}

const ELEMENTS_MIN = 4096;
const SIDE_MIN = 16;
const SAMPLE_ELEMENTS = 2 ** 17;
const RANKS = [1, 2, 4, 8, 16, 32, 64];
/** Noise of quantised factors against what is left over without it. */
const NOISE_SHARES = [1 / 1024, 1 / 512, 1 / 256, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2];
/** A model must save this share. */
const SAVING_MIN = 0.01;

/**
 * Fits a model of `next − base` for a matrix of `rows` × `columns` elements (whole tensors, same length). Returns null
 * where none pays, and for types and shapes that are not predicted.
 */
export function fitPrediction(
  base: Uint8Array,
  next: Uint8Array,
  rows: number,
  columns: number,
  type: ElementType,
  { rankMax, seed }: FitOptions,
): PredictionModel | null {
  const isSmall = Math.min(rows, columns) < SIDE_MIN || rows * columns < ELEMENTS_MIN;
  const isWhole = rows * columns * type.bytes === next.length && base.length === next.length;
  if (isSmall || !isWhole || !supportsPredicted(type) || Buffer.compare(base, next) === 0) return null;
  const tensor = { base, next, rows, columns, shape: shapeOf(type) };
  const sample = sampleOf(tensor);
  const bitsWithout = bitsOfSample(sample, tensor, nothing);
  const rankLimit = Math.min(rankMax, RANK_MAX, Math.floor(Math.min(rows, columns) / 2));
  if (rankLimit < 1) return null;
  const update = decompose(tensor, rankLimit, seed);

  const best = cheapestFactors(update, sample, rankLimit, bitsWithout * (1 - SAVING_MIN));
  return best && writePrediction(rows, columns, best.exponents, best.left, best.right);
}

/**
 * The factors that cost least, below `bitsMax`; null where none do. Over the ranks (powers of two) and, for each, over
 * the noise shares, costs have one valley: from a place in the middle it goes downhill.
 */
function cheapestFactors(update: Update, sample: Sample, rankLimit: number, bitsMax: number): Factors | null {
  let best: Factors | null = null;
  let bestBits = bitsMax;
  let share = NOISE_SHARES.length >> 1;
  const costOf = (rank: number, shareIndex: number) => {
    const factors = quantise(update, rank, NOISE_SHARES[shareIndex]!, sample.unitSquare);
    // Factors that are dearer than the best whole: no need to look at what they leave over.
    const bits = factors.bits + (factors.bits < bestBits ? bitsOfSample(sample, update, factors) : 0);
    if (bits < bestBits) {
      best = factors;
      bestBits = bits;
    }
    return bits;
  };
  const ranks = RANKS.filter((rank) => rank <= rankLimit);
  lowest(ranks.length, ranks.length >> 1, (rankIndex) => {
    const found = lowest(NOISE_SHARES.length, share, (index) => costOf(ranks[rankIndex]!, index));
    share = found.index;
    return found.cost;
  });
  return best;
}

/** Walks downhill from `start` over 0 … count − 1. */
function lowest(count: number, start: number, costOf: (index: number) => number): { index: number; cost: number } {
  let [index, cost] = [start, costOf(start)];
  for (const step of [-1, 1]) {
    let moved = false;
    while (index + step >= 0 && index + step < count) {
      const next = costOf(index + step);
      if (next >= cost) break;
      [index, cost, moved] = [index + step, next, true];
    }
    if (moved) break;
  }
  return { index, cost };
}

interface Factors {
  readonly exponents: number[];
  readonly left: Int16Array;
  readonly right: Int16Array;
  /** Estimated size. */
  readonly bits: number;
}

/** Whole-number factors of the first `rank` components. `unitSquare`: mean square of the elements' rounding error. */
function quantise(update: Update, rank: number, share: number, unitSquare: number): Factors {
  const { rows, columns, values } = update;
  const explained = values.slice(0, rank).reduce((sum, value) => sum + value * value, 0);
  const leftOver = Math.max(0, update.squares - explained) / (rows * columns) + unitSquare;
  const lambda = (12 * share * leftOver) / (rank * (1 / rows + 1 / columns));
  const left = new Int16Array(rows * rank);
  const right = new Int16Array(columns * rank);
  const exponents: number[] = [];
  let bits = rank * 9 + 64;
  for (let k = 0; k < rank; k++) {
    const value = values[k]!;
    const largest = Math.max(largestOf(update.left[k]!), largestOf(update.right[k]!));
    const finest = 2 * Math.log2((largest * Math.sqrt(value)) / (2 ** FACTOR_BITS_MAX - 1));
    const wanted = value > 0 ? Math.log2(lambda / value) : 0;
    const exponent = Math.max(-200, Math.min(200, Math.round(Math.max(wanted, Math.ceil(finest)))));
    exponents.push(exponent);
    const factor = Math.sqrt(value) / 2 ** (exponent / 2);
    bits += roundInto(left, update.left[k]!, k, rank, factor) + roundInto(right, update.right[k]!, k, rank, factor);
  }
  return { exponents, left, right, bits };
}

/** Rounds one component's side; returns its estimated size in bits (a normal distribution's entropy). */
function roundInto(output: Int16Array, column: Float64Array, k: number, rank: number, factor: number): number {
  let squares = 0;
  for (let index = 0; index < column.length; index++) {
    const rounded = Math.round(column[index]! * factor);
    output[index * rank + k] = rounded;
    squares += rounded * rounded;
  }
  const variance = squares / column.length;
  return column.length * 0.5 * Math.log2(2 * Math.PI * Math.E * (variance + 1 / 12)) + 16;
}

interface Sample {
  readonly base: Uint8Array;
  readonly next: Uint8Array;
  readonly shape: Shape;
  readonly rows: readonly number[];
  /** Elements of the tensor for one of the sample. */
  readonly weight: number;
  readonly unitSquare: number;
}

/** Rows at even distances. */
function sampleOf({ base, next, rows, columns, shape }: Tensor): Sample {
  const count = Math.min(rows, Math.max(16, Math.ceil(SAMPLE_ELEMENTS / columns)));
  const chosen = Array.from({ length: count }, (_, index) => Math.floor((index * rows) / count));
  const bytes = columns * shape[0];
  const gather = (from: Uint8Array) => {
    const gathered = new Uint8Array(count * bytes);
    for (const [index, row] of chosen.entries())
      gathered.set(from.subarray(row * bytes, (row + 1) * bytes), index * bytes);
    return gathered;
  };
  const sampled = gather(base);
  const unitSquare = unitSquareOf(sampled, shape);
  return { base: sampled, next: gather(next), shape, rows: chosen, weight: rows / count, unitSquare };
}

/** Square of the median element's unit in the last place / 12: the noise that rounding to the type makes. */
function unitSquareOf(bytes: Uint8Array, [width, shift, mask]: Shape): number {
  const counts = new Uint32Array(256);
  const elements = bytes.length / width;
  for (let at = 0; at < bytes.length; at += width) {
    const top = bytes[at + width - 1]! * 256 + bytes[at + width - 2]!;
    counts[(top >>> (shift - 8 * (width - 2))) & mask]!++;
  }
  let exponent = 0;
  for (let seen = counts[0]!; seen < elements / 2 && exponent < mask; ) seen += counts[++exponent]!;
  const unit = 2 ** (exponent - (mask >> 1) - shift);
  return (unit * unit) / 12;
}

const nothing: Factors = { exponents: [], left: new Int16Array(0), right: new Int16Array(0), bits: 0 };

/** Estimated bits of the whole tensor's differences with these factors. */
function bitsOfSample(
  { base, next, shape, rows, weight }: Sample,
  { columns }: { readonly columns: number },
  { exponents, left, right }: Factors,
): number {
  const rank = exponents.length;
  const lefts = new Float32Array(rows.length * rank);
  for (const [index, row] of rows.entries()) lefts.set(left.subarray(row * rank, (row + 1) * rank), index * rank);
  const model = { rank, rows: rows.length, columns, left: lefts, right: scaledRight(columns, exponents, right) };
  const arena = new Arena();
  return weight * estimateBlockBits(arena, preparePredicted(arena, base, next, shape, model, 0));
}

function largestOf(column: Float64Array): number {
  let largest = 0;
  for (const value of column) largest = Math.max(largest, Math.abs(value));
  return largest;
}
