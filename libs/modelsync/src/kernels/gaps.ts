/**
 * Frequency tables of run lengths. If differences came independently, runs would be geometrically distributed, and one
 * number would describe the table; mostly they nearly do. So a table of gaps is a mean and the last cell in use, or
 * levels like any other table (frequencies.ts) where those save more than they cost.
 */
import { CorruptDiffError } from '../errors.ts';
import { type BitReader, type BitWriter, NUMBER_CONTEXTS } from './bits.ts';
import {
  FREQUENCY_TOTAL,
  frequenciesOf,
  frequenciesOfWeights,
  levelsOf,
  readLevels,
  TABLE_CONTEXTS,
  writeLevels,
} from './frequencies.ts';
import { gapCells, TOKENS } from './tokens.ts';

const EXPLICIT = TABLE_CONTEXTS;
const MEAN = EXPLICIT + 1;
const USED = MEAN + NUMBER_CONTEXTS;
/** Contexts from 0 that this file and frequencies.ts use. */
export const GAP_CONTEXTS = USED + NUMBER_CONTEXTS;

/** Estimated bits of a token's level where the table is explicit. */
const LEVEL_BITS = 3;
/** Means are 2^(n / 4) − 1 for n up to this. */
const MEAN_MAX = 96;

/** Writes the better table for these counts and returns its frequencies. */
export function writeGapTable(writer: BitWriter, counts: ArrayLike<number>): Uint16Array {
  let gaps = 0;
  let zeros = 0;
  let used = 0;
  for (const [cell, { negative: token, bits }] of gapCells.entries()) {
    const count = counts[token]!;
    if (count === 0) continue;
    gaps += count;
    zeros += count * (firstOf(cell) + (2 ** bits - 1) / 2);
    used = cell + 1;
  }
  const mean = Math.min(MEAN_MAX, Math.round(4 * Math.log2(zeros / gaps + 1)));
  const levels = levelsOf(counts);
  const explicit = frequenciesOf(levels);
  const geometric = geometricFrequencies(mean, used);
  const tokens = levels.filter((level) => level > 0).length;
  const isExplicit = costOf(counts, explicit) + LEVEL_BITS * tokens < costOf(counts, geometric);
  writer.bit(EXPLICIT, isExplicit ? 1 : 0);
  if (isExplicit) {
    writeLevels(writer, 'gaps', levels);
    return explicit;
  }
  writer.number(MEAN, mean);
  writer.number(USED, used);
  return geometric;
}

/** The frequencies that `writeGapTable` returned; throws CorruptDiffError. */
export function readGapTable(reader: BitReader): Uint16Array {
  if (reader.bit(EXPLICIT) === 1) return frequenciesOf(readLevels(reader, 'gaps'));
  const mean = reader.numberUpTo(MEAN, MEAN_MAX, "a run's mean");
  const used = reader.numberUpTo(USED, gapCells.length, "a run's table");
  if (used === 0) throw new CorruptDiffError('an empty table of runs');
  return geometricFrequencies(mean, used);
}

/**
 * Frequencies of the first `used` cells for a geometric distribution. Only multiplications, divisions and differences of
 * doubles, in this order: the same everywhere.
 */
function geometricFrequencies(mean: number, used: number): Uint16Array {
  const meanPlusOne = [1, 1.1875, 1.40625, 1.6875][mean & 3]! * 2 ** (mean >> 2);
  const stays = 1 - 1 / (meanPlusOne + 0.03125);
  const weights = new Float64Array(TOKENS);
  let reached = 1; // chance that a gap gets to this cell
  for (let cell = 0; cell < used; cell++) {
    let power = stays;
    for (let bit = 0; bit < gapCells[cell]!.bits; bit++) power *= power;
    weights[gapCells[cell]!.negative] = Math.max(reached * (1 - power), 2 ** -40);
    reached *= power;
  }
  return frequenciesOfWeights(weights);
}

function costOf(counts: ArrayLike<number>, frequencies: Uint16Array): number {
  let bits = 0;
  for (let token = 0; token < TOKENS; token++)
    if (counts[token]! > 0) bits += counts[token]! * Math.log2(FREQUENCY_TOTAL / frequencies[token]!);
  return bits;
}

const firstOf = (cell: number) => (cell < 16 ? cell : (8 + (cell & 7)) * 2 ** (1 + ((cell - 16) >> 3)));
