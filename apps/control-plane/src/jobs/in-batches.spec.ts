import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { StaleEpochError } from '#domain';
import { inBatches } from './in-batches.ts';

const { signal } = new AbortController();

describe('commits in batches', () => {
  it('take at most so many at once, in order', async () => {
    const { results } = await inBatches([1, 2, 3, 4, 5], { size: 2, signal }, async (batch) => batch.join());
    expect(results).toEqual(['1,2', '3,4', '5']);
  });

  it('one that cannot be committed keeps none of its batch from it', async () => {
    const commit = async (batch: readonly number[]) => {
      if (batch.includes(3)) throw new Error('no 3');
      return batch.join();
    };
    const { results, errors } = await inBatches([1, 2, 3, 4, 5], { size: 4, signal }, commit);
    expect(results).toEqual(['1', '2', '4', '5']);
    expect(errors).toEqual([new Error('no 3')]);
  });

  it('end when the epoch is over', async () => {
    const tried: string[] = [];
    const commit = async (batch: readonly number[]) => {
      tried.push(batch.join());
      throw new StaleEpochError(1, 2);
    };
    await expect(inBatches([1, 2, 3], { size: 2, signal }, commit)).rejects.toThrow(StaleEpochError);
    expect(tried).toEqual(['1,2']);
  });

  it('end when they are asked to', async () => {
    const stopping = new AbortController();
    const { results } = await inBatches([1, 2, 3], { size: 1, signal: stopping.signal }, async ([item]) => {
      if (item === 2) stopping.abort();
      return item;
    });
    expect(results).toEqual([1, 2]);
  });

  it('end when they are asked to, also one by one', async () => {
    const stopping = new AbortController();
    const tried: string[] = [];
    await inBatches([1, 2, 3], { size: 3, signal: stopping.signal }, async (batch) => {
      tried.push(batch.join());
      if (batch.length === 1) stopping.abort();
      throw new Error('away');
    });
    expect(tried).toEqual(['1,2,3', '1']);
  });

  it('may be under way at once; each is begun in order, and no more than so many', async () => {
    const log: string[] = [];
    const open = new Map<number, () => void>();
    const commit = ([item]: readonly number[]) =>
      new Promise<number>((resolve) => {
        log.push(`begun ${item}`);
        open.set(item!, () => resolve(item!));
      });
    const all = inBatches([1, 2, 3, 4], { size: 1, signal, atOnce: 2 }, commit);
    for (const item of [2, 3, 1, 4]) {
      log.push(`done ${item}`);
      open.get(item)!();
      await setImmediate();
    }
    expect(await all).toEqual({ results: [2, 3, 1, 4], errors: [] });
    expect(log).toEqual(['begun 1', 'begun 2', 'done 2', 'begun 3', 'done 3', 'begun 4', 'done 1', 'done 4']);
  });

  it('under way at once, are waited for when the epoch is over, and nothing more is begun', async () => {
    const tried: string[] = [];
    let isDone = false;
    const commit = async (batch: readonly number[]) => {
      tried.push(batch.join());
      if (batch.includes(1)) throw new StaleEpochError(1, 2);
      for (let turn = 0; turn < 5; turn += 1) await setImmediate();
      isDone = true;
      throw new Error('away');
    };
    const all = inBatches([1, 2, 3, 4, 5], { size: 2, signal, atOnce: 2 }, commit);
    await expect(all).rejects.toThrow(StaleEpochError);
    expect([tried, isDone]).toEqual([['1,2', '3,4'], true]);
  });
});
