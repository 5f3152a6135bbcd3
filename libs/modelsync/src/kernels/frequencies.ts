/**
 * Frequency tables: counts → levels (quarter octaves) → frequencies that sum to 4096, and the levels' coding.
 *
 * Levels instead of counts: a quarter of an octave costs 0.002 bits an element against exact frequencies, and levels of
 * smooth distributions are cheap: each is predicted from its neighbour towards zero, corrected by the cells' widths, and
 * the positive side from the negative one. Both sides compute the frequencies from the levels with integers only.
 */

import { CorruptDiffError } from '../errors.ts';
import { type BitReader, type BitWriter, NUMBER_CONTEXTS } from './bits.ts';
import { type Cell, differenceCells, gapCells, TOKENS } from './tokens.ts';

export const FREQUENCY_TOTAL = 4096;
const STEPS_AN_OCTAVE = 4;
/** Counts stay below 2^24 (a block's elements). */
const LEVEL_MAX = 1 + 24 * STEPS_AN_OCTAVE;

/** weight[level] = 64 × 2^((level − 1) / 4); level 0 is a token that does not occur. */
const weights = Array.from({ length: LEVEL_MAX + 1 }, (_, level) => {
  const quarter = [64, 76, 91, 108][(level - 1) & 3]!;
  return level === 0 ? 0 : quarter * 2 ** ((level - 1) >> 2);
});

/** The alphabet of a table. */
export type Alphabet = 'differences' | 'gaps';
const cellsOf = { differences: differenceCells, gaps: gapCells } as const;

/** Level of each token's count (256). */
export function levelsOf(counts: ArrayLike<number>): Uint8Array {
  const levels = new Uint8Array(TOKENS);
  for (let token = 0; token < TOKENS; token++) {
    const count = counts[token]!;
    if (count > 0) levels[token] = Math.min(LEVEL_MAX, 1 + Math.round(STEPS_AN_OCTAVE * Math.log2(count)));
  }
  return levels;
}

/** Frequencies (256, sum 4096, at least 1 where the level is not 0). Throws CorruptDiffError when all levels are 0. */
export function frequenciesOf(levels: Uint8Array): Uint16Array {
  return frequenciesOfWeights(Float64Array.from(levels, (level) => weights[level]!));
}

/** The same for any weights; 0 for tokens that do not occur. */
export function frequenciesOfWeights(tokenWeights: Float64Array): Uint16Array {
  let total = 0;
  for (const weight of tokenWeights) total += weight;
  if (total === 0) throw new CorruptDiffError('an empty frequency table');
  const frequencies = new Uint16Array(TOKENS);
  let left = FREQUENCY_TOTAL;
  for (let token = 0; token < TOKENS; token++) {
    const weight = tokenWeights[token]!;
    if (weight === 0) continue;
    const frequency = Math.max(1, Math.floor((weight * FREQUENCY_TOTAL) / total));
    frequencies[token] = frequency;
    left -= frequency;
  }
  while (left !== 0) {
    let largest = 0;
    for (let token = 1; token < TOKENS; token++) if (frequencies[token]! > frequencies[largest]!) largest = token;
    const step = left > 0 ? left : -Math.min(-left, Math.max(1, frequencies[largest]! >> 3));
    frequencies[largest] = frequencies[largest]! + step;
    left -= step;
  }
  return frequencies;
}

const SIDES = 3;
const STATES = 3;
const CELL_COUNT = 0;
const PRESENT = CELL_COUNT + NUMBER_CONTEXTS;
const RESIDUAL = PRESENT + SIDES * 4;
const ALPHABET_CONTEXTS = RESIDUAL + SIDES * STATES * NUMBER_CONTEXTS;
/** Contexts that this file uses, from 0. */
export const TABLE_CONTEXTS = 2 * ALPHABET_CONTEXTS;

/** Codes one table; `code(context, prediction, level)` of a side is the only difference between the two directions. */
export function writeLevels(writer: BitWriter, alphabet: Alphabet, levels: Uint8Array): void {
  const cells = cellsOf[alphabet];
  let used = cells.length;
  while (used > 0 && isAbsent(cells[used - 1]!, levels)) used--;
  const from = alphabet === 'gaps' ? ALPHABET_CONTEXTS : 0;
  writer.number(from + CELL_COUNT, used);
  walk(alphabet, used, levels, from, (present, residuals, prediction, token) => {
    const level = levels[token]!;
    writer.bit(present, level > 0 ? 1 : 0);
    if (level > 0) writer.number(residuals, zigzag(level - prediction));
    return level;
  });
}

/** Reads what `writeLevels` wrote; throws CorruptDiffError for levels that cannot be. */
export function readLevels(reader: BitReader, alphabet: Alphabet): Uint8Array {
  const levels = new Uint8Array(TOKENS);
  const from = alphabet === 'gaps' ? ALPHABET_CONTEXTS : 0;
  const used = reader.numberUpTo(from + CELL_COUNT, cellsOf[alphabet].length, 'a table');
  walk(alphabet, used, levels, from, (present, residuals, prediction) => {
    if (reader.bit(present) === 0) return 0;
    const coded = reader.number(residuals);
    const level = prediction + (coded % 2 === 1 ? -(coded + 1) / 2 : coded / 2);
    if (level < 1 || level > LEVEL_MAX) throw new CorruptDiffError(`level ${level} in a frequency table`);
    return level;
  });
  return levels;
}

type Step = (presentContext: number, residualContext: number, prediction: number, token: number) => number;

/** Visits the tokens by cell, fills `levels` with what `step` returns. Sides: 0 negative, 1 positive, 2 the zero. */
function walk(alphabet: Alphabet, used: number, levels: Uint8Array, from: number, step: Step): void {
  const last = [0, 0, 0]; // level of the side's last cell, as a density: without the cell's width
  const errors = [0, 0, 0];
  const visit = (side: number, token: number, guess: number, width: number) => {
    const seen = (last[side]! > 0 ? 1 : 0) + (guess > 0 ? 2 : 0);
    const prediction = Math.min(LEVEL_MAX, Math.max(1, guess + width));
    const residuals = from + RESIDUAL + (side * STATES + errors[side]!) * NUMBER_CONTEXTS;
    const level = step(from + PRESENT + side * 4 + seen, residuals, prediction, token);
    levels[token] = level;
    if (level > 0) errors[side] = Math.min(STATES - 1, (Math.abs(level - prediction) + 1) >> 1);
    last[side] = level === 0 ? 0 : Math.max(1, level - width);
  };
  if (alphabet === 'differences') visit(2, 0, 0, 0);
  last[0] = last[1] = last[2]!;
  const cells = cellsOf[alphabet];
  for (let index = 0; index < used; index++) {
    const { negative, positive, bits } = cells[index]!;
    const width = bits * STEPS_AN_OCTAVE;
    const before = [last[0]!, last[1]!];
    visit(0, negative, before[0]!, width);
    if (positive < 0) continue;
    const tilt = before[0]! > 0 && before[1]! > 0 ? (before[1]! - before[0]!) >> 1 : 0;
    visit(1, positive, last[0]! > 0 ? last[0]! + tilt : before[1]!, width);
  }
}

const isAbsent = ({ negative, positive }: Cell, levels: Uint8Array) =>
  levels[negative] === 0 && (positive < 0 || levels[positive] === 0);

const zigzag = (value: number) => (value < 0 ? -2 * value - 1 : 2 * value);
