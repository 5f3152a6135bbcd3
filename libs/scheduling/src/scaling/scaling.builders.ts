/** Samples and simulated deployments for this folder's specs: fixed time, everything known unless told. */
import { NOW_MS } from '../fleet.builders.ts';
import type { ScalingSample } from './samples.ts';
import { decideScaling, type ScalingBounds, type ScalingInput } from './scale.ts';
import type { ScalingParameters, ScalingPolicyName } from './scaling-policies.ts';

export { NOW_MS };

/** So many seconds before now: 4 ready replicas, half busy, fast, nothing waits. */
export function sample(secondsAgo: number, rest: Partial<Omit<ScalingSample, 'atMs'>> = {}): ScalingSample {
  return {
    atMs: NOW_MS - secondsAgo * 1_000,
    readyReplicas: 4,
    p99Ms: 100,
    utilisation: 0.5,
    queueLength: 0,
    requestsPerSecond: 10,
    ...rest,
  };
}

/** A sample every 15 s for `seconds`, up to now. `change`: what differs so many seconds ago. */
export function series(
  seconds: number,
  rest: Partial<Omit<ScalingSample, 'atMs'>> = {},
  change: (secondsAgo: number) => Partial<Omit<ScalingSample, 'atMs'>> = () => ({}),
): ScalingSample[] {
  const count = Math.floor(seconds / 15) + 1;
  return Array.from({ length: count }, (_, at) => {
    const secondsAgo = (count - 1 - at) * 15;
    return sample(secondsAgo, { ...rest, ...change(secondsAgo) });
  });
}

/** 4 replicas are asked for, between 1 and 20; nothing changed lately. */
export function input(samples: readonly ScalingSample[], rest: Partial<ScalingInput> = {}): ScalingInput {
  return {
    nowMs: NOW_MS,
    samples,
    replicas: 4,
    lastOutAtMs: null,
    lastInAtMs: null,
    bounds: { minimum: 1, maximum: 20 },
    ...rest,
  };
}

export interface SimulatedMinute {
  readonly atMinute: number;
  readonly asked: number;
  readonly ready: number;
  /** Load within 80 % of what is ready. */
  readonly isFast: boolean;
}

/**
 * A deployment that is scaled each minute under a given load (in replicas that would be fully busy). A start takes two
 * minutes; P99 is 100 … 200 ms up to 80 % utilisation and soon far above.
 */
export function simulate(
  loads: readonly number[],
  policy: ScalingPolicyName,
  start: number,
  bounds: ScalingBounds = { minimum: 1, maximum: 1_000 },
  parameters: Partial<ScalingParameters> = {},
): SimulatedMinute[] {
  let asked = start;
  let lastOutAtMs: number | null = null;
  let lastInAtMs: number | null = null;
  let starts: number[] = [];
  const samples: ScalingSample[] = [];
  return loads.map((load, minute) => {
    const nowMs = NOW_MS + minute * 60_000;
    const starting = starts.filter((readyAtMinute) => readyAtMinute > minute);
    const ready = asked - starting.length;
    samples.push(measured(nowMs, load, ready));
    const decision = decideScaling(
      { nowMs, samples: samples.slice(-60), replicas: asked, lastOutAtMs, lastInAtMs, bounds },
      policy,
      parameters,
    );
    if (decision.replicas > asked) {
      lastOutAtMs = nowMs;
      starts = [...starting, ...Array<number>(decision.replicas - asked).fill(minute + 2)];
    } else if (decision.replicas < asked) {
      lastInAtMs = nowMs;
      starts = starting.slice(0, Math.max(0, starting.length - (asked - decision.replicas)));
    }
    asked = decision.replicas;
    return { atMinute: minute, asked, ready, isFast: load <= 0.8 * ready };
  });
}

function measured(atMs: number, load: number, readyReplicas: number): ScalingSample {
  const utilisation = Math.min(1, load / readyReplicas);
  return {
    atMs,
    readyReplicas,
    utilisation,
    p99Ms: utilisation <= 0.8 ? 100 + 100 * (utilisation / 0.8) ** 3 : 200 + 10_000 * (utilisation - 0.8),
    queueLength: Math.max(0, Math.ceil((load - readyReplicas) * 20)),
    requestsPerSecond: load * 10,
  };
}
