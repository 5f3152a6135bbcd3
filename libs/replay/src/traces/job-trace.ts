/**
 * A trace of training jobs: when each was submitted, how many devices it used and for how long.
 * Format: `arrival_s,vc,job_type,num_gpu,duration_s_v100` (Philly, as Gavel prepared it).
 */
import { TraceError } from '../errors.ts';
import { linesOf, numberIn } from './csv.ts';

export const JOB_TRACE_HEADER = 'arrival_s,vc,job_type,num_gpu,duration_s_v100';

export interface TracedJob {
  /** From the first arrival. */
  readonly arrivalSeconds: number;
  readonly tenant: string;
  /** Whole devices, all for one member. */
  readonly devices: number;
  readonly durationSeconds: number;
}

/** In order of arrival. Throws TraceError on lines that are no job, and on a trace without any. */
export function parseJobTrace(text: string): TracedJob[] {
  const jobs = linesOf(text, JOB_TRACE_HEADER.split(',').length).map((line): TracedJob => {
    const [arrival, tenant, , devices, duration] = line.fields;
    const count = numberIn(line, 'num_gpu', devices, 1);
    if (!Number.isInteger(count)) throw new TraceError(`line ${line.number}: num_gpu must be a whole number`);
    return {
      arrivalSeconds: numberIn(line, 'arrival_s', arrival, 0),
      tenant: tenant!,
      devices: count,
      durationSeconds: numberIn(line, 'duration_s_v100', duration, 0),
    };
  });
  if (jobs.length === 0) throw new TraceError('the trace holds no jobs');
  return fromZero(jobs);
}

function fromZero(jobs: readonly TracedJob[]): TracedJob[] {
  const sorted = [...jobs].sort((left, right) => left.arrivalSeconds - right.arrivalSeconds);
  const first = sorted[0]!.arrivalSeconds;
  return sorted.map((job) => ({ ...job, arrivalSeconds: job.arrivalSeconds - first }));
}
