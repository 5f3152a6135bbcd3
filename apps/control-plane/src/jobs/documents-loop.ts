/**
 * Writes the documents that commits of jobs left owed (ADR 11). Whoever takes a debt writes the document in the same
 * transaction: a leader that dies in between leaves the debt to the next one. One document that cannot be written keeps
 * none of the others from it, and stays owed.
 */
import { StaleEpochError, type Store } from '#domain';
import { writeDesired } from '../leader/write-desired.ts';

/** Clusters of one transaction: their rows are locked until it ends. */
const BATCH_MAX = 16;

/**
 * Until nothing is owed that can be written; after a batch that cannot, one by one. @returns how many documents changed
 *
 * @throws what the first document could not be written for, after all the others
 */
export async function writeOwedDocuments(store: Store, epoch: number, signal: AbortSignal): Promise<number> {
  const failed = new Map<string, unknown>();
  let size = BATCH_MAX;
  let changed = 0;
  while (!signal.aborted) {
    let taken: readonly string[] = [];
    try {
      changed += await store.transaction(
        async (rows) => {
          taken = await rows.owedDocuments.take(size, [...failed.keys()]);
          return taken.length === 0 ? 0 : (await writeDesired(rows, epoch, taken)).length;
        },
        { epoch },
      );
    } catch (error) {
      const [first] = taken;
      if (error instanceof StaleEpochError || first === undefined) throw error;
      if (taken.length === 1) failed.set(first, error);
      size = 1;
      continue;
    }
    if (taken.length < size) break;
  }
  for (const error of failed.values()) throw error;
  return changed;
}
