/**
 * A job trace made into a workload for a fleet of a given size: arrivals stretched so that the load is what was asked
 * for, and what the trace does not say — how important a job is, how well its submitter estimates — drawn from a seed.
 */
import { drawClass, type ReplayClass, replayId } from '../classes.ts';
import { ReplayInputError } from '../errors.ts';
import { logNormalFactor, seededRandom } from '../random.ts';
import type { TracedJob } from '../traces/job-trace.ts';

/** Priorities of the default classes `high`, `normal` and `low`. */
export const JOB_PRIORITIES: Readonly<Record<ReplayClass, number>> = { high: 8, medium: 5, low: 2 };

export interface ReplayJob {
  readonly id: string;
  readonly arrivalMs: number;
  readonly devices: number;
  readonly durationMs: number;
  readonly class: ReplayClass;
  /** What its submitter says. */
  readonly expectedSeconds: number;
}

export interface JobWorkload {
  readonly jobs: readonly ReplayJob[];
  readonly seed: number;
  /** Device-time asked for, over what the fleet has from the first to the last arrival. */
  readonly load: number;
}

export interface JobWorkloadOptions {
  readonly seed: number;
  readonly devices: number;
  /** Share of the fleet's device-time that is asked for, more than 0. */
  readonly load: number;
  /** σ of the log-normal error of `expectedSeconds`; 0: submitters know. */
  readonly estimateSigma: number;
}

/** Throws ReplayInputError when no stretch of a trace can give the load: all of it arrives at one moment. */
export function makeJobWorkload(traced: readonly TracedJob[], options: JobWorkloadOptions): JobWorkload {
  const { seed, load, estimateSigma } = options;
  const stretch = stretchFor(traced, options);
  const [classes, errors] = [seededRandom(seed, 'classes'), seededRandom(seed, 'estimates')];
  const jobs = traced.map((job, index): ReplayJob => {
    const error = logNormalFactor(errors, estimateSigma);
    return {
      id: replayId('job', index),
      arrivalMs: Math.round(job.arrivalSeconds * stretch * 1_000),
      devices: job.devices,
      durationMs: Math.max(1_000, Math.round(job.durationSeconds * 1_000)),
      class: drawClass(classes()),
      expectedSeconds: Math.max(1, job.durationSeconds * error),
    };
  });
  return { jobs, seed, load };
}

const PARTS = 10;

/** How many times the mean load is asked for in the busiest tenth of the time; no stretch changes it. 1: all are alike. */
export function busiestTenth(traced: readonly TracedJob[]): number {
  const span = traced.at(-1)!.arrivalSeconds;
  const parts = new Array<number>(PARTS).fill(0);
  for (const { arrivalSeconds, devices, durationSeconds } of traced) {
    const part = span === 0 ? 0 : Math.floor((arrivalSeconds / span) * PARTS);
    parts[Math.min(part, PARTS - 1)]! += devices * durationSeconds;
  }
  const asked = parts.reduce((sum, part) => sum + part, 0);
  return asked === 0 ? 1 : (Math.max(...parts) * PARTS) / asked;
}

function stretchFor(traced: readonly TracedJob[], { devices, load }: JobWorkloadOptions): number {
  if (!(load > 0)) throw new ReplayInputError('the load must be more than 0');
  const span = traced.at(-1)!.arrivalSeconds;
  if (span === 0) throw new ReplayInputError('all of the trace arrives at one moment, so that it has no load to scale');
  const asked = traced.reduce((sum, job) => sum + job.devices * job.durationSeconds, 0);
  return asked / (devices * span * load);
}
