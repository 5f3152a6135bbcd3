// `atoll simulate`: replays a recorded trace against the production policies on a described fleet. It needs no server.
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  CYCLE_SECONDS_DEFAULT,
  DEFAULT_FLEET,
  DEFAULT_WORKER,
  type FleetShape,
  JOB_POLICY_NAMES,
  PROMPT_POLICY_NAMES,
  parseFleet,
  REQUEST_POLICY_NAMES,
  ReplayInputError,
  recordedLoad,
  TRACE_KINDS,
  type TraceKind,
} from '#replay';
import { wholeNumber } from '../arguments.ts';
import { addOutputOption, type OutputOptions, show } from '../output/output.ts';
import type { Terminal } from '../terminal.ts';
import { renderPrompts } from './prompt-view.ts';
import { type SimulationOptions, simulateJobs, simulatePrompts, simulateRequests } from './simulate.ts';
import { readTrace, type Trace } from './trace-file.ts';
import { renderJobs, renderRequests } from './views.ts';

interface SimulateOptions extends OutputOptions {
  readonly trace: string;
  readonly kind?: TraceKind;
  readonly policy?: readonly string[];
  readonly load?: readonly number[];
  readonly fleet?: FleetShape;
  readonly workers?: number;
  readonly slots: number;
  readonly cacheBlocks: number;
  readonly seeds: readonly number[];
  readonly cycleSeconds: number;
  readonly estimateSigma: number;
}

/** Jobs run on a fleet. */
const WORKERS_DEFAULT: Readonly<Record<TraceKind, number>> = { jobs: 0, requests: 4, prompts: 16 };
const WORKERS_MAX = 1_000;
const SLOTS_MAX = 10_000;
const CACHE_BLOCKS_MAX = 10_000_000;
const SEEDS_DEFAULT = [1, 2, 3];
const LOAD_MAX = 10;
const SIGMA_MAX = 5;
const LIST_MAX = 20;
const DAY_SECONDS = 86_400;

export function addSimulateCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('simulate')
    .description('replay a trace against the policies of the scheduler or of routing, and compare them')
    .requiredOption('--trace <file>', 'Philly jobs as Gavel prepared them, Azure LLM requests, or Mooncake prompts')
    .addOption(new Option('--kind <kind>', 'what the trace must be; its first line tells').choices(TRACE_KINDS))
    .option(
      '--policy <names>',
      `some of ${names(JOB_POLICY_NAMES)}; for requests of ${names(REQUEST_POLICY_NAMES)}; for prompts of ${names(PROMPT_POLICY_NAMES)}`,
      list,
    )
    .option('--load <shares>', `stretched to it; default ${LOADS_SHOWN}`, numbers(0, LOAD_MAX))
    .option('--fleet <shape>', 'nodes × devices (30x8) or racks × nodes × devices; default 5x6x8', fleet)
    .option('--workers <number>', 'that serve; default 4 for requests, 16 for prompts', wholeNumber(1, WORKERS_MAX))
    .option('--slots <number>', 'prompts: a worker answers at once', wholeNumber(1, SLOTS_MAX), DEFAULT_WORKER.slots)
    .option(
      '--cache-blocks <number>',
      'prompts: blocks of 512 tokens that a worker keeps',
      wholeNumber(0, CACHE_BLOCKS_MAX),
      DEFAULT_WORKER.cacheBlocks,
    )
    .option('--seeds <numbers>', 'what the trace does not say is drawn from each', seeds, SEEDS_DEFAULT)
    .option('--cycle-seconds <number>', 'plans no more often', wholeNumber(1, DAY_SECONDS), CYCLE_SECONDS_DEFAULT)
    .option('--estimate-sigma <number>', 'log-normal error of estimates; 0: exact', sigma, 0);
  addOutputOption(command).action(async (options: SimulateOptions) => {
    const trace = readTrace(terminal, options.trace, options.kind);
    const { policy, load, slots, cacheBlocks, fleet: shape = DEFAULT_FLEET, ...rest } = options;
    const { workers = WORKERS_DEFAULT[trace.kind] } = options;
    const loads = load ?? loadsOf(trace, workers);
    const served = { workers, worker: { slots, cacheBlocks } };
    await simulate(trace, policy, { ...rest, ...served, file: options.trace, loads, fleet: shape }, options, terminal);
  });
}

async function simulate(
  trace: Trace,
  policies: readonly string[] | undefined,
  asked: SimulationOptions,
  output: OutputOptions,
  terminal: Terminal,
): Promise<void> {
  switch (trace.kind) {
    case 'jobs': {
      const simulation = await simulateJobs(trace.jobs, policies, asked, terminal);
      return show(terminal, output, simulation, () => renderJobs(simulation, terminal));
    }
    case 'requests': {
      const simulation = await simulateRequests(trace.requests, policies, asked, terminal);
      return show(terminal, output, simulation, () => renderRequests(simulation, terminal));
    }
    case 'prompts': {
      const simulation = await simulatePrompts(trace.prompts, policies, asked, terminal);
      return show(terminal, output, simulation, () => renderPrompts(simulation, terminal));
    }
  }
}

const LOADS_SHOWN = '0.82 for jobs, 0.85,1.1 for requests, as recorded and 0.5 for prompts';

/** As in SCHEDULING.md; requests are looked at below and above what the workers can do, prompts as they came. */
function loadsOf(trace: Trace, workers: number): readonly number[] {
  if (trace.kind === 'jobs') return [0.82];
  if (trace.kind === 'requests') return [0.85, 1.1];
  const recorded = Math.round(1_000 * (recordedLoad(trace.prompts, workers) ?? 0)) / 1_000;
  return recorded > 0 && recorded <= LOAD_MAX ? [...new Set([recorded, 0.5])] : [0.5];
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
