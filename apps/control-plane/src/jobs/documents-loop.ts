/**
 * Writes the documents that commits of jobs left owed (ADR 11). Whoever takes a debt writes the document in the same
 * transaction: a leader that dies in between leaves the debt to the next one.
 */
import type { Store } from '#domain';
import { writeDesired } from '../leader/write-desired.ts';

/** Clusters of one transaction: their rows are locked until it ends. */
const BATCH_MAX = 16;

/** Until nothing is owed. @returns how many documents changed */
export async function writeOwedDocuments(store: Store, epoch: number, signal: AbortSignal): Promise<number> {
  let changed = 0;
  while (!signal.aborted) {
    const { taken, written } = await store.transaction(
      async (rows) => {
        const clusterIds = await rows.owedDocuments.take(BATCH_MAX);
        const clusters = clusterIds.length === 0 ? [] : await writeDesired(rows, epoch, clusterIds);
        return { taken: clusterIds.length, written: clusters.length };
      },
      { epoch },
    );
    changed += written;
    if (taken < BATCH_MAX) break;
  }
  return changed;
}
