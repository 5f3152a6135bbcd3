// Runs the replays and says how far they are; between their steps Ctrl-C is heard.
import { setImmediate as giveWay } from 'node:timers/promises';
import {
  type ComparisonProgress,
  compareJobPolicies,
  compareRequestPolicies,
  describeFleet,
  devicesOf,
  type Finding,
  type FleetShape,
  findingsOf,
  JOB_POLICY_NAMES,
  type JobComparison,
  type JobPolicyName,
  jobFindingRules,
  REQUEST_FINDING_RULES,
  REQUEST_POLICY_NAMES,
  ReplayInputError,
  type RequestComparison,
  type RequestPolicyName,
  SAVE_SECONDS,
  type TracedJob,
  type TracedRequest,
} from '#replay';
import { InterruptedError, UsageError } from '../errors.ts';
import { LiveLine } from '../output/live-line.ts';
import type { Terminal } from '../terminal.ts';

export interface SimulationOptions {
  /** As the user gave it. */
  readonly file: string;
  readonly loads: readonly number[];
  readonly fleet: FleetShape;
  readonly workers: number;
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
  const { fleet, cycleSeconds } = options;
  const comparisons = await eachLoad(options, terminal, (load) =>
    compareJobPolicies({ ...options, trace, policies: known, load }),
  );
  return {
    kind: 'jobs',
    ...described(options, trace.length),
    fleet: describeFleet(fleet),
    devices: devicesOf(fleet),
    cycleSeconds,
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
  const comparisons = await eachLoad(options, terminal, (load) =>
    compareRequestPolicies({ ...options, trace, policies: known, load }),
  );
  return {
    kind: 'requests',
    ...described(options, trace.length),
    workers: options.workers,
    comparisons,
    findings: findingsOf(REQUEST_FINDING_RULES, comparisons),
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

async function eachLoad<Comparison>(
  { loads }: SimulationOptions,
  terminal: Terminal,
  compare: (load: number) => Generator<ComparisonProgress, Comparison[]>,
): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  const line = new LiveLine(terminal);
  try {
    for (const load of loads) comparisons.push(...(await finish(compare(load), load, line, terminal)));
  } catch (error) {
    throw error instanceof ReplayInputError ? new UsageError(error.message) : error;
  } finally {
    line.end();
  }
  return comparisons;
}

async function finish<Comparison>(
  steps: Generator<ComparisonProgress, Comparison[]>,
  load: number,
  line: LiveLine,
  { signal }: Terminal,
): Promise<Comparison[]> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    const { policy, seed, doneShare } = step.value;
    line.update(`load ${load}: ${policy}, seed ${seed} (${Math.floor(100 * doneShare)} % done)`);
    await giveWay();
    if (signal.aborted) throw new InterruptedError('Nothing was measured to its end.');
  }
}
