/**
 * `./atoll bench scheduler [--json] [--mode memory|durable|both] [--scenario a,b] [--nodes 100,1000] [--jobs 1000]
 * [--full] [--quick]`: decisions a second and how long one takes, in memory and with the commit to Postgres, against
 * the bars of SCHEDULING.md. The machine's whole load counts: run it alone.
 */
import { spawnSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type BarResult, barsOf, crashBar, type SchedulerRow } from './bars.ts';
import { benchDurable } from './durable.ts';
import type { Measured } from './memory-process.ts';
import { JOB_COUNTS, NODE_COUNTS, SCENARIO_NAMES, SCENARIOS, type Scenario, type ScenarioName } from './scenarios.ts';

const SECONDS = 5;
const MODES = ['memory', 'durable', 'both'] as const;

const USAGE = `./atoll bench scheduler [options]: decisions a second, and how long one takes

  --mode ${MODES.join('|')}   in memory, with the commit to Postgres and kills of the leader, or both; default both
  --scenario a,b               in memory only these; default all
  --nodes 100,1000             sizes of the fleet, instead of each scenario's own
  --jobs 1000,10000            jobs that wait at once, instead of each scenario's own
  --full                       all sizes: nodes ${NODE_COUNTS.join(', ')}; jobs ${JOB_COUNTS.join(', ')}
  --quick                      a fifth of the time in memory; fewer cycles and kills with the commit
  --json                       one object instead of a table

Scenarios:
${SCENARIO_NAMES.map((name) => `  ${name.padEnd(22)} ${SCENARIOS[name].meaning}`).join('\n')}`;

interface Asked {
  readonly isJson: boolean;
  readonly mode: (typeof MODES)[number];
  readonly scenarios: readonly ScenarioName[];
  readonly nodes: readonly number[] | null;
  readonly jobs: readonly number[] | null;
  readonly isFull: boolean;
  readonly isQuick: boolean;
}

/** Measures and prints. On options that mean nothing it says so, and exits with 2. */
export async function runSchedulerBench(argv: readonly string[]): Promise<void> {
  const asked = parsed(argv);
  if (asked === null) return;
  const seconds = asked.isQuick ? SECONDS / 5 : SECONDS;
  const say = (text: string) => (asked.isJson ? undefined : console.error(text));
  const rows: SchedulerRow[] = [];
  if (asked.mode !== 'durable') rows.push(...benchMemory(asked, seconds, say));
  const durable = asked.mode === 'memory' ? null : await benchDurable({ isQuick: asked.isQuick, say });
  const crashes = durable?.crashes ?? null;
  if (durable !== null) rows.push(...durable.rows);
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, memoryBytes: totalmem() };
  const bars = [...barsOf(rows), ...crashBar(crashes)];
  if (asked.isJson) {
    console.log(
      JSON.stringify({ bench: 'scheduler', machine: { ...machine, node: process.version }, rows, crashes, bars }),
    );
  } else print(`${machine.cpu}, ${machine.cores} cores, Node ${process.version}`, rows, bars);
}

/** Null: there is nothing to measure, and why was printed. */
function parsed(argv: readonly string[]): Asked | null {
  if (argv.includes('--help') || argv.includes('-h')) {
    console.log(USAGE);
    return null;
  }
  try {
    return parse(argv);
  } catch (cause) {
    console.error(`${cause instanceof Error ? cause.message : String(cause)}\n\n${USAGE}`);
    process.exitCode = 2;
    return null;
  }
}

/** Throws on options that mean nothing. */
function parse(argv: readonly string[]): Asked {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      json: { type: 'boolean', default: false },
      mode: { type: 'string', default: 'both' },
      scenario: { type: 'string', default: SCENARIO_NAMES.join(',') },
      nodes: { type: 'string' },
      jobs: { type: 'string' },
      full: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
    },
  });
  return {
    isJson: values.json,
    mode: chosen(values.mode, MODES, '--mode')[0]!,
    scenarios: chosen(values.scenario, SCENARIO_NAMES, '--scenario'),
    nodes: values.nodes === undefined ? null : counts(values.nodes, '--nodes'),
    jobs: values.jobs === undefined ? null : counts(values.jobs, '--jobs'),
    isFull: values.full,
    isQuick: values.quick,
  };
}

function chosen<Name extends string>(text: string, names: readonly Name[], option: string): Name[] {
  const asked = text.split(',');
  const unknown = asked.find((each) => !names.includes(each as Name));
  if (unknown !== undefined) throw new Error(`${option} knows ${names.join(', ')}, not ${unknown}`);
  return asked as Name[];
}

function counts(text: string, option: string): number[] {
  const numbers = text.split(',').map(Number);
  if (numbers.every((each) => Number.isInteger(each) && each >= 1 && each <= 1e6)) return numbers;
  throw new Error(`${option} takes whole numbers such as 1000,5000`);
}

function benchMemory(asked: Asked, seconds: number, say: (text: string) => void): SchedulerRow[] {
  return asked.scenarios.flatMap((scenario) =>
    sizesOf(scenario, asked).map(([nodes, jobs]): SchedulerRow => {
      say(`measuring ${scenario}, ${nodes} nodes, ${jobs} jobs`);
      const { perSecond, p50Ms, p99Ms, rssMB } = measureApart(scenario, nodes, jobs, seconds);
      return { scenario, mode: 'memory', nodes, jobs, perSecond, p50Ms, p99Ms, rssMB };
    }),
  );
}

function sizesOf(name: ScenarioName, { nodes, jobs, isFull }: Asked): (readonly [nodes: number, jobs: number])[] {
  const { sizes, isFixed }: Scenario = SCENARIOS[name];
  if (isFixed) return sizes.filter(([count]) => nodes === null || nodes.includes(count));
  if (!isFull && nodes === null && jobs === null) return [...sizes];
  return (nodes ?? NODE_COUNTS).flatMap((node) => (jobs ?? JOB_COUNTS).map((job) => [node, job] as const));
}

function measureApart(scenario: ScenarioName, nodes: number, jobs: number, seconds: number): Measured {
  const script = fileURLToPath(new URL('./memory-process.js', import.meta.url));
  const options = [script, scenario, String(nodes), String(jobs), String(seconds)];
  const child = spawnSync(process.execPath, options, { encoding: 'utf8' });
  if (child.status !== 0) throw new Error(`measuring ${scenario} failed:\n${child.stderr}`);
  return JSON.parse(child.stdout) as Measured;
}

function print(machine: string, rows: readonly SchedulerRow[], bars: readonly BarResult[]): void {
  console.log(`${machine}; decisions a second, and milliseconds from snapshot to plan (durable: to commit)`);
  const cells = (each: readonly (string | number)[]) =>
    `${String(each[0]).padEnd(34)}${String(each[1]).padEnd(9)}${each
      .slice(2)
      .map((cell) => String(cell).padStart(11))
      .join('')}`;
  console.log(cells(['scenario', 'mode', 'nodes', 'jobs', 'per second', 'P50 ms', 'P99 ms', 'RSS MB']));
  for (const row of rows) {
    const { scenario, mode, nodes, jobs, perSecond, p50Ms, p99Ms, rssMB } = row;
    console.log(cells([scenario, mode, nodes, jobs, perSecond, p50Ms, p99Ms, rssMB]));
  }
  for (const { bar, measured, isMet } of bars) console.log(`${isMet ? 'met   ' : 'MISSED'}  ${bar}: ${measured}`);
}
