/**
 * What somebody can do about a job that does not run, where it is not for the planner to say: what is suspended, has
 * ended, waits for others or for its next try. Each a sentence that names the call or the field. Pure.
 */
import type { Attempt, Job, JobPhase } from '#domain';

export interface JobNow {
  readonly job: Job;
  /** Its newest attempt; null: there was none, or none is kept. */
  readonly newest: Attempt | null;
  /** Unix milliseconds, of the clock that `retryAt` is by. */
  readonly nowMs: number;
}

type Advise = (now: JobNow) => string[];

/** Of what runs, comes or has succeeded there is nothing to change. */
const ADVICE: Readonly<Partial<Record<JobPhase, Advise>>> = {
  Waiting: ({ job }) => [`it goes on by itself once ${namesOf(job)} ended as it asks; retry what fails before that`],
  Queued: ({ job, nowMs }) => {
    if (job.retryAt === null || job.retryAt.getTime() <= nowMs) return [];
    return [`it is tried again by itself at ${job.retryAt.toISOString()}; cancel it if that cannot help`];
  },
  Failed: adviseFailed,
  Cancelled: ({ job }) => {
    const isByOthers = job.queuedAt === null && job.cancelRequestedAt === null && job.dependsOn.length > 0;
    return [isByOthers ? `retry first what it depends on (${namesOf(job)}), then it: ${retry(job)}` : retryIt(job)];
  },
};

const ENDED: ReadonlySet<JobPhase> = new Set(['Succeeded', 'Failed', 'Cancelled']);

/** Empty where nothing is to be done. */
export function nextSteps(now: JobNow): string[] {
  const { job } = now;
  if (job.suspended && job.cancelRequestedAt === null && !ENDED.has(job.phase)) {
    return [`resume it: atoll job resume ${job.name}`];
  }
  return ADVICE[job.phase]?.(now) ?? [];
}

function adviseFailed({ job, newest }: JobNow): string[] {
  const { runDeadlineSeconds: run, startDeadlineSeconds: start, retry: policy } = job.spec;
  if (run !== null && job.ranSeconds >= run) {
    return [`submit it anew with a runDeadlineSeconds above ${run}: a retry would end at once`];
  }
  if (newest === null && start !== null) {
    return [`submit it anew with a startDeadlineSeconds above ${start}, or wait for that long again: ${retry(job)}`];
  }
  const code = newest?.exitCode ?? null;
  const useless = code === null ? undefined : USELESS[code];
  if (useless !== undefined) return [`${useless}, and submit it anew; once that is so without a change: ${retry(job)}`];
  if (code === null) return [retryIt(job)];
  const log = `mend what made it end with exit code ${code} (its log: atoll job logs ${job.name})`;
  const isListed = policy.exitCodes?.includes(code) ?? true;
  const more = isListed
    ? `a retry.limit above ${policy.limit} gives it more tries by itself`
    : `with ${code} among retry.exitCodes it is tried again by itself`;
  return [`${log}, then ${retry(job)}`, `${more}; that asks for submitting it anew`];
}

/** Exit codes after which the same command comes to the same end. */
const USELESS: Readonly<Record<number, string>> = {
  0: 'let its command leave what it asks for in ATOLL_OUTPUT_DIR (exit code 0: it ended well, and its output was not taken)',
  126: 'mend the command (exit code 126: it cannot be started)',
  127: 'mend the command (exit code 127: it was not found where it ran)',
};

function namesOf({ dependsOn }: Job): string {
  const names = dependsOn.map(({ jobId, name = jobId }) => name);
  return names.length <= 5 ? names.join(', ') : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`;
}

function retryIt(job: Job): string {
  return `retry it: ${retry(job)}`;
}

function retry({ name }: Job): string {
  return `atoll job retry ${name}`;
}
