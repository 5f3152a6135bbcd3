/** The claims about routing by prompts (findings 1 and 2, case A06), looked at for each load. */
import { type Finding, type FindingRule, findingsOf, isFalling } from '../finding.ts';
import { changePercent } from '../statistics.ts';
import type { PromptComparison } from './compare.ts';
import type { PromptPolicyName } from './policies.ts';

const CHANGE_PERCENT_MAX = -45;
const OLD_LOSS_PERCENT_MAX = 5;
const COLLAPSE_FACTOR = 10;
const IMBALANCE_MAX = 1.1;

const RULES: readonly FindingRule<PromptComparison>[] = [
  ledgerWins,
  ledgerIsNeverOld,
  ledgerIsRobust,
  ledgerIsEven,
  leastCostCollapses,
  inverseLoadLags,
];

export function promptFindings(comparisons: readonly PromptComparison[]): Finding[] {
  return [...Map.groupBy(comparisons, ({ load }) => load)].flatMap(([load, ofLoad]) =>
    findingsOf(RULES, ofLoad).map((finding) => ({ ...finding, claim: `at load ${load}, ${finding.claim}` })),
  );
}

function ledgerWins(comparisons: readonly PromptComparison[]): Finding | null {
  const change = changeOf(comparisons, 'atoll', 'power-of-two');
  if (change === null) return null;
  return {
    claim: 'the mean first token comes 45 % sooner than with power of two',
    reference: '−47 %, bar ≤ −45 %',
    measured: percent(change),
    holds: change <= CHANGE_PERCENT_MAX,
  };
}

function ledgerIsNeverOld(comparisons: readonly PromptComparison[]): Finding | null {
  const loss = changeOf(comparisons, 'atoll-old', 'atoll');
  const others = changeOf(comparisons, 'least-requests-old', 'least-requests');
  if (loss === null || others === null) return null;
  return {
    claim: 'reports that are a second old cost it nothing, while least requests degrades',
    reference: '0 %, bar ≤ 5 %; least requests +180 %',
    measured: `${percent(loss)}; least requests ${percent(others)}`,
    holds: loss <= OLD_LOSS_PERCENT_MAX && others > loss,
  };
}

/** Power of two looks neither at sizes nor at prefixes, so that only the age of reports can trouble it as well. */
function ledgerIsRobust(comparisons: readonly PromptComparison[]): Finding | null {
  const change = changeOf(comparisons, 'atoll-rough', 'power-of-two-old');
  const againstExact = changeOf(comparisons, 'atoll-rough', 'power-of-two');
  if (change === null || againstExact === null) return null;
  return {
    claim: 'it stays so with sizes wrong by σ 0.6, a fifth of the hits unseen and reports a second old',
    reference: '−52 %, bar ≤ −45 %',
    measured: `${percent(change)}; ${percent(againstExact)} where the reports to power of two alone are not old`,
    holds: change <= CHANGE_PERCENT_MAX,
  };
}

function ledgerIsEven(comparisons: readonly PromptComparison[]): Finding | null {
  const imbalance = find(comparisons, 'atoll-old')?.imbalance?.mean ?? null;
  if (imbalance === null) return null;
  return {
    claim: 'with reports a second old no worker has over a tenth more work than the mean (A06)',
    reference: '≤ 1.1',
    measured: imbalance.toFixed(3),
    holds: imbalance <= IMBALANCE_MAX,
  };
}

function leastCostCollapses(comparisons: readonly PromptComparison[]): Finding | null {
  const [collapsed, even] = [meanOf(comparisons, 'least-cost'), meanOf(comparisons, 'round-robin')];
  if (collapsed === null || even === null) return null;
  return {
    claim: 'the reference formula herds: the mean first token comes ten times later than with round robin, or worse',
    reference: '202 s against 1.4 s',
    measured: `${seconds(collapsed)} against ${seconds(even)}`,
    holds: collapsed >= COLLAPSE_FACTOR * even,
  };
}

function inverseLoadLags(comparisons: readonly PromptComparison[]): Finding | null {
  const names = ['inverse-load', 'inverse-load-0.2', 'round-robin'] as const;
  const means = names.map((name) => meanOf(comparisons, name)).filter((value) => value !== null);
  if (means.length < names.length) return null;
  return {
    claim: 'the reference draw is later than round robin, and with α 0.8 later than with 0.2',
    reference: '3.1 s, 2.0 s, 1.4 s',
    measured: means.map(seconds).join(', '),
    holds: isFalling(means),
  };
}

function find(comparisons: readonly PromptComparison[], policy: PromptPolicyName): PromptComparison | undefined {
  return comparisons.find((each) => each.policy === policy);
}

function meanOf(comparisons: readonly PromptComparison[], policy: PromptPolicyName): number | null {
  return find(comparisons, policy)?.firstTokenMsMean?.mean ?? null;
}

function changeOf(
  comparisons: readonly PromptComparison[],
  policy: PromptPolicyName,
  base: PromptPolicyName,
): number | null {
  return changePercent(meanOf(comparisons, policy), meanOf(comparisons, base));
}

function percent(value: number): string {
  return `${value > 0 ? '+' : ''}${value.toFixed(1)} %`;
}

function seconds(value: number): string {
  return `${(value / 1_000).toFixed(value < 10_000 ? 2 : 0)} s`;
}
