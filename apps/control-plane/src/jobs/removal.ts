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
