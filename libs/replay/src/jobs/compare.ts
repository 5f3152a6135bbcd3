/** Policies side by side: their outcomes on the same seeds become ranges over these. */
import { byClass, type ReplayClass } from '../classes.ts';
import { changePercent, type Range, type Ranges, rangeOf, rangesOf } from '../statistics.ts';
import type { ReplayedJobs } from '../study.ts';
import type { ClassOutcome, JobOutcome } from './outcome.ts';
import { JOB_BASELINE, type JobPolicyName } from './policies.ts';

/** Every measure of ClassOutcome as a range over the seeds; null where no seed has it. */
export type ClassRanges = Ranges<ClassOutcome>;

export interface JobComparison {
  readonly policy: JobPolicyName;
  readonly load: number;
  readonly classes: Readonly<Record<ReplayClass, ClassRanges>>;
  readonly all: ClassRanges;
  /** Mean completion against the baseline's on the same seed, per cent; null where the baseline was not replayed. */
  readonly completionChangePercent: Range | null;
  readonly lostPercent: Range;
  readonly utilisationPercent: Range;
  readonly stops: Range;
  /** Larger than the fleet: never tried. */
  readonly impossible: Range;
}

/** One for each load and policy, in the order of the tasks. */
export function compareJobs(replayed: readonly ReplayedJobs[]): JobComparison[] {
  const byLoad = Map.groupBy(replayed, ({ task }) => task.load);
  return [...byLoad].flatMap(([load, ofLoad]) => {
    const byPolicy = Map.groupBy(ofLoad, ({ task }) => task.policy);
    const baseline = new Map(byPolicy.get(JOB_BASELINE)?.map(({ task, outcome }) => [task.seed, outcome]));
    return [...byPolicy].map(([policy, each]) => comparisonOf(policy, load, each, baseline));
  });
}

function comparisonOf(
  policy: JobPolicyName,
  load: number,
  replayed: readonly ReplayedJobs[],
  baseline: ReadonlyMap<number, JobOutcome>,
): JobComparison {
  const outcomes = replayed.map(({ outcome }) => outcome);
  const over = (of: (outcome: JobOutcome) => number) => rangeOf(outcomes.map(of))!;
  const changes = replayed.map(({ task, outcome }) =>
    changePercent(outcome.all.completionSecondsMean, baseline.get(task.seed)?.all.completionSecondsMean ?? null),
  );
  return {
    policy,
    load,
    classes: byClass((name) => rangesOf(outcomes.map(({ classes }) => classes[name]))),
    all: rangesOf(outcomes.map(({ all }) => all)),
    completionChangePercent: rangeOf(changes),
    lostPercent: over(({ lostPercent }) => lostPercent),
    utilisationPercent: over(({ utilisationPercent }) => utilisationPercent),
    stops: over(({ stops }) => stops),
    impossible: over(({ impossible }) => impossible),
  };
}
