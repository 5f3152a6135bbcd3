/**
 * Which jobs a cycle judges. Few: all of them, always. Many: those that something has become known of, and of the others
 * so many that each has its turn every few seconds: deadlines, silences, blobs that arrived, and whatever else passes
 * without a row that is written, are never later than that.
 */
import type { Job } from '#domain';
import type { JobWorld } from './job-world.ts';
import type { Touched } from './touched.ts';

export const JUDGED_ALWAYS_MAX = 2_000;
/** Each job has its turn at least so often, as long as cycles come as often as the loop's interval. */
export const ROUND_MS = 4_000;

export class DueJobs {
  /** Those of the round that have not had their turn yet, the next one last. */
  private round: string[] = [];
  private lastMs: number | null = null;

  /** @param nowMs of a monotonic clock */
  pick({ jobs, attempts }: Pick<JobWorld, 'jobs' | 'attempts'>, touched: Touched, nowMs: number): Job[] {
    const passedMs = this.lastMs === null ? ROUND_MS : Math.max(0, nowMs - this.lastMs);
    this.lastMs = nowMs;
    const ids = jobs.size <= JUDGED_ALWAYS_MAX || passedMs >= ROUND_MS ? null : touched.among(jobs, attempts);
    if (ids === null) {
      this.round = [];
      return [...jobs.values()];
    }
    const turns = Math.ceil((jobs.size * passedMs) / ROUND_MS);
    if (this.round.length === 0) this.round = [...jobs.keys()].reverse();
    for (const id of this.round.splice(-turns, turns)) ids.add(id);
    return [...ids].flatMap((id) => jobs.get(id) ?? []);
  }
}
