/**
 * That no agent has seen an epoch as new as this leader's: after a restore from a backup the counter begins again below
 * what the fleet knows, and two leaders of one number would be taken for the same (R20). The next term begins above it.
 */
import { StaleEpochError, type Store } from '#domain';

/** @throws StaleEpochError, which ends the term */
export async function demandNewest(store: Store, epoch: number): Promise<void> {
  const clusters = await store.read.clusters.all();
  const seen = Math.max(0, ...clusters.map(({ ahead }) => ahead?.epoch ?? 0));
  if (seen >= epoch) throw new StaleEpochError(epoch, seen);
}
