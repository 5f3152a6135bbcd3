/**
 * How many replicas a deployment should have: a table of policies. Each proposes; `decideScaling` bounds what is proposed.
 *
 * The default is `trend`. SCHEDULING, finding 5: on a real week it holds P99 ≤ 200 ms in ≥ 99 % of minutes at 33 … 41 %
 * fewer replica-hours than a static peak ÷ 0.8; the reference rule saves 54 … 65 % but holds it in only 53 … 77 %, because
 * it waits five minutes for what a start then needs time to mend. These policies on a week of ServeGen's rates with 5 …
 * 20 % noise a minute, starts of two minutes, fast meaning ≤ 80 % busy: trend 99.7 … 100 % at −56 … −42 %, target tracking
 * 97.7 … 99.3 % at −59 %, reference 84 … 92 % at −61 … −66 %. Where noise is small, target tracking is as good, cheaper
 * and changes less often.
 */
import {
  type Demand,
  demandOf,
  mean,
  noiseDeviation,
  SAMPLE_GAP_SECONDS_MAX,
  type ScalingSample,
  slopePerSecond,
  spanSeconds,
  unbroken,
} from './samples.ts';

export const SCALING_POLICY_NAMES = ['trend', 'target-tracking', 'queue-tracking', 'reference'] as const;
export type ScalingPolicyName = (typeof SCALING_POLICY_NAMES)[number];
export const DEFAULT_SCALING_POLICY: ScalingPolicyName = 'trend';

export interface ScalingParameters {
  /** What the reference rule and its like promise: milliseconds to the first token. Default 200. */
  readonly p99MsMax: number;
  /** Busier than this, and above `p99MsMax`, for `outSeconds`: out. 0..1, default 0.8. */
  readonly utilisationOut: number;
  /** Default 300. */
  readonly outSeconds: number;
  /** Less busy than this for `inSeconds`: in. 0..1, default 0.6. */
  readonly utilisationIn: number;
  /** Nothing is taken away before it was not needed for so long without a break. Default 600. */
  readonly inSeconds: number;
  /** How busy replicas are to be, 0..1: `reference` and `target-tracking` aim at it. Default 0.7. */
  readonly utilisationTarget: number;
  /** Nothing is changed for a difference of this share (Kubernetes' HPA uses the same). Default 0.1. */
  readonly tolerance: number;
  /** So many requests may wait for each ready replica. Default 1. */
  readonly queuePerReplica: number;
  /** The mean of so long is the level. Default 300. */
  readonly levelSeconds: number;
  /** Slope and noise are taken from so long. Default 1,800. */
  readonly trendSeconds: number;
  /** The level is extrapolated by how long a start takes. Default 120. */
  readonly leadSeconds: number;
  /** Standard deviations of noise above the extrapolated level that are kept free. Default 4.5. */
  readonly deviations: number;
}

export const DEFAULT_SCALING_PARAMETERS: ScalingParameters = {
  p99MsMax: 200,
  utilisationOut: 0.8,
  outSeconds: 300,
  utilisationIn: 0.6,
  inSeconds: 600,
  utilisationTarget: 0.7,
  tolerance: 0.1,
  queuePerReplica: 1,
  levelSeconds: 300,
  trendSeconds: 1_800,
  leadSeconds: 120,
  deviations: 4.5,
};

export interface ScalingState {
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** Oldest first, up to now, the newest of now. */
  readonly samples: readonly ScalingSample[];
  /** Asked for at present: those that are starting, or whose start failed and is tried elsewhere, included (E04). */
  readonly replicas: number;
  /** Unix milliseconds of the last change; windows begin anew there. Null: none is known. */
  readonly changedAtMs: number | null;
}

export interface ScalingProposal {
  /** Before bounds; a whole number ≥ 0. */
  readonly replicas: number;
  /** One sentence. */
  readonly reason: string;
}

export interface ScalingPolicy {
  readonly meaning: string;
  readonly propose: (state: ScalingState, parameters: ScalingParameters) => ScalingProposal;
}

export const SCALING_POLICIES: Readonly<Record<ScalingPolicyName, ScalingPolicy>> = {
  trend: {
    meaning: 'level + slope × lead + z·σ of the demand, so that what is coming has room before it comes',
    propose: (state, parameters) => follow(state, parameters, trendNeed),
  },
  'target-tracking': {
    meaning: 'demand ÷ target utilisation, as Kubernetes’ horizontal autoscaler',
    propose: (state, parameters) => follow(state, parameters, targetNeed),
  },
  'queue-tracking': {
    meaning: 'room for what waits, whatever utilisation says; else as target-tracking',
    propose: (state, parameters) => follow(state, parameters, queueNeed),
  },
  reference: {
    meaning: 'out at P99 > 200 ms and utilisation > 80 % for 5 min, in at utilisation < 60 % for 10 min',
    propose: proposeByReference,
  },
};

/**
 * The rule says when, not how far: out by one at least, to where the mean demand of `outSeconds` would be at the target
 * utilisation; in to where the most that was asked in `inSeconds` would be.
 */
