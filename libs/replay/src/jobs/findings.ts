/**
 * The claims about training jobs (finding 4), and the bars that the default policy is held to. Claims are held by amount:
 * each step must fall nearly as far, in part of the first, as it did in the reference; hours are those of one trace, and
 * are not compared. What no policy could reach on a trace, because too little waits there, it cannot tell.
 */
import { type Finding, type FindingRule, isFalling } from '../finding.ts';
import { changePercent } from '../statistics.ts';
import type { JobComparison } from './compare.ts';
import { JOB_BASELINE, type JobPolicyName } from './policies.ts';

const HOUR_SECONDS = 3_600;
export const LOST_PERCENT_MAX = 0.2;
export const COMPLETION_CHANGE_PERCENT_MAX = -35;

/** By how many points of per cent a fall may be short of the reference's: another fleet, other draws. */
export const SHORTFALL_POINTS_MAX = 10;

interface Step {
  /** The first of them that was replayed is measured. */
  readonly policies: readonly JobPolicyName[];
  readonly reference: number;
}

interface Ladder {
  readonly claim: string;
  /** From the most to the least. */
  readonly steps: readonly Step[];
  readonly measure: (comparison: JobComparison) => number | null;
  readonly show: (value: number) => string;
  /** From the first step to another, in points of per cent; null: there is nothing to fall from. */
  readonly fall: (first: number, value: number) => number | null;
  /** How deep it can fall on this trace, in the same points, and why no further; null: to the bottom. */
  readonly deepest: (comparisons: readonly JobComparison[]) => number | null;
}

const inPart = (first: number, value: number) => (first > 0 ? (100 * (first - value)) / first : null);

const LADDERS: readonly Ladder[] = [
  {
    claim: 'the mean wait of the high class falls from FIFO with backfill to priority to preemption',
    steps: [
      { policies: ['fifo-backfill'], reference: 23 * HOUR_SECONDS },
      { policies: ['priority'], reference: 1.65 * HOUR_SECONDS },
      { policies: ['preempt-save', 'atoll'], reference: 0 },
    ],
    measure: ({ classes }) => classes.high.waitSecondsMean?.mean ?? null,
    show: (seconds) => `${(seconds / HOUR_SECONDS).toFixed(2)} h`,
    fall: inPart,
    deepest: () => null,
  },
  {
    claim: 'less device-time is lost with checkpoints, less with the cheapest victims, least when who is stopped saves',
    steps: [
      { policies: ['preempt-kill-youngest'], reference: 19.9 },
      { policies: ['preempt-half-hourly-youngest'], reference: 0.7 },
      { policies: ['preempt-half-hourly-least-lost'], reference: 0.36 },
      { policies: ['preempt-save', 'atoll'], reference: 0.15 },
    ],
    measure: ({ lostPercent }) => lostPercent.mean,
    show: (percent) => `${percent.toFixed(2)} %`,
    fall: inPart,
    deepest: () => null,
  },
  {
    claim: 'shortest first in each class lowers the mean completion, and less so when waiting a day goes first',
    steps: [
      { policies: ['fifo-backfill'], reference: 0 },
      { policies: ['class-shortest-aged'], reference: -31 },
      { policies: ['class-shortest'], reference: -39 },
    ],
    measure: ({ completionChangePercent }) => completionChangePercent?.mean ?? null,
    show: (percent) => `${percent.toFixed(1)} %`,
    fall: (first, value) => first - value,
    deepest: (comparisons) => negated(changeWithoutWaits(comparisons)),
  },
];

/** `bestWaitSeconds`: one cycle and the time of saving, the least that a preemptor can be asked to wait. */
export function jobFindingRules(bestWaitSeconds: number): FindingRule<JobComparison>[] {
  return [
    ...LADDERS.map(
      (ladder): FindingRule<JobComparison> =>
        (comparisons) =>
          climb(ladder, comparisons),
    ),
    bar(
      'by default the high class waits (P99) no longer than one cycle and the time of saving',
      `≤ ${bestWaitSeconds} s`,
      ({ classes }) => classes.high.waitSecondsP99?.max ?? null,
      (value) => `${value.toFixed(0)} s`,
      bestWaitSeconds,
    ),
    bar(
      'by default hardly any device-time is lost',
      `≤ ${LOST_PERCENT_MAX} %`,
      ({ lostPercent }) => lostPercent.max,
      (value) => `${value.toFixed(2)} %`,
      LOST_PERCENT_MAX,
    ),
    completionBar,
  ];
}

