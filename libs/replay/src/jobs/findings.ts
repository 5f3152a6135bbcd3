/** The claims about training jobs (finding 4), and the bars that the default policy is held to. */
import { type Finding, type FindingRule, isFalling } from '../finding.ts';
import type { JobComparison } from './compare.ts';
import type { JobPolicyName } from './policies.ts';

const HOUR_SECONDS = 3_600;
export const LOST_PERCENT_MAX = 0.2;
export const COMPLETION_CHANGE_PERCENT_MAX = -35;

interface Ladder {
  readonly claim: string;
  readonly reference: string;
  /** From the most to the least. */
  readonly policies: readonly JobPolicyName[];
  readonly measure: (comparison: JobComparison) => number | null;
  readonly show: (value: number) => string;
}

const LADDERS: readonly Ladder[] = [
  {
    claim: 'the mean wait of the high class falls from FIFO with backfill to priority to preemption',
    reference: '23 h, 1.65 h, 0.00 h',
    policies: ['fifo-backfill', 'priority', 'preempt-save'],
    measure: ({ classes }) => classes.high.waitSecondsMean?.mean ?? null,
    show: (seconds) => `${(seconds / HOUR_SECONDS).toFixed(2)} h`,
  },
  {
    claim: 'less device-time is lost with checkpoints, less with the cheapest victims, least when who is stopped saves',
    reference: '19.9 %, 0.70 %, 0.36 %, 0.15 %',
    policies: [
      'preempt-kill-youngest',
      'preempt-half-hourly-youngest',
      'preempt-half-hourly-least-lost',
      'preempt-save',
    ],
    measure: ({ lostPercent }) => lostPercent.mean,
    show: (percent) => `${percent.toFixed(2)} %`,
  },
  {
    claim: 'shortest first in each class lowers the mean completion, and less so when waiting a day goes first',
    reference: '0 %, −31 %, −39 %',
    policies: ['fifo-backfill', 'class-shortest-aged', 'class-shortest'],
    measure: ({ completionChangePercent }) => completionChangePercent?.mean ?? null,
    show: (percent) => `${percent.toFixed(1)} %`,
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
    bar(
      'by default the mean completion is far below that of FIFO with backfill',
      `≤ ${COMPLETION_CHANGE_PERCENT_MAX} %`,
      ({ completionChangePercent }) => completionChangePercent?.max ?? null,
      (value) => `${value.toFixed(1)} %`,
      COMPLETION_CHANGE_PERCENT_MAX,
    ),
  ];
}

function climb({ claim, reference, policies, measure, show }: Ladder, comparisons: readonly JobComparison[]) {
  const values = policies.map((name) => measured(comparisons, name, measure));
  if (values.some((value) => value === null)) return null;
  const present = values as number[];
  return { claim, reference, measured: present.map(show).join(', '), holds: isFalling(present) };
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
