/** Commits many things in few transactions, so that one that cannot be committed keeps none of the others from it. */
import { StaleEpochError } from '#domain';

export interface Committed<Result> {
  readonly results: readonly Result[];
  /** Of those that could not be committed, alone. */
  readonly errors: readonly unknown[];
}

/**
 * A batch that fails is committed item by item.
 *
 * @param commit one transaction; at most `size` items
 * @throws StaleEpochError from `commit`: nobody else could do better
 */
export async function inBatches<Item, Result>(
  items: readonly Item[],
  size: number,
  signal: AbortSignal,
  commit: (batch: readonly Item[]) => Promise<Result>,
): Promise<Committed<Result>> {
  const results: Result[] = [];
  const errors: unknown[] = [];
  const attempt = async (batch: readonly Item[]): Promise<void> => {
    try {
      results.push(await commit(batch));
    } catch (error) {
      if (error instanceof StaleEpochError) throw error;
      if (batch.length === 1) errors.push(error);
      else for (const item of batch) if (!signal.aborted) await attempt([item]);
    }
  };
  for (let at = 0; at < items.length && !signal.aborted; at += size) await attempt(items.slice(at, at + size));
  return { results, errors };
}
