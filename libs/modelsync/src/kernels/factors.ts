/**
 * The low-rank model of one tensor's update, as it travels: left (rows × rank) and right (columns × rank) factors of
 * small whole numbers, and a power of two for each component. The prediction for an element is
 * base + Σ left[row][k] × (right[k][column] × 2^exponent[k]), k ascending, in float32.
 */
import { readVarint, writeVarint } from '../codecs/varint.ts';
import { CorruptDiffError, InvalidOptionError } from '../errors.ts';
import { BitReader, BitWriter } from './bits.ts';

/** A matrix of rank `rank`. */
export interface LowRank {
  readonly rank: number;
  readonly rows: number;
  readonly columns: number;
  /** Row after row, `rank` numbers each. */
  readonly left: Float32Array;
  /** Component after component, `columns` numbers each, scaled. */
  readonly right: Float32Array;
}

/** What `fitPrediction` found; immutable. */
export interface PredictionModel extends LowRank {
  /** Serialised, for `readPrediction`. */
  readonly bytes: Uint8Array;
}

/** Components of a model at most. */
export const RANK_MAX = 64;
const FACTORS_MAX = 2 ** 25;
/** A factor takes at least one decision, of at least 1/90 bit (bits.ts): more are not allocated for. */
const FACTORS_A_BYTE_MAX = 720;
const EXPONENT_OFFSET = 200;
/** Factors have at most this many bits, so that products are exact in float32. */
export const FACTOR_BITS_MAX = 11;
const SHAPE_CONTEXTS = 8;
const SIDE_CONTEXTS = RANK_MAX * (FACTOR_BITS_MAX + 1);
const TOP_BITS = 3;
const CONTEXTS = 2 * (SIDE_CONTEXTS + (FACTOR_BITS_MAX + 1) * SHAPE_CONTEXTS);

/** Serialises factors: `left` row after row, `right` column after column, `rank` whole numbers each. */
export function writePrediction(
  rows: number,
  columns: number,
  exponents: readonly number[],
  left: Int16Array,
  right: Int16Array,
): PredictionModel {
  const writer = new BitWriter(CONTEXTS);
  for (const exponent of exponents)
    for (let bit = 8; bit >= 0; bit--) writer.plain(((exponent + EXPONENT_OFFSET) >> bit) & 1);
  for (const [side, factors] of [left, right].entries())
    for (const [index, factor] of factors.entries()) writeFactor(writer, side, index % exponents.length, factor);
  const body = writer.finish();
  const head = new Uint8Array(24);
  const end = writeVarint(head, writeVarint(head, writeVarint(head, 0, exponents.length), rows), columns);
  const bytes = new Uint8Array(end + body.length);
  bytes.set(head.subarray(0, end));
  bytes.set(body, end);
  return { rows, columns, bytes, ...scaled(columns, exponents, left, right) };
}

const known = new WeakMap<Uint8Array, PredictionModel>();

/**
 * Reads a serialised model; the result is kept for as long as `bytes` lives, so blocks of one tensor may each ask.
 * Throws CorruptDiffError.
 */
export function readPrediction(bytes: Uint8Array): PredictionModel {
  const before = known.get(bytes);
  if (before !== undefined) return before;
  const [rank, afterRank] = readVarint(bytes, 0);
  const [rows, afterRows] = readVarint(bytes, afterRank);
  const [columns, start] = readVarint(bytes, afterRows);
  const factorsMax = Math.min(FACTORS_MAX, bytes.length * FACTORS_A_BYTE_MAX);
  if (rank < 1 || rank > RANK_MAX || rows < 1 || columns < 1 || (rows + columns) * rank > factorsMax)
    throw new CorruptDiffError(`a prediction of rank ${rank} for ${rows} × ${columns}`);
  const reader = new BitReader(CONTEXTS, bytes.subarray(start));
  const exponents = Array.from({ length: rank }, () => {
    let exponent = 0;
    for (let bit = 0; bit < 9; bit++) exponent = exponent * 2 + reader.plain();
    return Math.min(exponent, 2 * EXPONENT_OFFSET) - EXPONENT_OFFSET;
  });
  const left = readFactors(reader, 0, rows, rank);
  const right = readFactors(reader, 1, columns, rank);
  reader.end();
  const model = { rows, columns, bytes, ...scaled(columns, exponents, left, right) };
  known.set(bytes, model);
  return model;
}

/** Throws InvalidOptionError unless the elements are the model's: in front of encoding. */
export function checkRange(model: PredictionModel, firstElement: number, elements: number): void {
  if (firstElement < 0 || firstElement + elements > model.rows * model.columns)
    throw new InvalidOptionError('firstElement', `${firstElement} + ${elements} is outside of the prediction's tensor`);
}

function scaled(columns: number, exponents: readonly number[], left: Int16Array, right: Int16Array) {
  return { rank: exponents.length, left: Float32Array.from(left), right: scaledRight(columns, exponents, right) };
}

/** Right factors as they are multiplied: component after component, times their powers of two (exact). */
export function scaledRight(columns: number, exponents: readonly number[], right: Int16Array): Float32Array {
  const rank = exponents.length;
  const result = new Float32Array(right.length);
  for (const [k, exponent] of exponents.entries()) {
    const scale = 2 ** exponent;
    for (let column = 0; column < columns; column++) result[k * columns + column] = right[column * rank + k]! * scale;
  }
  return result;
}

const lengthContext = (side: number, component: number) => side * SIDE_CONTEXTS + component * (FACTOR_BITS_MAX + 1);
const shapeContext = (side: number, length: number) =>
  2 * SIDE_CONTEXTS + (side * (FACTOR_BITS_MAX + 1) + length) * SHAPE_CONTEXTS;

/** Bit length in unary, sign, the bits below the leading one: three of them with contexts. */
function writeFactor(writer: BitWriter, side: number, component: number, factor: number): void {
  const magnitude = Math.abs(factor);
  const length = 32 - Math.clz32(magnitude);
  const lengths = lengthContext(side, component);
  for (let index = 0; index < length; index++) writer.bit(lengths + index, 1);
  if (length < FACTOR_BITS_MAX) writer.bit(lengths + length, 0);
  if (length === 0) return;
  writer.plain(factor < 0 ? 1 : 0);
  let prefix = 1;
  for (let index = length - 2; index >= 0; index--) {
    const bit = (magnitude >> index) & 1;
    if (prefix < 1 << TOP_BITS) writer.bit(shapeContext(side, length) + prefix, bit);
    else writer.plain(bit);
    prefix = prefix * 2 + bit;
  }
}

function readFactors(reader: BitReader, side: number, count: number, rank: number): Int16Array {
  const factors = new Int16Array(count * rank);
  for (let index = 0; index < factors.length; index++) {
    factors[index] = readFactor(reader, side, index % rank);
    if (reader.exhausted) throw new CorruptDiffError('a prediction ends too early');
  }
  return factors;
}

function readFactor(reader: BitReader, side: number, component: number): number {
  const lengths = lengthContext(side, component);
  let length = 0;
  while (length < FACTOR_BITS_MAX && reader.bit(lengths + length)) length++;
  if (length === 0) return 0;
  const isNegative = reader.plain() === 1;
  let magnitude = 1;
  for (let index = length - 2; index >= 0; index--) {
    const bit = magnitude < 1 << TOP_BITS ? reader.bit(shapeContext(side, length) + magnitude) : reader.plain();
    magnitude = magnitude * 2 + bit;
  }
  return isNegative ? -magnitude : magnitude;
}
