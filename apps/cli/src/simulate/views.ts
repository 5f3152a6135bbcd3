// What a simulation came to, as tables: a row a policy, then waits by class, then what SCHEDULING.md says of it.
import {
  CLASS_SHARES,
  DEADLINES_MS,
  type Finding,
  PASS_FLOOR_MS,
  PASS_SLOWDOWN,
  type Range,
  REPLAY_CLASSES,
} from '#replay';
import { type Column, renderTable } from '../output/table.ts';
import type { Terminal } from '../terminal.ts';
import type { JobSimulation, RequestSimulation } from './simulate.ts';

const TOTALS: readonly Column[] = titles('policy', 'completion', 'change', 'lost', 'used', 'in time', 'stops');
const WAITS: readonly Column[] = titles('policy', 'class', 'wait mean', 'P50', 'P99', 'completion', 'in time');
/** Loads are told apart by a column only where there are several. */
const LOAD: Column = { title: 'load' };

type Show = (value: number) => string;

export function renderJobs(simulation: JobSimulation, { columns }: Pick<Terminal, 'columns'>): string {
  const { fleet, cycleSeconds, comparisons, busiestTenth } = simulation;
  const totals = comparisons.map((each) => [
    each.policy,
    range(each.all.completionSecondsMean, seconds),
    range(each.completionChangePercent, signed),
    range(each.lostPercent, percent),
    range(each.utilisationPercent, percent),
    range(each.all.passPercent, percent),
    range(each.stops, whole),
  ]);
  const waits = comparisons.flatMap((each) =>
    REPLAY_CLASSES.map((name) => {
      const { waitSecondsMean, waitSecondsP50, waitSecondsP99, completionSecondsMean, passPercent } =
        each.classes[name];
      const times = [waitSecondsMean, waitSecondsP50, waitSecondsP99, completionSecondsMean];
      return [each.policy, name, ...times.map((time) => range(time, seconds)), range(passPercent, percent)];
    }),
  );
  const loads = comparisons.map(({ load }) => load);
  const inTime = `In time: done within ${PASS_SLOWDOWN}× its own run time, or within ${seconds(PASS_FLOOR_MS / 1_000)}.`;
  const about = [
    `${headline(simulation, 'jobs')}; ${fleet}; a plan at most every ${cycleSeconds} s.`,
    `The busiest tenth of the time asks for ${busiestTenth.toFixed(1)} times as much as the mean.`,
    `Lost: run again, or spent on saving. Used: of all devices, until the last arrival. ${inTime}`,
  ];
  return page(simulation, about, table(TOTALS, totals, loads, columns), table(WAITS, waits, loads, columns));
}

export function renderRequests(simulation: RequestSimulation, { columns }: Pick<Terminal, 'columns'>): string {
  const { workers, comparisons } = simulation;
  const totals = comparisons.map((each) => [
    each.policy,
    range(each.all.completionMsMean, milliseconds),
    range(each.completionChangePercent, signed),
    range(each.utilisationPercent, percent),
    range(each.all.passPercent, percent),
  ]);
  const waits = comparisons.flatMap((each) =>
    REPLAY_CLASSES.map((name) => {
      const { waitMsMean, waitMsP50, waitMsP99, completionMsMean, passPercent } = each.classes[name];
      const times = [waitMsMean, waitMsP50, waitMsP99, completionMsMean];
      return [each.policy, name, ...times.map((time) => range(time, milliseconds)), range(passPercent, percent)];
    }),
  );
  const loads = comparisons.map(({ load }) => load);
  const deadlines = REPLAY_CLASSES.map((name) => `${name} ${milliseconds(DEADLINES_MS[name])}`).join(', ');
  const about = [
    `${headline(simulation, 'requests')}; ${workers} workers.`,
    `Completion: waiting and worker-time. In time: the first token within its class's deadline (${deadlines}).`,
  ];
  const shown = TOTALS.filter(({ title }) => !['lost', 'stops'].includes(title));
  return page(simulation, about, table(shown, totals, loads, columns), table(WAITS, waits, loads, columns));
}

function headline({ entries, loads, seeds, estimateSigma }: JobSimulation | RequestSimulation, what: string): string {
  const shares = REPLAY_CLASSES.map((name) => `${name} ${100 * CLASS_SHARES[name]} %`).join(', ');
  const estimates = estimateSigma === 0 ? 'estimates exact' : `estimates wrong by σ ${estimateSigma}`;
  return `${entries} ${what}, stretched to a load of ${loads.join(' and ')}; classes (${shares}) by seeds ${seeds.join(', ')}; ${estimates}`;
}

export function page(
  { findings, seeds }: { readonly findings: readonly Finding[]; readonly seeds: readonly number[] },
  about: readonly string[],
  ...tables: readonly string[]
): string {
  const ranges = seeds.length > 1 ? `Mean of ${seeds.length} seeds, and from the least to the most of them.` : '';
  return [`${[...about, ranges].filter((line) => line !== '').join('\n')}\n`, ...tables, findingsText(findings)]
    .filter((part) => part !== '')
    .join('\n');
}

const HOLDS_WORDS = { true: 'holds        ', false: 'DOES NOT HOLD', null: 'cannot tell  ' } as const;

/** What was measured before is said again, or it is said that it is not so here, or that this trace cannot tell. */
function findingsText(findings: readonly Finding[]): string {
  return findings
    .map(({ claim, reference, measured, holds }) => {
      return `${HOLDS_WORDS[`${holds}`]}  ${claim}\n               here ${measured}; reference ${reference}\n`;
    })
    .join('');
}

/** Measures are not cut: what is wider than the screen goes over its edge. */
const WIDTH_MIN = 160;

export function table(
  columns: readonly Column[],
  rows: readonly string[][],
  loads: readonly number[],
  width: number,
): string {
  const isOne = new Set(loads).size === 1;
  const rowsPerLoad = rows.length / loads.length;
  const withLoad = rows.map((row, index) => [String(loads[Math.floor(index / rowsPerLoad)]), ...row]);
  const [shown, cells] = isOne ? [columns, rows] : [[LOAD, ...columns], withLoad];
  return renderTable(shown, cells, Math.max(width, WIDTH_MIN));
}

export function titles(...all: readonly string[]): Column[] {
  return all.map((title) => ({ title }));
}

/** `1.5 h`, or `1.5 (1.2…1.9) h` where seeds differ by what is shown. */
export function range(value: Range | null, show: Show): string {
  if (value === null) return '-';
  const [mean, min, max] = [value.mean, value.min, value.max].map(show) as [string, string, string];
  if (min === max) return mean;
  const [number, unit] = mean.split(' ');
  const isOneUnit = [min, max].every((text) => text.split(' ')[1] === unit);
  return isOneUnit
    ? `${number} (${min.split(' ')[0]}…${max.split(' ')[0]}) ${unit ?? ''}`.trim()
    : `${mean} (${min}…${max})`;
}

function seconds(value: number): string {
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7_200) return `${(value / 60).toFixed(1)} min`;
  return `${(value / 3_600).toFixed(1)} h`;
}

function milliseconds(value: number): string {
  return value < 1_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

export function percent(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 1)} %`;
}

export function signed(value: number): string {
  return `${value > 0 ? '+' : ''}${value.toFixed(1)} %`;
}

function whole(value: number): string {
  return value.toFixed(0);
}
