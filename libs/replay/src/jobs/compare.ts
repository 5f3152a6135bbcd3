/** Policies side by side on one trace: each is replayed on the same seeds, and its measures become ranges over them. */
import { byClass, type ReplayClass } from '../classes.ts';
import { devicesOf, type FleetShape } from '../fleet.ts';
import type { ComparisonProgress } from '../progress.ts';
import { changePercent, type Range, type Ranges, rangeOf, rangesOf } from '../statistics.ts';
import type { TracedJob } from '../traces/job-trace.ts';
import type { ClassOutcome, JobOutcome } from './outcome.ts';
import { JOB_BASELINE, JOB_POLICIES, type JobPolicyName } from './policies.ts';
import { type JobReplayOptions, stepJobReplay } from './replay-jobs.ts';
import { makeJobWorkload } from './workload.ts';

export interface JobComparisonOptions {
  readonly trace: readonly TracedJob[];
  readonly fleet: FleetShape;
  /** Of the fleet's capacity; see `makeJobWorkload`. */
  readonly load: number;
  readonly seeds: readonly number[];
  readonly policies: readonly JobPolicyName[];
  readonly cycleSeconds: number;
  readonly estimateSigma: number;
}

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

/** Gives way between steps of some milliseconds; returns a comparison a policy, in the order asked for. */
export function* compareJobPolicies(options: JobComparisonOptions): Generator<ComparisonProgress, JobComparison[]> {
  const { seeds, policies } = options;
  const outcomes = new Map<JobPolicyName, JobOutcome[]>(policies.map((policy) => [policy, []]));
  const replays = seeds.flatMap((seed) => policies.map((policy) => ({ seed, policy })));
  for (const [index, { seed, policy }] of replays.entries()) {
    const steps = stepJobReplay(replayOf(options, policy, seed));
    let step = steps.next();
    for (; !step.done; step = steps.next()) {
      yield { policy, seed, doneShare: (index + step.value.endedShare) / replays.length };
    }
    outcomes.get(policy)!.push(step.value);
  }
  const baseline = outcomes.get(JOB_BASELINE) ?? null;
  return policies.map((policy) => comparisonOf(policy, options.load, outcomes.get(policy)!, baseline));
}

function replayOf(options: JobComparisonOptions, policy: JobPolicyName, seed: number): JobReplayOptions {
  const { trace, fleet, load, cycleSeconds, estimateSigma } = options;
  const workload = makeJobWorkload(trace, { seed, devices: devicesOf(fleet), load, estimateSigma });
  return { workload, fleet, policy: JOB_POLICIES[policy], cycleSeconds };
}

function comparisonOf(
  policy: JobPolicyName,
  load: number,
  outcomes: readonly JobOutcome[],
  baseline: readonly JobOutcome[] | null,
): JobComparison {
  const over = (of: (outcome: JobOutcome) => number) => rangeOf(outcomes.map(of))!;
  const changes = outcomes.map(({ all }, index) =>
    changePercent(all.completionSecondsMean, baseline?.[index]?.all.completionSecondsMean ?? null),
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
