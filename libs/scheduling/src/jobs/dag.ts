/**
 * What a job waits for. Edges go from a job to those that it depends on; they are given at submit, name only jobs that are
 * there by then, and never change. So every edge leads to an older job, and there is no cycle to look for (D03).
 *
 * Each look is at the whole: a verdict follows from the phases of this moment alone. So a diamond's end becomes ready
 * once, when the last of its parents has ended, in whatever order the news came (D04); and a parent that is tried again
 * is not ended, and holds its children (D05).
 */
import { isFinal, type Job } from '#domain';

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
  for (const { jobId, when, name } of dependsOn) {
    const dependency = dependenciesById.get(jobId);
    if (when === 'success') {
      const reason = lostBecause(name ?? jobId, dependency);
      if (reason !== null) return { state: 'cancel', reason };
    }
    if (dependency !== undefined && !isFinal(dependency.phase)) {
      waitsFor.push(`${dependency.name} (${dependency.phase})`);
    }
  }
  if (waitsFor.length === 0) return { state: 'ready' };
  const count = dependsOn.length === 1 ? 'job' : `${waitsFor.length} of ${dependsOn.length} jobs:`;
  return { state: 'waiting', reason: `waits for ${count} ${list(waitsFor)}` };
}

/** Why a dependency that had to succeed never will; null while it can, or when it did. */
function lostBecause(nameThen: string, dependency: Dependency | undefined): string | null {
  if (dependency === undefined) return `job ${nameThen}, which had to succeed first, is no longer known`;
  const { name, phase, reason } = dependency;
  if (!isFinal(phase) || phase === 'Succeeded') return null;
  return `job ${name}, which had to succeed first, is ${phase}${reason === '' ? '' : `: ${reason}`}`;
}

function list(words: readonly string[]): string {
  return words.length <= 3 ? words.join(', ') : `${words.slice(0, 3).join(', ')} and ${words.length - 3} more`;
}
