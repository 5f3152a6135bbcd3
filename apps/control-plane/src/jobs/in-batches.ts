/** Commits many things in few transactions, so that one that cannot be committed keeps none of the others from it. */
import { StaleEpochError } from '#domain';

export interface Committed<Result> {
  readonly results: readonly Result[];
  /** Of those that could not be committed, alone. */
  readonly errors: readonly unknown[];
}

/** While one batch is at the database, the next is written down by this process. */
export const BATCHES_AT_ONCE = 2;

export interface InBatchesOptions {
  /** At most so many items in a batch. */
  readonly size: number;
  /** Whatever is under way is waited for; nothing new is begun. */
  readonly signal: AbortSignal;
  /** Default 1. More only where no two items touch the same, or whoever comes second is refused. */
  readonly atOnce?: number;
}

/**
 * Batches are begun in order. One that fails is committed item by item.
 *
 * @param commit one transaction
 * @throws StaleEpochError from `commit`: nobody else could do better. Everything that was under way has ended then
 */
export async function inBatches<Item, Result>(
  items: readonly Item[],
  { size, signal, atOnce = 1 }: InBatchesOptions,
  commit: (batch: readonly Item[]) => Promise<Result>,
): Promise<Committed<Result>> {
  const results: Result[] = [];
  const errors: unknown[] = [];
  let next = 0;
  let isOver = false;
  const isGoing = () => !isOver && !signal.aborted;
  const attempt = async (batch: readonly Item[]): Promise<void> => {
    try {
      results.push(await commit(batch));
    } catch (error) {
      isOver ||= error instanceof StaleEpochError;
      if (error instanceof StaleEpochError) throw error;
      if (batch.length === 1) errors.push(error);
      else for (const item of batch) if (isGoing()) await attempt([item]);
    }
  };
  const lane = async (): Promise<void> => {
    while (next < items.length && isGoing()) {
      const batch = items.slice(next, next + size);
      next += size;
      await attempt(batch);
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: atOnce }, lane));
  for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason;
  return { results, errors };
}
