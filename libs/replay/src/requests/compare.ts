/** Orders of requests side by side: their outcomes on the same seeds become ranges over these. */
import { byClass, type ReplayClass } from '../classes.ts';
import { changePercent, type Range, type Ranges, rangeOf, rangesOf } from '../statistics.ts';
import type { ReplayedRequests } from '../study.ts';
import type { RequestClassOutcome, RequestOutcome } from './outcome.ts';
import { REQUEST_BASELINE, type RequestPolicyName } from './policies.ts';

export interface RequestComparison {
  readonly policy: RequestPolicyName;
  readonly load: number;
  readonly classes: Readonly<Record<ReplayClass, Ranges<RequestClassOutcome>>>;
  readonly all: Ranges<RequestClassOutcome>;
  /** Mean completion against FCFS on the same seed, per cent; null where FCFS was not replayed. */
  readonly completionChangePercent: Range | null;
  readonly utilisationPercent: Range;
}

/** One for each load and policy, in the order of the tasks. */
export function compareRequests(replayed: readonly ReplayedRequests[]): RequestComparison[] {
  const byLoad = Map.groupBy(replayed, ({ task }) => task.load);
  return [...byLoad].flatMap(([load, ofLoad]) => {
    const byPolicy = Map.groupBy(ofLoad, ({ task }) => task.policy);
    const baseline = new Map(byPolicy.get(REQUEST_BASELINE)?.map(({ task, outcome }) => [task.seed, outcome]));
    return [...byPolicy].map(([policy, each]) => comparisonOf(policy, load, each, baseline));
  });
}

function comparisonOf(
  policy: RequestPolicyName,
  load: number,
  replayed: readonly ReplayedRequests[],
  baseline: ReadonlyMap<number, RequestOutcome>,
): RequestComparison {
  const outcomes = replayed.map(({ outcome }) => outcome);
  const changes = replayed.map(({ task, outcome }) =>
    changePercent(outcome.all.completionMsMean, baseline.get(task.seed)?.all.completionMsMean ?? null),
  );
  return {
    policy,
    load,
    classes: byClass((name) => rangesOf(outcomes.map(({ classes }) => classes[name]))),
    all: rangesOf(outcomes.map(({ all }) => all)),
    completionChangePercent: rangeOf(changes),
    utilisationPercent: rangeOf(outcomes.map(({ utilisationPercent }) => utilisationPercent))!,
  };
}
