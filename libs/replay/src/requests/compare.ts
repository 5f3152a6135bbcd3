/** Orders side by side on one request trace, at one load, on the same seeds. */
import { byClass, type ReplayClass } from '../classes.ts';
import type { ComparisonProgress } from '../progress.ts';
import { changePercent, type Range, type Ranges, rangeOf, rangesOf } from '../statistics.ts';
import type { TracedRequest } from '../traces/request-trace.ts';
import type { RequestClassOutcome, RequestOutcome } from './outcome.ts';
import { REQUEST_BASELINE, REQUEST_POLICIES, type RequestPolicyName } from './policies.ts';
import { replayRequests } from './replay-requests.ts';
import { makeRequestWorkload } from './workload.ts';

export interface RequestComparisonOptions {
  readonly trace: readonly TracedRequest[];
  readonly workers: number;
  readonly load: number;
  readonly seeds: readonly number[];
  readonly policies: readonly RequestPolicyName[];
  readonly estimateSigma: number;
}

export interface RequestComparison {
  readonly policy: RequestPolicyName;
  readonly load: number;
  readonly classes: Readonly<Record<ReplayClass, Ranges<RequestClassOutcome>>>;
  readonly all: Ranges<RequestClassOutcome>;
  /** Mean completion against FCFS on the same seed, per cent; null where FCFS was not replayed. */
  readonly completionChangePercent: Range | null;
  readonly utilisationPercent: Range;
}

/** Gives way between replays; returns a comparison a policy, in the order asked for. */
export function* compareRequestPolicies(
  options: RequestComparisonOptions,
): Generator<ComparisonProgress, RequestComparison[]> {
  const { trace, workers, load, seeds, policies, estimateSigma } = options;
  const outcomes = new Map<RequestPolicyName, RequestOutcome[]>(policies.map((policy) => [policy, []]));
  let done = 0;
  for (const seed of seeds) {
    const workload = makeRequestWorkload(trace, { seed, workers, load, estimateSigma });
    for (const policy of policies) {
      yield { policy, seed, doneShare: done++ / (seeds.length * policies.length) };
      outcomes.get(policy)!.push(replayRequests(workload, REQUEST_POLICIES[policy]));
    }
  }
  const baseline = outcomes.get(REQUEST_BASELINE) ?? null;
  return policies.map((policy) => comparisonOf(policy, load, outcomes.get(policy)!, baseline));
}

function comparisonOf(
  policy: RequestPolicyName,
  load: number,
  outcomes: readonly RequestOutcome[],
  baseline: readonly RequestOutcome[] | null,
): RequestComparison {
  const changes = outcomes.map(({ all }, index) =>
    changePercent(all.completionMsMean, baseline?.[index]?.all.completionMsMean ?? null),
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
