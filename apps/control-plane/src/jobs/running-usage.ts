/** What runs now has used until now, as it would be charged were it to end: whoever reads an account adds it (F12). */
import { type QueueUsage, usageOf } from '#domain';
import { usageOfPlacement } from '../leader/charge-placements.ts';
import type { JobWorld } from './job-world.ts';
import { heldBy } from './settle-jobs.ts';

const DAY_MS = 86_400_000;

/**
 * Attempts of a queue that began on the same day are one holder that began at their mean time, weighted by devices: their
 * sum is the same, and there may be tens of thousands of them.
 */
export function usageOfRunning(
  world: Pick<JobWorld, 'nowMs' | 'jobs' | 'attempts' | 'placements' | 'deployments'>,
): QueueUsage[] {
  const { nowMs, placements, deployments } = world;
  return [
    ...heldTogether(world).flatMap((held) => usageOf(held, 'job')),
    ...placements.flatMap((placement) => {
      const queueId = deployments.get(placement.deploymentId)?.queueId;
      return queueId === undefined ? [] : usageOfPlacement(placement, queueId, nowMs);
    }),
  ];
}

type Held = ReturnType<typeof heldBy>;

function heldTogether({ nowMs, jobs, attempts }: Pick<JobWorld, 'nowMs' | 'jobs' | 'attempts'>): Held[] {
  const together = new Map<string, { first: Held; dayMs: number; count: number; laterMs: number }>();
  for (const attempt of attempts.values()) {
    const job = jobs.get(attempt.jobId);
    if (job === undefined) continue;
    const fromMs = Math.min(attempt.createdAt.getTime(), nowMs);
    const day = Math.floor(fromMs / DAY_MS);
    const key = `${job.queueId} ${attempt.claim.deviceType} ${day}`;
    let sum = together.get(key);
    if (sum === undefined) {
      sum = { first: heldBy(job, attempt, nowMs), dayMs: day * DAY_MS, count: 0, laterMs: 0 };
      together.set(key, sum);
    }
    const count = attempt.claim.count * attempt.tasks.length;
    sum.count += count;
    sum.laterMs += count * (fromMs - sum.dayMs);
  }
  return [...together.values()].map(({ first, dayMs, count, laterMs }) => {
    return { ...first, count, fromMs: dayMs + (count === 0 ? 0 : laterMs / count) };
  });
}
