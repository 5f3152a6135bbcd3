/** Ended jobs go with their attempts, events, decisions and artifacts once their time to live is over. */
import type { Store } from '#domain';

/** Of one transaction. */
const BATCH_MAX = 200;

/** @returns how many went */
export async function removeExpired(store: Store, epoch: number, now: Date, signal: AbortSignal): Promise<number> {
  let removed = 0;
  while (!signal.aborted) {
    const count = await store.transaction(
      async (rows) => {
        const ids = await rows.jobs.expired(now, BATCH_MAX);
        await rows.jobs.remove(ids);
        return ids.length;
      },
      { epoch },
    );
    removed += count;
    if (count < BATCH_MAX) break;
  }
  return removed;
}

/**
 * What was written before this was called last is not kept for those who did not look since (ADR 22).
 *
 * @param mark what the call before gave
 */
export async function forgetChanges(store: Store, epoch: number, mark: string | null): Promise<string> {
  if (mark !== null) await store.transaction((rows) => rows.changes.forget(mark), { epoch });
  return (await store.read.changes.look(null)).mark;
}
