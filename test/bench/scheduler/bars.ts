/** What a run is held to (SCHEDULING.md), and whether it got there. */
import type { CrashReport } from './crashes.ts';

export interface SchedulerRow {
  readonly scenario: string;
  readonly mode: 'memory' | 'durable';
  readonly nodes: number;
  readonly jobs: number;
  /** Decisions: workloads placed, or refused with a reason. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly rssMB: number;
}

export interface BarResult {
  readonly bar: string;
  readonly measured: string;
  readonly isMet: boolean;
}

interface Bar {
  readonly bar: string;
  readonly applies: (row: SchedulerRow) => boolean;
  readonly measure: (row: SchedulerRow) => number;
  readonly unit: string;
  readonly least?: number;
  readonly most?: number;
}

const BAR_NODES = 5_000;

const BARS: readonly Bar[] = [
  {
    bar: `at least 50,000 decisions a second in memory at ${BAR_NODES} nodes`,
    applies: ({ scenario, mode, nodes }) => scenario === 'basic' && mode === 'memory' && nodes === BAR_NODES,
    measure: ({ perSecond }) => perSecond,
    unit: '/s',
    least: 50_000,
  },
  {
    bar: 'at least 4,000 decisions a second with the commit to Postgres',
    applies: ({ mode, scenario }) => mode === 'durable' && scenario.endsWith('-256'),
    measure: ({ perSecond }) => perSecond,
    unit: '/s',
    least: 4_000,
  },
  {
    bar: `a decision takes at most 50 ms (P99) at up to ${BAR_NODES} nodes`,
    applies: ({ mode, nodes }) => mode === 'memory' && nodes <= BAR_NODES,
    measure: ({ p99Ms }) => p99Ms,
    unit: ' ms',
    most: 50,
  },
  {
    bar: 'a dry run of a preemption takes at most 5 ms (P99) at 1,000 nodes',
    applies: ({ scenario }) => scenario === 'preemption-dry-run',
    measure: ({ p99Ms }) => p99Ms,
    unit: ' ms',
    most: 5,
  },
];

/** Of every row that a bar applies to the worst counts; a bar without rows is left out. */
export function barsOf(rows: readonly SchedulerRow[]): BarResult[] {
  return BARS.flatMap(({ bar, applies, measure, unit, least, most }) => {
    const values = rows.filter(applies).map((row) => ({ row, value: measure(row) }));
    if (values.length === 0) return [];
    const sign = least === undefined ? -1 : 1;
    const worst = values.reduce((low, each) => (sign * each.value < sign * low.value ? each : low));
    const isMet =
      worst.value >= (least ?? Number.NEGATIVE_INFINITY) && worst.value <= (most ?? Number.POSITIVE_INFINITY);
    const { scenario, nodes, jobs } = worst.row;
    return [{ bar, measured: `${worst.value}${unit} (${scenario}, ${nodes} nodes, ${jobs} jobs)`, isMet }];
  });
}

export function crashBar(crashes: CrashReport | null): BarResult[] {
  if (crashes === null) return [];
  const { kills, acknowledged, stops, violations } = crashes;
  const measured = [`${acknowledged} acknowledged, ${stops} of them stops`, ...violations].join('; ');
  return [
    { bar: `after ${kills} kills of the leader no invariant is broken`, measured, isMet: violations.length === 0 },
  ];
}
