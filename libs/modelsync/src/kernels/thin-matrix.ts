/**
 * The little linear algebra that fitting needs: tall matrices with few columns, stored column after column, in doubles.
 * Deterministic: fixed order, no randomness of its own.
 */
export type Columns = Float64Array[];

/** Makes the columns orthonormal (Gram–Schmidt, twice); a column that depends on the others becomes zero. */
export function orthonormalise(columns: Columns): void {
  for (const [index, column] of columns.entries()) {
    const before = norm(column);
    for (let round = 0; round < 2; round++)
      for (let other = 0; other < index; other++) subtract(column, columns[other]!, dot(column, columns[other]!));
    const length = norm(column);
    scale(column, length > before * 1e-10 && length > 0 ? 1 / length : 0);
  }
}

/** Eigenvalues (descending) and eigenvectors of matrixᵀ × matrix, by Jacobi rotations. */
export function gramEigen(matrix: Columns): { values: number[]; vectors: Columns } {
  const size = matrix.length;
  const gram = matrix.map((left) => Float64Array.from(matrix, (right) => dot(left, right)));
  const vectors = matrix.map((_, index) => {
    const unit = new Float64Array(size);
    unit[index] = 1;
    return unit;
  });
  for (let sweep = 0; sweep < 30 && offDiagonal(gram) > 1e-22; sweep++)
    for (let p = 0; p < size; p++) for (let q = p + 1; q < size; q++) rotate(gram, vectors, p, q);
  const order = gram.map((_, index) => index).sort((a, b) => gram[b]![b]! - gram[a]![a]! || a - b);
  return {
    values: order.map((index) => Math.max(0, gram[index]![index]!)),
    vectors: order.map((index) => vectors[index]!),
  };
}

/** Σ matrix[k] × weights[k]. */
export function combine(matrix: Columns, weights: Float64Array): Float64Array {
  const sum = new Float64Array(matrix[0]!.length);
  for (const [index, column] of matrix.entries()) subtract(sum, column, -weights[index]!);
  return sum;
}

export function scale(column: Float64Array, factor: number): void {
  for (let index = 0; index < column.length; index++) column[index]! *= factor;
}

function dot(left: Float64Array, right: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < left.length; index++) sum += left[index]! * right[index]!;
  return sum;
}

const norm = (column: Float64Array) => Math.sqrt(dot(column, column));

function subtract(column: Float64Array, other: Float64Array, factor: number): void {
  for (let index = 0; index < column.length; index++) column[index]! -= factor * other[index]!;
}

/** Share of the squares that is not on the diagonal. */
function offDiagonal(gram: Columns): number {
  let outside = 0;
  let all = 0;
  for (const [row, values] of gram.entries())
    for (const [column, value] of values.entries()) {
      all += value * value;
      if (row !== column) outside += value * value;
    }
  return all === 0 ? 0 : outside / all;
}

function rotate(gram: Columns, vectors: Columns, p: number, q: number): void {
  const across = gram[p]![q]!;
  if (across === 0) return;
  const theta = (gram[q]![q]! - gram[p]![p]!) / (2 * across);
  const tangent = Math.sign(theta || 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const cosine = 1 / Math.sqrt(tangent * tangent + 1);
  const sine = tangent * cosine;
  for (const row of gram) turn(row, row, p, q, cosine, sine);
  for (let index = 0; index < gram.length; index++) {
    const up = gram[p]![index]!;
    const down = gram[q]![index]!;
    gram[p]![index] = cosine * up - sine * down;
    gram[q]![index] = sine * up + cosine * down;
  }
  const [left, right] = [vectors[p]!, vectors[q]!];
  for (let index = 0; index < left.length; index++) {
    const [up, down] = [left[index]!, right[index]!];
    left[index] = cosine * up - sine * down;
    right[index] = sine * up + cosine * down;
  }
}

function turn(from: Float64Array, to: Float64Array, p: number, q: number, cosine: number, sine: number): void {
  const [left, right] = [from[p]!, from[q]!];
  to[p] = cosine * left - sine * right;
  to[q] = sine * left + cosine * right;
}
