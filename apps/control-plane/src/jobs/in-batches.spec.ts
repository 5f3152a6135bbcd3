import { describe, expect, it } from '@jest/globals';
import { StaleEpochError } from '#domain';
import { inBatches } from './in-batches.ts';

const { signal } = new AbortController();

describe('commits in batches', () => {
  it('take at most so many at once, in order', async () => {
    const { results } = await inBatches([1, 2, 3, 4, 5], 2, signal, async (batch) => batch.join());
    expect(results).toEqual(['1,2', '3,4', '5']);
  });

  it('one that cannot be committed keeps none of its batch from it', async () => {
    const commit = async (batch: readonly number[]) => {
      if (batch.includes(3)) throw new Error('no 3');
      return batch.join();
    };
    const { results, errors } = await inBatches([1, 2, 3, 4, 5], 4, signal, commit);
    expect(results).toEqual(['1', '2', '4', '5']);
    expect(errors).toEqual([new Error('no 3')]);
  });

  it('end when the epoch is over', async () => {
    const tried: string[] = [];
    const commit = async (batch: readonly number[]) => {
      tried.push(batch.join());
      throw new StaleEpochError(1, 2);
    };
    await expect(inBatches([1, 2, 3], 2, signal, commit)).rejects.toThrow(StaleEpochError);
    expect(tried).toEqual(['1,2']);
  });

  it('end when they are asked to', async () => {
    const stopping = new AbortController();
    const { results } = await inBatches([1, 2, 3], 1, stopping.signal, async ([item]) => {
      if (item === 2) stopping.abort();
      return item;
    });
    expect(results).toEqual([1, 2]);
  });

  it('end when they are asked to, also one by one', async () => {
    const stopping = new AbortController();
    const tried: string[] = [];
    await inBatches([1, 2, 3], 3, stopping.signal, async (batch) => {
      tried.push(batch.join());
      if (batch.length === 1) stopping.abort();
      throw new Error('away');
    });
    expect(tried).toEqual(['1,2,3', '1']);
  });
});
