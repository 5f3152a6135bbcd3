/** Replicas are charged to their deployment's queue once, in the transaction in which they become Removed. */
import { type Placement, type QueueUsage, type Rows, usageOf } from '#domain';

/** @param ended as they were before: what was Removed already was charged then */
export async function chargePlacements(rows: Rows, ended: readonly Placement[]): Promise<void> {
  if (ended.length === 0) return;
  const nowMs = await rows.clock.nowMs();
  const entries: QueueUsage[] = [];
  for (const [id, placements] of Map.groupBy(ended, ({ deploymentId }) => deploymentId)) {
    const deployment = await rows.deployments.find({ id });
    if (deployment === null) continue;
    entries.push(...placements.flatMap((placement) => usageOfPlacement(placement, deployment.queueId, nowMs)));
  }
  await rows.usage.charge(entries);
}

/** What it has held until now. */
export function usageOfPlacement({ tenantId, claim, createdAt }: Placement, queueId: string, nowMs: number) {
  const { deviceType, count } = claim;
  return usageOf({ tenantId, queueId, deviceType, count, fromMs: createdAt.getTime(), toMs: nowMs }, 'serving');
}
