// `atoll simulate`: replays a recorded trace against the production policies on a described fleet. It needs no server.
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  CYCLE_SECONDS_DEFAULT,
  DEFAULT_FLEET,
  type FleetShape,
  JOB_POLICY_NAMES,
  parseFleet,
  REQUEST_POLICY_NAMES,
  ReplayInputError,
  TRACE_KINDS,
  type TraceKind,
} from '#replay';
import { wholeNumber } from '../arguments.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import type { Terminal } from '../terminal.ts';
import { simulateJobs, simulateRequests } from './simulate.ts';
import { readTrace } from './trace-file.ts';
import { renderJobs, renderRequests } from './views.ts';

interface SimulateOptions extends OutputOptions {
  readonly trace: string;
  readonly kind?: TraceKind;
  readonly policy?: readonly string[];
  readonly load?: readonly number[];
  readonly fleet?: FleetShape;
  readonly workers: number;
  readonly seeds: readonly number[];
  readonly cycleSeconds: number;
  readonly estimateSigma: number;
}

/** As in SCHEDULING.md; requests are looked at below and above what the workers can do. */
const LOADS_DEFAULT: Readonly<Record<TraceKind, readonly number[]>> = { jobs: [0.82], requests: [0.85, 1.1] };
const WORKERS_DEFAULT = 4;
const WORKERS_MAX = 1_000;
const SEEDS_DEFAULT = [1, 2, 3];
const LOAD_MAX = 10;
const SIGMA_MAX = 5;
const LIST_MAX = 20;
const DAY_SECONDS = 86_400;

export function addSimulateCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('simulate')
    .description('replay a trace of jobs or requests against the scheduling policies, and compare them')
    .requiredOption('--trace <file>', 'CSV: Philly jobs as Gavel prepared them, or Azure LLM requests')
    .addOption(new Option('--kind <kind>', 'what the trace must be; its header tells').choices(TRACE_KINDS))
    .option(
      '--policy <names>',
      `some of ${names(JOB_POLICY_NAMES)}; for requests of ${names(REQUEST_POLICY_NAMES)}`,
      list,
    )
    .option('--load <shares>', 'stretched to it; default 0.82 for jobs, 0.85,1.1 for requests', numbers(0, LOAD_MAX))
    .option('--fleet <shape>', 'nodes × devices (30x8) or racks × nodes × devices; default 5x6x8', fleet)
    .option('--workers <number>', 'that serve requests', wholeNumber(1, WORKERS_MAX), WORKERS_DEFAULT)
    .option('--seeds <numbers>', 'what the trace does not say is drawn from each', seeds, SEEDS_DEFAULT)
    .option('--cycle-seconds <number>', 'plans no more often', wholeNumber(1, DAY_SECONDS), CYCLE_SECONDS_DEFAULT)
    .option('--estimate-sigma <number>', 'log-normal error of estimates; 0: exact', sigma, 0);
  addOutputOption(command).action(async (options: SimulateOptions) => {
    const trace = readTrace(terminal, options.trace, options.kind);
    const { policy, load = LOADS_DEFAULT[trace.kind], fleet: shape = DEFAULT_FLEET, ...rest } = options;
    const asked = { ...rest, file: options.trace, loads: load, fleet: shape };
    if (trace.kind === 'jobs') {
      const simulation = await simulateJobs(trace.jobs, policy, asked, terminal);
      show(terminal, options, simulation, () => renderJobs(simulation, terminal));
    } else {
      const simulation = await simulateRequests(trace.requests, policy, asked, terminal);
      show(terminal, options, simulation, () => renderRequests(simulation, terminal));
    }
  });
}

function names(policies: readonly string[]): string {
  return policies.join(', ');
}

function list(text: string): string[] {
  const items = text.split(',').map((item) => item.trim());
  if (items.length <= LIST_MAX && items.every((item) => item !== '')) return items;
  throw new InvalidArgumentError(`It must be up to ${LIST_MAX} items with commas between them.`);
}

/** Numbers above `above` and up to `most`. */
function numbers(above: number, most: number): (text: string) => number[] {
  return (text) => {
    const values = list(text).map((item) => (/^\d+(\.\d+)?$/.test(item) ? Number(item) : Number.NaN));
    if (values.every((value) => value > above && value <= most)) return values;
    throw new InvalidArgumentError(`It must be numbers above ${above} and up to ${most}, such as 0.82.`);
  };
}

function seeds(text: string): number[] {
  return list(text).map(wholeNumber(0));
}

function sigma(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value <= SIGMA_MAX) return value;
  throw new InvalidArgumentError(`It must be a number from 0 to ${SIGMA_MAX}, such as 0.6.`);
}

function fleet(text: string): FleetShape {
  try {
    return parseFleet(text);
  } catch (error) {
    if (error instanceof ReplayInputError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}