function proposeByReference(state: ScalingState, parameters: ScalingParameters): ScalingProposal {
  const { nowMs, samples, replicas, changedAtMs } = state;
  const { p99MsMax, utilisationOut, outSeconds, utilisationIn, inSeconds, utilisationTarget } = parameters;
  const holdsFor = (seconds: number, holds: (sample: ScalingSample) => boolean) => {
    const window = unbroken(samples, nowMs, changedAtMs ?? Number.NEGATIVE_INFINITY, holds);
    return window.length > 0 && spanSeconds(window, nowMs) >= seconds;
  };
  const demand = (seconds: number) =>
    knownSince(demandOf(samples), nowMs - Math.max(seconds, SAMPLE_GAP_SECONDS_MAX) * 1_000).map(
      ({ value }) => value / utilisationTarget,
    );
  // What is not measured breaks a window, whichever way (E07).
  if (holdsFor(outSeconds, (each) => (each.p99Ms ?? 0) > p99MsMax && (each.utilisation ?? 0) > utilisationOut)) {
    const reason = `P99 was above ${p99MsMax} ms and utilisation above ${percent(utilisationOut)} for ${outSeconds} s`;
    return { replicas: Math.max(replicas + 1, wholeAbove(mean(demand(outSeconds)))), reason };
  }
  if (holdsFor(inSeconds, ({ utilisation }) => (utilisation ?? 1) < utilisationIn)) {
    const reason = `utilisation was below ${percent(utilisationIn)} for ${inSeconds} s`;
    return { replicas: Math.min(replicas, wholeAbove(Math.max(...demand(inSeconds)))), reason };
  }
  return { replicas, reason: 'neither rule held for its whole window' };
}

/** How many replicas a moment needs, from the samples up to it; null: a metric that this depends on is missing. */
type Need = (demands: readonly Demand[], at: ScalingSample, parameters: ScalingParameters) => number | null;

/**
 * Out at once to what is needed now. In when fewer were needed, by more than the tolerance, without a break for `inSeconds`
 * (E06), and then in one step to the most that was needed in its second half: what the first half still smoothed over is
 * gone by then (E02).
 */
function follow(state: ScalingState, parameters: ScalingParameters, need: Need): ScalingProposal {
  const { nowMs, samples, replicas, changedAtMs } = state;
  const needs = recentNeeds(samples, nowMs, parameters, need);
  const now = needs.at(-1)?.needed ?? null;
  if (now === null) return { replicas, reason: 'what it depends on is not measured now' };
  if (now > replicas) return { replicas: wholeAbove(now), reason: `${words(now)} replicas are needed` };
  const below = unbroken(
    needs,
    nowMs,
    changedAtMs ?? Number.NEGATIVE_INFINITY,
    ({ needed }) => needed !== null && needed < replicas * (1 - parameters.tolerance) && wholeAbove(needed) < replicas,
  );
  if (below.length === 0 || spanSeconds(below, nowMs) < parameters.inSeconds)
    return { replicas, reason: `${words(now)} replicas are needed` };
  const lateSeconds = Math.max(parameters.inSeconds / 2, SAMPLE_GAP_SECONDS_MAX);
  const late = below.filter(({ atMs }) => nowMs - atMs <= lateSeconds * 1_000);
  const most = Math.max(...late.map(({ needed }) => needed!));
  return {
    replicas: wholeAbove(most),
    reason: `no more than ${words(most)} replicas were needed for ${parameters.inSeconds} s`,
  };
}

/** What was needed at each moment of the last `inSeconds`, by what was known then. */
function recentNeeds(samples: readonly ScalingSample[], nowMs: number, parameters: ScalingParameters, need: Need) {
  const demands = demandOf(samples);
  const from = nowMs - (parameters.inSeconds + SAMPLE_GAP_SECONDS_MAX) * 1_000;
  return samples.flatMap((sample, at) =>
    sample.atMs < from ? [] : [{ atMs: sample.atMs, needed: need(demands.slice(0, at + 1), sample, parameters) }],
  );
}

/** `max(mean + slope × lead + z·σ, latest) ÷ 0.8`: a jump is followed at once, without waiting for the mean. */
function trendNeed(demands: readonly Demand[], at: ScalingSample, parameters: ScalingParameters): number | null {
  const latest = demands.at(-1)!.replicas;
  if (latest === null) return null;
  const { levelSeconds, leadSeconds, deviations } = parameters;
  const recent = knownSince(demands, at.atMs - parameters.trendSeconds * 1_000);
  const level = mean(recent.filter(({ atMs }) => atMs >= at.atMs - levelSeconds * 1_000).map(({ value }) => value));
  const slope = slopePerSecond(recent, levelSeconds);
  // A mean is as old as the middle of its window.
  const rise = slope * (leadSeconds + levelSeconds / 2);
  return Math.max(level + rise + deviations * noiseDeviation(recent, slope), latest) / parameters.utilisationOut;
}

function targetNeed(demands: readonly Demand[], at: ScalingSample, parameters: ScalingParameters): number | null {
  const latest = demands.at(-1)!.replicas;
  if (latest === null) return null;
  const need = latest / parameters.utilisationTarget;
  const isNear = at.readyReplicas > 0 && Math.abs(need / at.readyReplicas - 1) <= parameters.tolerance;
  return isNear ? at.readyReplicas : need;
}

/** What waits is a stock and not a rate: for it, at most twice what is ready. */
function queueNeed(demands: readonly Demand[], at: ScalingSample, parameters: ScalingParameters): number | null {
  const { queueLength, readyReplicas } = at;
  const need = targetNeed(demands, at, parameters);
  if (queueLength === null || need === null) return null;
  if (queueLength <= readyReplicas * parameters.queuePerReplica) return need;
  const forQueue = readyReplicas + queueLength / parameters.queuePerReplica;
  return Math.max(need, Math.min(forQueue, 2 * Math.max(1, readyReplicas)));
}

function knownSince(demands: readonly Demand[], sinceMs: number): { atMs: number; value: number }[] {
  return demands.flatMap(({ atMs, replicas }) =>
    replicas !== null && atMs >= sinceMs ? [{ atMs, value: replicas }] : [],
  );
}

/** Rounded up, but not for an error of floating point: 0.7 × 10 ÷ 0.7 is 10. */
function wholeAbove(replicas: number): number {
  return Math.ceil(replicas - 1e-9);
}

function words(replicas: number): string {
  return replicas.toFixed(1);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
