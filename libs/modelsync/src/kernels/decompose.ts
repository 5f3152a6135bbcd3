/**
 * The leading singular vectors of a tensor's update, next − base, by randomised subspace iteration (Halko, Martinsson,
 * Tropp 2011). The update is streamed row by row and never held whole: memory is that of the thin matrices. Same input
 * and seed, same result.
 */
import { Arena, bytesAt, floatsAt, kernels, type Shape } from './instance.ts';
import { type Columns, combine, gramEigen, orthonormalise, scale } from './thin-matrix.ts';

const OVERSAMPLING = 8;
const ROUNDS = 2;

/** A whole matrix, before and after. */
export interface Tensor {
  readonly base: Uint8Array;
  readonly next: Uint8Array;
  readonly rows: number;
  readonly columns: number;
  readonly shape: Shape;
}

/** Leading part of next − base. */
export interface Update {
  readonly rows: number;
  readonly columns: number;
  /** Singular values, descending; vectors of unit length. */
  readonly values: readonly number[];
  readonly left: Columns;
  readonly right: Columns;
  /** Sum of squares of the whole update. */
  readonly squares: number;
}

/** The update's leading singular values and vectors: at least `rank` of them where the shape has as many. */
export function decompose(tensor: Tensor, rank: number, seed: number): Update {
  const { rows, columns } = tensor;
  const thin = Math.ceil(Math.min(rank + OVERSAMPLING, rows, columns) / 4) * 4;
  const random = randomSigns(seed);
  let right: Columns = Array.from({ length: thin }, () => Float64Array.from({ length: columns }, random));
  let left: Columns = [];
  let squares = 0;
  for (let round = 0; round < ROUNDS; round++) {
    left = multiply(tensor, right);
    orthonormalise(left);
    ({ right, squares } = multiplyTransposed(tensor, left));
    if (round + 1 < ROUNDS) orthonormalise(right);
  }
  const { values, vectors } = gramEigen(right);
  const singular = values.map(Math.sqrt);
  const rightVectors = vectors.map((vector, index) => {
    const column = combine(right, vector);
    scale(column, singular[index]! > 0 ? 1 / singular[index]! : 0);
    return column;
  });
  return {
    rows,
    columns,
    values: singular,
    left: vectors.map((vector) => combine(left, vector)),
    right: rightVectors,
    squares,
  };
}

/** Update × matrix, row by row. */
function multiply(tensor: Tensor, matrix: Columns): Columns {
  const { rows, columns } = tensor;
  const thin = matrix.length;
  const result = matrix.map(() => new Float64Array(rows));
  const arena = new Arena();
  const packed = arena.take(columns * thin * 4);
  const output = arena.take(thin * 4);
  const rowOf = rowReader(arena, tensor);
  pack(matrix, columns, floatsAt(packed, columns * thin));
  for (let row = 0; row < rows; row++) {
    kernels.timesThin(rowOf(row), columns, packed, thin, output);
    const sums = floatsAt(output, thin);
    for (let k = 0; k < thin; k++) result[k]![row] = sums[k]!;
  }
  return result;
}

/** Transposed update × matrix, and the update's sum of squares. */
function multiplyTransposed(tensor: Tensor, matrix: Columns): { right: Columns; squares: number } {
  const { rows, columns } = tensor;
  const thin = matrix.length;
  const arena = new Arena();
  const sums = arena.takeZeroed(columns * thin * 4);
  const thinRow = arena.take(thin * 4);
  const rowOf = rowReader(arena, tensor);
  let squares = 0;
  for (let row = 0; row < rows; row++) {
    const address = rowOf(row);
    const factors = floatsAt(thinRow, thin);
    for (let k = 0; k < thin; k++) factors[k] = matrix[k]![row]!;
    kernels.addOuter(address, columns, thinRow, thin, sums);
    for (const change of floatsAt(address, columns)) squares += change * change;
  }
  const packed = floatsAt(sums, columns * thin);
  const right = matrix.map((_, k) => Float64Array.from({ length: columns }, (_, column) => packed[column * thin + k]!));
  return { right, squares };
}

function pack(matrix: Columns, length: number, output: Float32Array): void {
  const thin = matrix.length;
  for (let index = 0; index < length; index++)
    for (let k = 0; k < thin; k++) output[index * thin + k] = matrix[k]![index]!;
}

/** A function that puts one row of next − base (float32) into the module's memory and returns its address. */
function rowReader(arena: Arena, { base, next, columns, shape: [width, , mask] }: Tensor): (row: number) => number {
  const bytes = columns * width;
  const from = arena.take(bytes);
  const to = arena.take(bytes);
  const output = arena.take(columns * 4);
  return (row) => {
    bytesAt(from, bytes).set(base.subarray(row * bytes, (row + 1) * bytes));
    bytesAt(to, bytes).set(next.subarray(row * bytes, (row + 1) * bytes));
    kernels.deltas(from, to, output, columns, width, mask);
    return output;
  };
}

/** ±1, from a xorshift generator. */
function randomSigns(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 0x8000 ? 1 : -1;
  };
}
