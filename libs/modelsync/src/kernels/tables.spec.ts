import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CorruptDiffError } from '../errors.ts';
import { BitReader, BitWriter, NUMBER_CONTEXTS } from './bits.ts';
import { clustersOf, modeOf } from './clusters.ts';
import { frequenciesOf, levelsOf, readLevels, TABLE_CONTEXTS, writeLevels } from './frequencies.ts';
import { GAP_CONTEXTS, readGapTable, writeGapTable } from './gaps.ts';
import { decodedValues, differenceCells, gapCells, TOKENS } from './tokens.ts';

const counts = (tokens: number) =>
  fc
    .array(fc.oneof(fc.constant(0), fc.nat({ max: 5 }), fc.nat({ max: 2 ** 24 })), {
      minLength: tokens,
      maxLength: tokens,
    })
    .filter((list) => list.some((count) => count > 0))
    .map((list) => [...list, ...Array<number>(TOKENS - tokens).fill(0)]);

describe('bits', () => {
  it('gives back bits and numbers, and ends exactly at the end', () => {
    const items = fc.array(fc.oneof(fc.boolean(), fc.nat({ max: 2 ** 32 - 1 }), fc.nat({ max: 20 })), {
      maxLength: 400,
    });
    fc.assert(
      fc.property(items, (list) => {
        const writer = new BitWriter(NUMBER_CONTEXTS + 1);
        for (const item of list) typeof item === 'number' ? writer.number(1, item) : writer.bit(0, item ? 1 : 0);
        const bytes = writer.finish();
        const reader = new BitReader(NUMBER_CONTEXTS + 1, bytes);
        expect(list.map((item) => (typeof item === 'number' ? reader.number(1) : reader.bit(0) === 1))).toEqual(list);
        reader.end();
        expect(() => new BitReader(1, Uint8Array.of(...bytes, 0)).end()).toThrow(CorruptDiffError);
      }),
    );
  });

  it('carries through long runs of ones', () => {
    const writer = new BitWriter(2);
    const pattern = Array.from({ length: 20_000 }, (_, at) => (at % 997 === 0 ? 0 : 1));
    for (const bit of pattern) writer.bit(0, bit);
    const reader = new BitReader(2, writer.finish());
    expect(pattern.every((bit) => reader.bit(0) === bit)).toBe(true);
  });
});

describe('frequency tables', () => {
  it('sum to 4096 and leave out nothing that occurs', () => {
    fc.assert(
      fc.property(counts(255), (list) => {
        const frequencies = frequenciesOf(levelsOf(list));
        expect(frequencies.reduce((sum, frequency) => sum + frequency, 0)).toBe(4096);
        expect(list.every((count, token) => count === 0 || frequencies[token]! > 0)).toBe(true);
      }),
    );
  });

  it('are read as they were written', () => {
    fc.assert(
      fc.property(fc.array(counts(255), { minLength: 1, maxLength: 4 }), (tables) => {
        const writer = new BitWriter(TABLE_CONTEXTS);
        for (const table of tables) writeLevels(writer, 'differences', levelsOf(table));
        const reader = new BitReader(TABLE_CONTEXTS, writer.finish());
        for (const table of tables) expect(readLevels(reader, 'differences')).toEqual(levelsOf(table));
        reader.end();
      }),
    );
  });

  it('of gaps are read as they were written, explicit or geometric', () => {
    const geometric = fc.integer({ min: 1, max: 5000 }).map((mean) => {
      const list = Array<number>(TOKENS).fill(0);
      for (let token = 0; token < 16; token++) list[token] = Math.round(1e6 * (1 - 1 / (mean + 1)) ** token);
      return list;
    });
    fc.assert(
      fc.property(fc.oneof(counts(200), geometric), (table) => {
        const writer = new BitWriter(GAP_CONTEXTS);
        const written = writeGapTable(writer, table);
        const reader = new BitReader(GAP_CONTEXTS, writer.finish());
        expect(readGapTable(reader)).toEqual(written);
        expect(table.every((count, token) => count === 0 || written[token]! > 0)).toBe(true);
      }),
    );
  });

  it('cost a smooth distribution a quarter of its size as bytes', () => {
    const smooth = Array<number>(TOKENS).fill(0);
    smooth[0] = 1e5;
    for (const [index, { negative, positive, bits }] of differenceCells.entries()) {
      if (bits > 4) break;
      const magnitude = index < 15 ? index + 1 : (4 + ((index - 15) & 3)) * 2 ** bits;
      smooth[negative] = smooth[positive] = Math.round(1e5 * 2 ** bits * Math.exp(-((magnitude / 20) ** 2)));
    }
    const writer = new BitWriter(TABLE_CONTEXTS);
    writeLevels(writer, 'differences', levelsOf(smooth));
    expect(writer.finish().length).toBeLessThan(smooth.filter((count) => count > 0).length / 2);
  });
});

describe('clusters', () => {
  const row = (total: number, share: number) => {
    const list = new Uint32Array(TOKENS);
    list[0] = Math.round(total * share);
    list[1] = total - list[0]!;
    return list;
  };
  it('join what is alike and part what is not', () => {
    const clusters = clustersOf([undefined, row(9000, 0.5), row(9000, 0.5), undefined, row(9000, 0.99), row(3, 1)]);
    expect(clusters.map(({ first, last, total }) => ({ first, last, total }))).toEqual([
      { first: 1, last: 2, total: 18_000 },
      { first: 4, last: 5, total: 9003 },
    ]);
    expect(clusters.map(modeOf)).toEqual(['direct', 'run']);
    expect(modeOf(clustersOf([row(5, 1)])[0]!)).toBe('dead');
  });

  it('are never more than 64', () => {
    const many = Array.from({ length: 400 }, (_, index) => row(1e6, index % 2 === 0 ? 0.1 : 0.9));
    expect(clustersOf(many)).toHaveLength(64);
  });
});

describe('tokens', () => {
  it('have one value each, and cells in order', () => {
    const values = decodedValues();
    const firsts = new Set<string>();
    for (let token = 0; token < 255; token++) firsts.add(`${values[token * 2]} ${values[token * 2 + 1]! & 1}`);
    expect(firsts.size).toBe(255);
    let next = 0;
    for (const { negative } of gapCells.slice(0, 16 + 8 * 21)) {
      const [first, bits] = [values[(TOKENS + negative) * 2]!, values[(TOKENS + negative) * 2 + 1]! >> 1];
      expect(first).toBe(next);
      next = first + 2 ** bits;
    }
    expect(next).toBe(2 ** 25);
  });
});
