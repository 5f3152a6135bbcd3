/** What runs now has used until now, as it would be charged were it to end: whoever reads an account adds it (F12). */
import { type Job, type QueueUsage, usageOf } from '#domain';
import { usageOfPlacement } from '../leader/charge-placements.ts';
import type { JobWorld } from './job-world.ts';
import { heldBy } from './settle-jobs.ts';

export function usageOfRunning(
  world: Pick<JobWorld, 'nowMs' | 'attempts' | 'placements' | 'deployments'>,
  jobs: ReadonlyMap<string, Pick<Job, 'tenantId' | 'queueId'>>,
): QueueUsage[] {
  const { nowMs, attempts, placements, deployments } = world;
  return [
    ...attempts.flatMap((attempt) => {
      const job = jobs.get(attempt.jobId);
      return job === undefined ? [] : usageOf(heldBy(job, attempt, nowMs), 'job');
    }),
    ...placements.flatMap((placement) => {
      const queueId = deployments.get(placement.deploymentId)?.queueId;
      return queueId === undefined ? [] : usageOfPlacement(placement, queueId, nowMs);
    }),
  ];
}
