/**
 * What a job waits for. Edges go from a job to those that it depends on; they are given at submit and never change, so a
 * job of long ago can never come to depend on one of today, and a graph that was free of cycles stays so.
 *
 * Each look is at the whole: a verdict follows from the phases of this moment alone. So a diamond's end becomes ready
 * once, when the last of its parents has ended, in whatever order the news came (D04); and a parent that is tried again
 * is not ended, and holds its children (D05).
 */
import { isFinal, JOB_DEPENDENCIES_MAX, type Job } from '#domain';

export type DependencyVerdict =
  | { readonly state: 'ready' }
  | { readonly state: 'waiting'; readonly reason: string }
  | { readonly state: 'cancel'; readonly reason: string };

type Dependency = Pick<Job, 'id' | 'name' | 'phase' | 'reason'>;

/**
 * `dependenciesById`: the jobs that it depends on, those that still exist. Only ended jobs are ever removed, so one that
 * is gone has ended; how is not known any more, which is enough for `always` and not for `success`.
 *
 * A failed dependency cancels at once, whatever else is still running (D02).
 */
export function dependencyVerdict(
  { dependsOn }: Pick<Job, 'dependsOn'>,
  dependenciesById: ReadonlyMap<string, Dependency>,
): DependencyVerdict {
  const waitsFor: string[] = [];
  for (const { jobId, when } of dependsOn) {
    const dependency = dependenciesById.get(jobId);
    if (when === 'success') {
      const reason = lostBecause(jobId, dependency);
      if (reason !== null) return { state: 'cancel', reason };
    }
    if (dependency !== undefined && !isFinal(dependency.phase)) {
      waitsFor.push(`${dependency.name} (${dependency.phase})`);
    }
  }
  if (waitsFor.length === 0) return { state: 'ready' };
  return { state: 'waiting', reason: `waits for ${waitsFor.length} of ${dependsOn.length} jobs: ${list(waitsFor)}` };
}

/** Why a dependency that had to succeed never will; null while it can, or when it did. */
function lostBecause(jobId: string, dependency: Dependency | undefined): string | null {
  if (dependency === undefined) return `job ${jobId}, which had to succeed first, is no longer known`;
  const { name, phase, reason } = dependency;
  if (!isFinal(phase) || phase === 'Succeeded') return null;
  return `job ${name}, which had to succeed first, is ${phase}${reason === '' ? '' : `: ${reason}`}`;
}

export type DagJob = Pick<Job, 'id' | 'name' | 'dependsOn'>;

/**
 * Why jobs that are submitted together cannot be, or null when they can (D03). `existing`: at least those of their
 * dependencies that exist and that the submitter may see; what is in neither is unknown.
 */
export function dagProblem(submitted: readonly DagJob[], existing: ReadonlyMap<string, DagJob>): string | null {
  const jobs = new Map(existing);
  for (const job of submitted) jobs.set(job.id, job);
  for (const job of submitted) {
    const problem = edgesProblem(job, jobs);
    if (problem !== null) return problem;
  }
  const cycle = findCycle(jobs);
  return cycle === null ? null : `jobs would wait for each other for ever: ${cycle.join(' → ')}`;
}

function edgesProblem({ id, name, dependsOn }: DagJob, jobs: ReadonlyMap<string, DagJob>): string | null {
  if (dependsOn.length > JOB_DEPENDENCIES_MAX) {
    return `job ${name} depends on ${dependsOn.length} jobs; at most ${JOB_DEPENDENCIES_MAX} are allowed`;
  }
  const seen = new Set<string>();
  for (const { jobId } of dependsOn) {
    if (jobId === id) return `job ${name} depends on itself`;
    if (!jobs.has(jobId)) return `job ${name} depends on job ${jobId}, which does not exist`;
    if (seen.has(jobId)) return `job ${name} names job ${jobs.get(jobId)!.name} twice`;
    seen.add(jobId);
  }
  return null;
}

/** Names along a cycle, the first repeated at the end; null when there is none. O(jobs + edges). */
function findCycle(jobs: ReadonlyMap<string, DagJob>): string[] | null {
  const tied = withoutEnds(jobs);
  const trail: DagJob[] = [];
  let [here] = tied.values();
  while (here !== undefined && !trail.includes(here)) {
    trail.push(here);
    here = here.dependsOn.map(({ jobId }) => tied.get(jobId)).find((next) => next !== undefined);
  }
  return here === undefined ? null : [...trail.slice(trail.indexOf(here)), here].map(({ name }) => name);
}

/** The jobs left once those that depend on nothing are taken away, again and again: each depends on another of them. */
function withoutEnds(jobs: ReadonlyMap<string, DagJob>): Map<string, DagJob> {
  const left = new Map(jobs);
  const dependents = new Map<string, DagJob[]>();
  const open = new Map<string, number>();
  for (const job of jobs.values()) {
    const known = job.dependsOn.filter(({ jobId }) => jobs.has(jobId));
    open.set(job.id, known.length);
    for (const { jobId } of known) pushTo(dependents, jobId, job);
  }
  const ends = [...jobs.values()].filter(({ id }) => open.get(id) === 0);
  for (const { id } of ends) {
    left.delete(id);
    for (const dependent of dependents.get(id) ?? []) {
      open.set(dependent.id, open.get(dependent.id)! - 1);
      if (open.get(dependent.id) === 0) ends.push(dependent);
    }
  }
  return left;
}

function pushTo<Value>(lists: Map<string, Value[]>, key: string, value: Value): void {
  const values = lists.get(key);
  if (values === undefined) lists.set(key, [value]);
  else values.push(value);
}

function list(words: readonly string[]): string {
  return words.length <= 3 ? words.join(', ') : `${words.slice(0, 3).join(', ')} and ${words.length - 3} more`;
}
