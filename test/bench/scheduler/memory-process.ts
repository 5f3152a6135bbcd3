/**
 * Measures one scenario in a process of its own, so that its peak memory is its own:
 * `node memory-process.js SCENARIO NODES JOBS SECONDS` prints one {@link Measured} as JSON.
 *
 * A decision is one workload placed, or refused with its reason. `perSecond` is all decisions of flood cycles over the
 * planner's own time in them: a fresh world each, until the seconds are over, the first not counted. The latencies are
 * of small cycles on the flooded world: what one that comes then waits for, from snapshot to plan. Where a scenario only
 * asks, both are of its questions.
 */
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { SCENARIOS, type Scenario, type ScenarioName } from './scenarios.ts';
import type { World } from './world.ts';

const SMALL_CYCLES = 300;
const SMALL_CYCLES_MIN = 30;
const WARM_CYCLES = 20;
const FLOODS_MAX = 20;

export interface Measured {
  readonly decisions: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly rssMB: number;
}

export function measureInMemory(name: ScenarioName, nodes: number, jobs: number, seconds: number): Measured {
  const scenario: Scenario = SCENARIOS[name];
  const flooded = scenario.ask === undefined ? flood(scenario, nodes, jobs, seconds) : null;
  const world = flooded?.world ?? scenario.make(nodes, jobs);
  const times = smallCycles(scenario, world, seconds);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))]!;
  const asked = times.length / (times.reduce((sum, ms) => sum + ms, 0) / 1_000);
  return {
    decisions: flooded?.decisions ?? times.length,
    perSecond: Math.round(flooded?.perSecond ?? asked),
    p50Ms: round(at(0.5)),
    p99Ms: round(at(0.99)),
    rssMB: Math.round(process.resourceUsage().maxRSS / 1_024),
  };
}

function flood(scenario: Scenario, nodes: number, jobs: number, seconds: number) {
  const until = performance.now() + seconds * 1_000;
  let world = scenario.make(nodes, jobs);
  settle(world);
  let [decisions, ms] = [0, 0];
  for (let count = 0; count < FLOODS_MAX && (count === 0 || performance.now() < until); count++) {
    world = scenario.make(nodes, jobs);
    decisions += world.pending.size;
    ms += settle(world);
  }
  return { decisions, perSecond: (decisions * 1_000) / ms, world };
}

/** The first cycle decides all; where it preempts, the next one starts what it nominated. */
function settle(world: World): number {
  const { ms, plan } = world.cycle();
  return plan.stops.length === 0 ? ms : ms + world.cycle().ms;
}

function smallCycles({ turn, ask }: Scenario, world: World, seconds: number): number[] {
  const measure = ask === undefined ? () => world.cycle().ms : ask(world);
  const until = performance.now() + seconds * 1_000;
  const times: number[] = [];
  for (let count = -WARM_CYCLES; count < SMALL_CYCLES; count++) {
    if (count > SMALL_CYCLES_MIN && performance.now() > until) break;
    turn(world);
    const ms = measure();
    if (count >= 0) times.push(ms);
  }
  return times.sort((left, right) => left - right);
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [name, nodes, jobs, seconds] = process.argv.slice(2) as [ScenarioName, string, string, string];
  console.log(JSON.stringify(measureInMemory(name, Number(nodes), Number(jobs), Number(seconds))));
}
