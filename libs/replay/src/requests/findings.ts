/** The claims about orders of requests (finding 3). Loads below 1 and loads above it show different things. */
import { type Finding, type FindingRule, isFalling } from '../finding.ts';
import type { RequestComparison } from './compare.ts';
import type { RequestPolicyName } from './policies.ts';

const HIGH_PASS_PERCENT_MIN = 99;
const SHORTEST_RANGE = [-32, -17] as const;
const REFERENCE_RANGE = [-11, -5] as const;

export const REQUEST_FINDING_RULES: readonly FindingRule<RequestComparison>[] = [
  shortestBeatsReference,
  shortestInRange,
  referenceInRange,
  overloadInverts,
  capCostsInOverload,
];

function shortestBeatsReference(comparisons: readonly RequestComparison[]): Finding | null {
  const names = ['fcfs', 'dynamic-weighted', 'class-shortest', 'c-mu'] as const;
  const values = complete(names.map((name) => changeOf(comparisons, name)));
  if (values === null) return null;
  const [fcfs, reference, shortest, cmu] = values as [number, number, number, number];
  return {
    claim: 'the reference order lowers the mean completion against FCFS, and class-shortest and c-mu lower it further',
    reference: '0 %, −5 … −11 %, −17 … −32 %',
    measured: values.map((value) => percent(value)).join(', '),
    holds: isFalling([fcfs, reference, Math.max(shortest, cmu)]),
  };
}

function shortestInRange(comparisons: readonly RequestComparison[]): Finding | null {
  const names = ['class-shortest', 'c-mu'] as const;
  const values = complete(names.map((name) => changeOf(comparisons, name)));
  const passes = complete(names.map((name) => passOf(comparisons, name, false)));
  if (values === null || passes === null) return null;
  return {
    claim: 'class-shortest and c-mu lower it by 17 to 32 % and keep 99 % of the high class within the deadline',
    reference: '−17 … −32 %, ≥ 99 %',
    measured: `${values.map(percent).join(' and ')}; ${passes.map(percent).join(' and ')} in time`,
    holds: values.every((value) => isWithin(value, SHORTEST_RANGE)) && Math.min(...passes) >= HIGH_PASS_PERCENT_MIN,
  };
}

function referenceInRange(comparisons: readonly RequestComparison[]): Finding | null {
  const value = changeOf(comparisons, 'dynamic-weighted');
  if (value === null) return null;
  return {
    claim: 'the reference order lowers it by 5 to 11 %',
    reference: '−5 … −11 %',
    measured: percent(value),
    holds: isWithin(value, REFERENCE_RANGE),
  };
}

function overloadInverts(comparisons: readonly RequestComparison[]): Finding | null {
  const [inverted, kept] = [
    passOf(comparisons, 'dynamic-weighted-0-1', true),
    passOf(comparisons, 'static-priority', true),
  ];
  if (inverted === null || kept === null) return null;
  return {
    claim: 'in overload the reference order with levels 0..1 inverts classes: the high one misses what static keeps',
    reference: '48 % against 99.8 %',
    measured: `${percent(inverted)} against ${percent(kept)}`,
    holds: inverted < kept - 10 && kept >= HIGH_PASS_PERCENT_MIN,
  };
}

function capCostsInOverload(comparisons: readonly RequestComparison[]): Finding | null {
  const at = (name: RequestPolicyName) => find(comparisons, name, true)?.all.passPercent?.mean ?? null;
  const [capped, free] = [at('class-shortest-capped'), at('class-shortest')];
  if (capped === null || free === null) return null;
  return {
    claim: 'in overload a hard wait cap costs pass rate',
    reference: 'costs',
    measured: `${percent(capped)} with it, ${percent(free)} without`,
    holds: capped < free,
  };
}

function find(comparisons: readonly RequestComparison[], policy: RequestPolicyName, isOverload: boolean) {
  return comparisons.find((each) => each.policy === policy && each.load > 1 === isOverload);
}

function changeOf(comparisons: readonly RequestComparison[], policy: RequestPolicyName): number | null {
  return find(comparisons, policy, false)?.completionChangePercent?.mean ?? null;
}

function passOf(comparisons: readonly RequestComparison[], policy: RequestPolicyName, isOverload: boolean) {
  return find(comparisons, policy, isOverload)?.classes.high.passPercent?.mean ?? null;
}

function complete(values: readonly (number | null)[]): number[] | null {
  const present = values.filter((value) => value !== null);
  return present.length === values.length ? present : null;
}

function isWithin(value: number, [low, high]: readonly [number, number]): boolean {
  return value >= low && value <= high;
}

function percent(value: number): string {
  return `${value.toFixed(1)} %`;
}
