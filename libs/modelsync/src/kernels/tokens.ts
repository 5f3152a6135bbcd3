/**
 * The alphabets of the entropy coder, as assembly/memory.as codes them.
 *
 * A difference is exact up to ±15 (tokens 0 … 30, zig-zag); above that a token says its bit length, its sign and the two
 * bits below the leading one, and the rest are plain bits (tokens 31 … 254). A gap (zeros up to the next difference) is
 * exact up to 15, then bit length and three bits (tokens 0 … 239).
 *
 * A *cell* is one magnitude or range of magnitudes with its two tokens; along the cells counts change smoothly, which is
 * what makes tables cheap (frequencies.ts).
 */
export const TOKENS = 256;

export interface Cell {
  /** Token of the negative differences; for gaps the only one. */
  readonly negative: number;
  /** Token of the positive differences; −1 where there is only one. */
  readonly positive: number;
  /** log2 of how many magnitudes it has: its plain bits. */
  readonly bits: number;
}

/** Cells of differences that are not zero, by magnitude. Token 0, the zero, stands by itself. */
export const differenceCells: readonly Cell[] = [
  ...Array.from({ length: 15 }, (_, index) => ({ negative: 2 * index + 1, positive: 2 * index + 2, bits: 0 })),
  ...Array.from({ length: 28 * 4 }, (_, index) => {
    const token = 31 + (index >> 2) * 8 + (index & 3);
    return { negative: token + 4, positive: token, bits: 2 + (index >> 2) };
  }),
];

/** Cells of gaps, by length. */
export const gapCells: readonly Cell[] = [
  ...Array.from({ length: 16 }, (_, token) => ({ negative: token, positive: -1, bits: 0 })),
  ...Array.from({ length: 28 * 8 }, (_, index) => ({ negative: 16 + index, positive: -1, bits: 1 + (index >> 3) })),
];

/** Cells of gaps up to 2^25, beyond the longest block. */
const GAP_CELLS_USED = 16 + 8 * 21;

/** Plain bits that follow each difference token. */
export const differenceRest = restOf(differenceCells);

function restOf(cells: readonly Cell[]): Uint8Array {
  const rest = new Uint8Array(TOKENS);
  for (const { negative, positive, bits } of cells) {
    rest[negative] = bits;
    if (positive >= 0) rest[positive] = bits;
  }
  return rest;
}

/**
 * What the decoder adds its plain bits to: 256 × (first magnitude, plain bits × 2 + 1 when negative) for differences,
 * then for gaps. Tokens that no encoder writes stand for 0.
 */
export function decodedValues(): Int32Array {
  const values = new Int32Array(TOKENS * 4);
  const put = (at: number, first: number, bits: number, negative: number) => {
    values[at] = first;
    values[at + 1] = bits * 2 + negative;
  };
  for (let magnitude = 1; magnitude < 16; magnitude++) {
    put(magnitude * 4 - 2, magnitude, 0, 1);
    put(magnitude * 4, magnitude, 0, 0);
  }
  for (const [index, { negative, positive, bits }] of differenceCells.slice(15).entries()) {
    const first = (4 + (index & 3)) << bits;
    put(negative * 2, first, bits, 1);
    put(positive * 2, first, bits, 0);
  }
  for (const [index, { negative, bits }] of gapCells.entries()) {
    const first = index < 16 ? index : (8 + (index & 7)) << bits;
    if (index < GAP_CELLS_USED) put(TOKENS * 2 + negative * 2, first, bits, 0);
  }
  return values;
}
