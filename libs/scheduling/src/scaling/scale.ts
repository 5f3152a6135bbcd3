/**
 * How many replicas a deployment should have now: what its policy proposes, within bounds and cooldowns, with going to
 * zero and waking up from it, which all policies do alike.
 *
 * Pure and level-triggered: the answer follows from the samples and from what is asked for at present, so it may be asked
 * as often as one likes. A start that failed is still asked for (the planner tries it elsewhere) and is not asked for a
 * second time (E04). Fewer replicas are a wish only: which may go, and when, is `drains.ts` (E03).
 */
import {
  isCurrent,
  pastSamples,
  SAMPLE_GAP_SECONDS_MAX,
  type ScalingSample,
  spanSeconds,
  unbroken,
} from './samples.ts';
import {
  DEFAULT_SCALING_PARAMETERS,
  DEFAULT_SCALING_POLICY,
  SCALING_POLICIES,
  type ScalingParameters,
  type ScalingPolicyName,
  type ScalingProposal,
} from './scaling-policies.ts';

export interface ScalingBounds {
  /** 0 allows scaling to zero. */
  readonly minimum: number;
  /** At least `minimum`. */
  readonly maximum: number;
  /** After an out no other for so long. Default 60. */
  readonly outCooldownSeconds?: number;
  /** After any change no in for so long. Default 300. */
  readonly inCooldownSeconds?: number;
  /** Without any request for so long it goes to zero, if it may. Default 600. */
  readonly idleSeconds?: number;
}

export interface ScalingInput {
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** Oldest first; the newest SAMPLES_MAX are looked at. */
  readonly samples: readonly ScalingSample[];
  /** Asked for at present, whether or not they are ready. */
  readonly replicas: number;
  /** Unix milliseconds of the last change in either direction; null: none is known. */
  readonly lastOutAtMs: number | null;
  readonly lastInAtMs: number | null;
  readonly bounds: ScalingBounds;
}

export interface ScalingDecision {
  readonly replicas: number;
  /** One sentence: why so many. */
  readonly reason: string;
}

export function decideScaling(
  input: ScalingInput,
  policy: ScalingPolicyName = DEFAULT_SCALING_POLICY,
  parameters: Partial<ScalingParameters> = {},
): ScalingDecision {
  const { nowMs, replicas, bounds } = input;
  const samples = pastSamples(input.samples, nowMs);
  const outside = boundsDecision(replicas, bounds);
  if (outside !== null) return outside;
  if (!isCurrent(samples, nowMs)) {
    return { replicas, reason: `there are no measurements of the last ${SAMPLE_GAP_SECONDS_MAX} s` };
  }
  if (replicas === 0) return wakeDecision(samples.at(-1)!, bounds);
  if (bounds.minimum === 0 && isIdle(samples, nowMs, bounds.idleSeconds ?? 600)) {
    return { replicas: 0, reason: `no request came for ${bounds.idleSeconds ?? 600} s` };
  }
  const changedAtMs = latest(input.lastOutAtMs, input.lastInAtMs, nowMs);
  const all = { ...DEFAULT_SCALING_PARAMETERS, ...parameters };
  const proposal = SCALING_POLICIES[policy].propose({ nowMs, samples, replicas, changedAtMs }, all);
  return cooled(clamped(proposal, bounds), input, changedAtMs);
}

function boundsDecision(replicas: number, { minimum, maximum }: ScalingBounds): ScalingDecision | null {
  if (replicas > maximum) return { replicas: maximum, reason: `its maximum is ${maximum}` };
  if (replicas < minimum) return { replicas: minimum, reason: `its minimum is ${minimum}` };
  return null;
}

function wakeDecision(newest: ScalingSample, { maximum }: ScalingBounds): ScalingDecision {
  const isAskedFor = (newest.queueLength ?? 0) > 0 || (newest.requestsPerSecond ?? 0) > 0;
  if (maximum === 0) return { replicas: 0, reason: 'its maximum is 0' };
  return isAskedFor ? { replicas: 1, reason: 'requests wait for it' } : { replicas: 0, reason: 'nothing asks for it' };
}

/** Known to have had nothing to do: a missing metric is no proof of idleness (E07). */
function isIdle(samples: readonly ScalingSample[], nowMs: number, idleSeconds: number): boolean {
  const idle = unbroken(
    samples,
    nowMs,
    Number.NEGATIVE_INFINITY,
    ({ requestsPerSecond, queueLength, utilisation }) =>
      requestsPerSecond === 0 && queueLength === 0 && (utilisation ?? 0) === 0,
  );
  return spanSeconds(idle, nowMs) >= idleSeconds;
}

/** The later of two moments of the past; one of the future (a clock was set back) is not known. */
function latest(left: number | null, right: number | null, nowMs: number): number | null {
  const known = [left, right].filter((atMs) => atMs !== null && atMs <= nowMs) as number[];
  return known.length === 0 ? null : Math.max(...known);
}

/** At least one: to zero it goes only when it is idle. */
function clamped({ replicas, reason }: ScalingProposal, { minimum, maximum }: ScalingBounds): ScalingProposal {
  const least = Math.max(1, minimum);
  if (replicas > maximum) return { replicas: maximum, reason: `${reason}, its maximum is ${maximum}` };
  if (replicas < least) return { replicas: least, reason: `${reason}, its minimum is ${least}` };
  return { replicas, reason };
}

function cooled(proposal: ScalingProposal, input: ScalingInput, changedAtMs: number | null): ScalingDecision {
  const { nowMs, replicas, bounds } = input;
  const isOut = proposal.replicas > replicas;
  const fromMs = isOut ? latest(input.lastOutAtMs, null, nowMs) : changedAtMs;
  const cooldownSeconds = isOut ? (bounds.outCooldownSeconds ?? 60) : (bounds.inCooldownSeconds ?? 300);
  const isCooling = fromMs !== null && nowMs - fromMs < cooldownSeconds * 1_000;
  if (proposal.replicas === replicas || !isCooling) return proposal;
  return { replicas, reason: `${proposal.reason}; ${cooldownSeconds} s must pass after the last change` };
}
