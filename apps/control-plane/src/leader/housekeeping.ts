/** Drops what only guards against repeats, once a repeat can no longer come. */
import { CONFLICT_KEPT_MS, type Store } from '#domain';

/** NATS keeps events for 7 days; a day more than that. */
const INBOX_KEPT_MS = 8 * 86_400_000;
const IDEMPOTENCY_KEPT_MS = 86_400_000;
/** A claim that old is of a fetch that is long over. */
const SYNC_CLAIM_KEPT_MS = 86_400_000;

export async function keepHouse(store: Store, epoch: number, nowMs: number): Promise<void> {
  await store.transaction(
    async (rows) => {
      await rows.inbox.removeOlderThan(new Date(nowMs - INBOX_KEPT_MS));
      await rows.idempotency.removeOlderThan(new Date(nowMs - IDEMPOTENCY_KEPT_MS));
      await rows.conflicts.removeResolvedBefore(new Date(nowMs - CONFLICT_KEPT_MS));
      await rows.syncClaims.removeOlderThan(new Date(nowMs - SYNC_CLAIM_KEPT_MS));
    },
    { epoch },
  );
}
