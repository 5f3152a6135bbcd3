/** Ways to route prompts side by side: their outcomes on the same seeds become ranges over these. */
import { changePercent, type Range, type Ranges, rangeOf, rangesOf } from '../statistics.ts';
import type { ReplayedPrompts } from '../study.ts';
import type { PromptOutcome } from './outcome.ts';
import { PROMPT_BASELINE, type PromptPolicyName } from './policies.ts';

export interface PromptComparison extends Ranges<Omit<PromptOutcome, 'seed' | 'load'>> {
  readonly policy: PromptPolicyName;
  readonly load: number;
  /** Mean first token against power-of-two on the same seed, per cent; null where that was not replayed. */
  readonly changePercent: Range | null;
}

/** One for each load and policy, in the order of the tasks. */
export function comparePrompts(replayed: readonly ReplayedPrompts[]): PromptComparison[] {
  const byLoad = Map.groupBy(replayed, ({ task }) => task.load);
  return [...byLoad].flatMap(([load, ofLoad]) => {
    const byPolicy = Map.groupBy(ofLoad, ({ task }) => task.policy);
    const baseline = new Map(byPolicy.get(PROMPT_BASELINE)?.map(({ task, outcome }) => [task.seed, outcome]));
    return [...byPolicy].map(([policy, each]) => comparisonOf(policy, load, each, baseline));
  });
}

function comparisonOf(
  policy: PromptPolicyName,
  load: number,
  replayed: readonly ReplayedPrompts[],
  baseline: ReadonlyMap<number, PromptOutcome>,
): PromptComparison {
  const changes = replayed.map(({ task, outcome }) =>
    changePercent(outcome.firstTokenMsMean, baseline.get(task.seed)?.firstTokenMsMean ?? null),
  );
  const measures = replayed.map(({ outcome: { seed: _seed, load: _load, ...rest } }) => rest);
  return { ...rangesOf(measures), policy, load, changePercent: rangeOf(changes) };
}
