import { describe, expect, it } from '@jest/globals';
import type { PieceEntry } from '../container/entries.ts';
import { RecentModels } from './recent-models.ts';

const pieces = Array.from({ length: 1_000 }, () => ({}) as PieceEntry);

describe('the models of pieces under way', () => {
  it('are read once for all blocks of a piece, also where two pieces meet', async () => {
    const models = new RecentModels();
    let reads = 0;
    const read = async () => Uint8Array.of(++reads);
    const found = [0, 0, 1, 0, 1, 1].map((piece) => models.of(pieces[piece]!, read));
    expect((await Promise.all(found)).map(([first]) => first)).toEqual([1, 1, 2, 1, 2, 2]);
  });

  it('are let go behind it: memory does not grow with the version', async () => {
    const models = new RecentModels();
    for (const piece of pieces) await models.of(piece, async () => new Uint8Array(1));
    expect(models.size).toBe(2);
  });
});