/** As far as its steps were replayed; null unless the first and another one were. */
function climb(ladder: Ladder, comparisons: readonly JobComparison[]): Finding | null {
  const { claim, steps, measure, show, fall } = ladder;
  const present = steps.flatMap(({ policies, reference }, at) => {
    const values = policies.map((name) => measured(comparisons, name, measure)).filter((value) => value !== null);
    return values.length === 0 ? [] : { at, value: values[0]!, reference };
  });
  if (present.length < 2 || present[0]!.at !== 0) return null;
  const [values, references] = [present.map(({ value }) => value), present.map(({ reference }) => reference)];
  const [falls, wanted] = [fallsOf(values, fall), fallsOf(references, fall)];
  const { holds, why } = judge(ladder, comparisons, isFalling(values), falls, wanted);
  const words = `${stepWords(values, falls, show)}${why}`;
  return { claim, reference: stepWords(references, wanted, show), measured: words, holds };
}

function judge(
  { deepest }: Ladder,
  comparisons: readonly JobComparison[],
  isInOrder: boolean,
  falls: readonly (number | null)[],
  wanted: readonly (number | null)[],
): Pick<Finding, 'holds'> & { readonly why: string } {
  if (falls.some((each) => each === null)) return { holds: null, why: ': there is nothing to fall from' };
  const least = wanted.map((each) => each! - SHORTFALL_POINTS_MAX);
  if (isInOrder && falls.every((each, at) => each! >= least[at]!)) return { holds: true, why: '' };
  const bottom = deepest(comparisons);
  if (bottom === null || bottom >= Math.max(...least)) return { holds: false, why: '' };
  return { holds: null, why: withoutWaits(-bottom, true) };
}

function fallsOf(values: readonly number[], fall: Ladder['fall']): (number | null)[] {
  return values.slice(1).map((value) => fall(values[0]!, value));
}

/** `23.00 h, 1.65 h (−93 %)`; where values are changes already, they say it themselves. */
function stepWords(values: readonly number[], falls: readonly (number | null)[], show: Ladder['show']): string {
  const isChange = values[0] === 0;
  return values
    .map((value, at) => {
      const fallen = at === 0 || isChange ? null : (falls[at - 1] ?? null);
      return fallen === null
        ? show(value)
        : `${show(value)} (${fallen > 0 ? '-' : '+'}${Math.abs(fallen).toFixed(1)} %)`;
    })
    .join(', ');
}

function completionBar(comparisons: readonly JobComparison[]): Finding | null {
  const finding = bar(
    'by default the mean completion is far below that of FIFO with backfill',
    `≤ ${COMPLETION_CHANGE_PERCENT_MAX} %`,
    ({ completionChangePercent }) => completionChangePercent?.max ?? null,
    (value) => `${value.toFixed(1)} %`,
    COMPLETION_CHANGE_PERCENT_MAX,
  )(comparisons);
  const best = changeWithoutWaits(comparisons);
  if (finding === null || best === null) return finding;
  const isOutOfReach = finding.holds === false && best > COMPLETION_CHANGE_PERCENT_MAX;
  return {
    ...finding,
    holds: isOutOfReach ? null : finding.holds,
    measured: `${finding.measured}${withoutWaits(best, isOutOfReach)}`,
  };
}

/** The mean completion against the baseline's, in per cent, were nothing ever to wait: no policy can do better. */
function changeWithoutWaits(comparisons: readonly JobComparison[]): number | null {
  const run = measured(comparisons, JOB_BASELINE, ({ all }) => all.runSecondsMean?.mean ?? null);
  return changePercent(
    run,
    measured(comparisons, JOB_BASELINE, ({ all }) => all.completionSecondsMean?.mean ?? null),
  );
}

function withoutWaits(percent: number, isOutOfReach: boolean): string {
  const why = isOutOfReach ? ': too little waits here to tell' : '';
  return `; ${percent.toFixed(1)} % were nothing ever to wait${why}`;
}

function negated(value: number | null): number | null {
  return value === null ? null : -value;
}

/** The worst seed counts. */
function bar(
  claim: string,
  reference: string,
  measure: (comparison: JobComparison) => number | null,
  show: (value: number) => string,
  most: number,
): FindingRule<JobComparison> {
  return (comparisons): Finding | null => {
    const value = measured(comparisons, 'atoll', measure);
    return value === null ? null : { claim, reference, measured: show(value), holds: value <= most };
  };
}

function measured(
  comparisons: readonly JobComparison[],
  policy: JobPolicyName,
  measure: (comparison: JobComparison) => number | null,
): number | null {
  const comparison = comparisons.find((each) => each.policy === policy);
  return comparison === undefined ? null : measure(comparison);
}
