/**
 * What can be compared on a trace of prompts. Each row is a pick of the production router with its circumstances, or a
 * rule that stands only here, to compare with.
 */
import { DEFAULT_ROUTING_POLICY, type RoutingPolicy } from '#domain';
import type { AffinityRouterOptions } from '#routing';
import type { Random } from '../random.ts';

/** Worker → requests that it has and has not finished, as told `metricsAgeMs` ago; the worker that takes the next one. */
export type Baseline = (reported: readonly number[], turn: number, random: Random) => number;

export interface PromptPolicy {
  readonly meaning: string;
  /** A rule that the production router does not have, or how the production router is set. */
  readonly by:
    | { readonly baseline: Baseline }
    | { readonly routing: RoutingPolicy; readonly options?: AffinityRouterOptions };
  /** How old what workers report is. Default 0. */
  readonly metricsAgeMs?: number;
  /** Of the router's estimates; default what the study says. */
  readonly estimateSigma?: number;
  readonly unseenShare?: number;
}

const METRICS_AGE_MS = 1_000;
const ROUGH = { estimateSigma: 0.6, unseenShare: 0.2 };

/** A pick alone: no prefix is sticky, and nobody is tried out. */
const bare = (pick: RoutingPolicy['pick']): RoutingPolicy => ({
  pick,
  spillMs: 0,
  spillRatio: 0,
  prefixHitMin: Number.POSITIVE_INFINITY,
  explorationShare: 0,
});

const leastRequests: Baseline = (reported, _turn, random) => {
  const least = Math.min(...reported);
  const idle = reported.flatMap((count, worker) => (count === least ? [worker] : []));
  return idle[Math.floor(random() * idle.length)]!;
};

const powerOfTwo: Baseline = (reported, _turn, random) => {
  const [first, second] = [random(), random()].map((each) => Math.floor(each * reported.length)) as [number, number];
  return reported[first]! <= reported[second]! ? first : second;
};

export const PROMPT_POLICIES = {
  'power-of-two': {
    meaning: 'the less loaded of two drawn at random, by the own count; what the others are compared with',
    by: { routing: bare('power-of-two') },
  },
  'round-robin': { meaning: 'one after the other', by: { baseline: (reported, turn) => turn % reported.length } },
  'least-requests': { meaning: 'the fewest requests, by what workers report', by: { baseline: leastRequests } },
  'least-cost': {
    meaning: 'the reference formula: least latency × (1 + 0.5 × (1 − free memory ratio))',
    by: { routing: bare('least-cost'), options: { measuredForMs: Number.POSITIVE_INFINITY } },
  },
  'inverse-load': {
    meaning: 'the reference draw by 1 / L, smoothed with α 0.8',
    by: { routing: bare('inverse-load'), options: { loadAlpha: 0.8 } },
  },
  'inverse-load-0.2': {
    meaning: 'the same with α 0.2',
    by: { routing: bare('inverse-load'), options: { loadAlpha: 0.2 } },
  },
  predicted: {
    meaning: 'the soonest first token by the own ledger, without affinity',
    by: { routing: bare('predicted-first-token') },
  },
  atoll: { meaning: 'the production default: the same with affinity', by: { routing: DEFAULT_ROUTING_POLICY } },
  'power-of-two-old': {
    meaning: 'power of two by reports that are a second old',
    by: { baseline: powerOfTwo },
    metricsAgeMs: METRICS_AGE_MS,
  },
  'least-requests-old': {
    meaning: 'least requests by reports that are a second old',
    by: { baseline: leastRequests },
    metricsAgeMs: METRICS_AGE_MS,
  },
  'atoll-old': {
    meaning: 'the production default where all that workers report is a second old',
    by: { routing: DEFAULT_ROUTING_POLICY },
    metricsAgeMs: METRICS_AGE_MS,
  },
  'atoll-rough': {
    meaning: 'the same where sizes are wrong by σ 0.6 as well, and a fifth of the hits is not seen',
    by: { routing: DEFAULT_ROUTING_POLICY },
    metricsAgeMs: METRICS_AGE_MS,
    ...ROUGH,
  },
} as const satisfies Readonly<Record<string, PromptPolicy>>;

export type PromptPolicyName = keyof typeof PROMPT_POLICIES;
export const PROMPT_POLICY_NAMES = Object.keys(PROMPT_POLICIES) as PromptPolicyName[];
export const PROMPT_BASELINE: PromptPolicyName = 'power-of-two';
