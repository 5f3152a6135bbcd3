// A simulation: every policy on every seed and load, compared, and held against what was measured before.
import {
  busiestTenth,
  compareJobs,
  comparePrompts,
  compareRequests,
  describeFleet,
  devicesOf,
  type Finding,
  type FleetShape,
  findingsOf,
  JOB_POLICY_NAMES,
  type JobComparison,
  type JobPolicyName,
  jobFindingRules,
  PROMPT_POLICY_NAMES,
  type PromptComparison,
  type PromptPolicyName,
  promptFindings,
  REQUEST_FINDING_RULES,
  REQUEST_POLICY_NAMES,
  ReplayInputError,
  type RequestComparison,
  type RequestPolicyName,
  SAVE_SECONDS,
  type TracedJob,
  type TracedPrompt,
  type TracedRequest,
  tasksOf,
  type WorkerShape,
} from '#replay';
import { UsageError } from '../errors.ts';
import type { Terminal } from '../terminal.ts';
import { runReplays } from './replay-pool.ts';

export interface SimulationOptions {
  /** As the user gave it. */
  readonly file: string;
  readonly loads: readonly number[];
  readonly fleet: FleetShape;
  readonly workers: number;
  /** Each of them, where prompts are routed. */
  readonly worker: WorkerShape;
  readonly seeds: readonly number[];
  readonly cycleSeconds: number;
  readonly estimateSigma: number;
}

interface Simulation<Kind, Comparison> {
  readonly kind: Kind;
  readonly trace: string;
  readonly entries: number;
  readonly loads: readonly number[];
  readonly seeds: readonly number[];
  readonly estimateSigma: number;
  readonly comparisons: readonly Comparison[];
  readonly findings: readonly Finding[];
}

export interface JobSimulation extends Simulation<'jobs', JobComparison> {
  readonly fleet: string;
  readonly devices: number;
  readonly cycleSeconds: number;
  /** How many times the mean load is asked for in the busiest tenth of the time. */
  readonly busiestTenth: number;
}

export interface PromptSimulation extends Simulation<'prompts', PromptComparison> {
  readonly workers: number;
  readonly worker: WorkerShape;
}

export interface RequestSimulation extends Simulation<'requests', RequestComparison> {
  readonly workers: number;
}

/** `policies` undefined: all. Throws UsageError for a policy that is not in the table, or a load that cannot be made. */
export async function simulateJobs(
  trace: readonly TracedJob[],
  policies: readonly string[] | undefined,
  options: SimulationOptions,
  terminal: Terminal,
): Promise<JobSimulation> {
  const known = chosen<JobPolicyName>(policies, JOB_POLICY_NAMES);
  const { fleet, cycleSeconds, estimateSigma, seeds, loads } = options;
  const study = { kind: 'jobs', trace, fleet, cycleSeconds, estimateSigma } as const;
  const replays = runReplays(study, tasksOf(known, seeds, loads), terminal);
  const comparisons = compareJobs(await replays.catch(asUsageError));
  return {
    kind: 'jobs',
    ...described(options, trace.length),
    fleet: describeFleet(fleet),
    devices: devicesOf(fleet),
    cycleSeconds,
    busiestTenth: busiestTenth(trace),
    comparisons,
    findings: findingsOf(jobFindingRules(cycleSeconds + SAVE_SECONDS), comparisons),
  };
}

export async function simulateRequests(
  trace: readonly TracedRequest[],
  policies: readonly string[] | undefined,
  options: SimulationOptions,
  terminal: Terminal,
): Promise<RequestSimulation> {
  const known = chosen<RequestPolicyName>(policies, REQUEST_POLICY_NAMES);
  const { workers, estimateSigma, seeds, loads } = options;
  const study = { kind: 'requests', trace, workers, estimateSigma } as const;
  const replays = runReplays(study, tasksOf(known, seeds, loads), terminal);
  const comparisons = compareRequests(await replays.catch(asUsageError));
  return {
    kind: 'requests',
    ...described(options, trace.length),
    workers,
    comparisons,
    findings: findingsOf(REQUEST_FINDING_RULES, comparisons),
  };
}

export async function simulatePrompts(
  trace: readonly TracedPrompt[],
  policies: readonly string[] | undefined,
  options: SimulationOptions,
  terminal: Terminal,
): Promise<PromptSimulation> {
  const known = chosen<PromptPolicyName>(policies, PROMPT_POLICY_NAMES);
  const { workers, worker, estimateSigma, seeds, loads } = options;
  const study = { kind: 'prompts', trace, workers, worker, estimateSigma } as const;
  const replays = runReplays(study, tasksOf(known, seeds, loads), terminal);
  const comparisons = comparePrompts(await replays.catch(asUsageError));
  return {
    kind: 'prompts',
    ...described(options, trace.length),
    workers,
    worker,
    comparisons,
    findings: promptFindings(comparisons),
  };
}

function described({ file, loads, seeds, estimateSigma }: SimulationOptions, entries: number) {
  return { trace: file, entries, loads, seeds, estimateSigma };
}

function chosen<Name extends string>(asked: readonly string[] | undefined, known: readonly Name[]): readonly Name[] {
  const unknown = asked?.find((name) => !known.includes(name as Name));
  if (unknown !== undefined) throw new UsageError(`there is no policy ${unknown} for this trace: ${known.join(', ')}`);
  return (asked as readonly Name[] | undefined) ?? known;
}

function asUsageError(error: unknown): never {
  throw error instanceof ReplayInputError ? new UsageError(error.message) : error;
}
