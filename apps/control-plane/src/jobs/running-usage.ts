/** What runs now has used until now, as it would be charged were it to end: whoever reads an account adds it (F12). */
import { type QueueUsage, usageOf } from '#domain';
import { usageOfPlacement } from '../leader/charge-placements.ts';
import type { JobWorld } from './job-world.ts';

export function usageOfRunning(world: Pick<JobWorld, 'nowMs' | 'held' | 'placements' | 'deployments'>): QueueUsage[] {
  const { nowMs, held, placements, deployments } = world;
  return [
    ...held.heldUntil(nowMs).flatMap((each) => usageOf(each, 'job')),
    ...placements.flatMap((placement) => {
      const queueId = deployments.get(placement.deploymentId)?.queueId;
      return queueId === undefined ? [] : usageOfPlacement(placement, queueId, nowMs);
    }),
  ];
}
