/**
 * Which replica takes a request: filter, then stickiness, then a policy – a row in a table, name → function → meaning.
 *
 * Preferred labels and stickiness (session, prefix) never cost more than a bound: who is preferred or sticky is left when
 * another is predicted to answer so much sooner. So a prefix that everybody shares cannot pile up on one replica (A03): its queue grows until
 * others are sooner, and then they hold the prefix too.
 */
import type { ReplicaPick, RoutingPolicy } from '#domain';
import {
  type AffinityReplica,
  type AffinityRequest,
  predictedFirstTokenMs,
  preference,
  prefixHit,
  rejectReplica,
} from './replicas.ts';

export interface ChoiceOptions extends RoutingPolicy {
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface Choice {
  readonly replica: AffinityReplica;
  /** `session`, `prefix`, `exploration`, or the policy's name. */
  readonly by: string;
}

export interface NoChoice {
  /** Reason → how many replicas it ruled out. */
  readonly rejected: ReadonlyMap<string, number>;
}

export function chooseReplica(
  replicas: readonly AffinityReplica[],
  request: AffinityRequest,
  options: ChoiceOptions,
): Choice | NoChoice {
  // 1 Who may.
  const rejected = new Map<string, number>();
  const fitting = replicas.filter((replica) => {
    const reason = rejectReplica(replica, request);
    if (reason !== null) rejected.set(reason, (rejected.get(reason) ?? 0) + 1);
    return reason === null;
  });
  if (fitting.length === 0) return { rejected };

  // 2 Who is preferred, while that costs little.
  const preferred = preferredReplicas(fitting, request, options);

  // 3 Who is known to it, while that costs little.
  const sticky = stickyReplica(preferred, request, options);
  if (sticky !== null) return sticky;

  // 4 Who is not known to us.
  const unknown = preferred.filter(({ latencyMs }) => latencyMs === null);
  if (unknown.length > 0 && unknown.length < preferred.length && options.random() < options.explorationShare) {
    return { replica: drawn(unknown, options.random()), by: 'exploration' };
  }

  // 5 Who is best.
  const replica = REPLICA_POLICIES[options.pick].pick(preferred, request, options.random);
  return { replica, by: options.pick };
}

/** Where all are liked equally, all. */
function preferredReplicas(
  replicas: readonly AffinityReplica[],
  request: AffinityRequest,
  bounds: RoutingPolicy,
): readonly AffinityReplica[] {
  const liking = replicas.map((replica) => preference(replica, request));
  if (liking.every((each) => each === liking[0])) return replicas;
  const isWorthIt = withinBound(replicas, request, bounds);
  const most = Math.max(...liking.filter((_, index) => isWorthIt(replicas[index]!)));
  return replicas.filter((replica, index) => liking[index] === most && isWorthIt(replica));
}

/** Whether one is predicted to be at most so much later than the soonest. */
function withinBound(
  replicas: readonly AffinityReplica[],
  request: AffinityRequest,
  { spillMs, spillRatio }: RoutingPolicy,
): (replica: AffinityReplica) => boolean {
  const soonestMs = Math.min(...replicas.map((replica) => predictedFirstTokenMs(replica, request)));
  const lateMsMax = Math.max(spillMs, soonestMs * spillRatio);
  return (replica) => predictedFirstTokenMs(replica, request) - soonestMs <= lateMsMax;
}

function stickyReplica(
  replicas: readonly AffinityReplica[],
  request: AffinityRequest,
  options: ChoiceOptions,
): Choice | null {
  const isWorthIt = withinBound(replicas, request, options);
  const ofSession = replicas.find(({ id }) => id === request.sessionReplicaId);
  if (ofSession !== undefined && isWorthIt(ofSession)) return { replica: ofSession, by: 'session' };
  const warm = replicas.filter((replica) => prefixHit(replica, request) >= options.prefixHitMin && isWorthIt(replica));
  if (warm.length === 0) return null;
  return { replica: least(warm, (replica) => predictedFirstTokenMs(replica, request), options.random), by: 'prefix' };
}

export type ReplicaPolicy = (
  replicas: readonly AffinityReplica[],
  request: AffinityRequest,
  random: () => number,
) => AffinityReplica;

/** Weight of a first observation where none is known, milliseconds. */
const UNMEASURED_LATENCY_MS = 50;

export const REPLICA_POLICIES = {
  'predicted-first-token': {
    meaning: 'the soonest first token by the own ledger and the uncached part of the prompt',
    // Where several are as soon, the one with the least work of late: its cache has the most room for what is new.
    pick: (replicas, request, random) => {
      const soonest = leastOf(replicas, (replica) => predictedFirstTokenMs(replica, request));
      return least(soonest, ({ recentMs }) => recentMs, random);
    },
  },
  'least-cost': {
    meaning: 'reference: least latency × (1 + 0.5 × (1 − free memory ratio)); herds, kept for comparison',
    pick: (replicas, _request, random) =>
      least(
        replicas,
        ({ latencyMs, freeMemoryBytes, memoryBytes = 0 }) => {
          const freeRatio = memoryBytes > 0 && freeMemoryBytes !== undefined ? freeMemoryBytes / memoryBytes : 1;
          return (latencyMs ?? UNMEASURED_LATENCY_MS) * (1 + 0.5 * (1 - freeRatio));
        },
        random,
      ),
  },
  'inverse-load': {
    meaning: 'reference: drawn with probability (1 / L) / Σ (1 / L) of the smoothed loads L',
    pick: (replicas, _request, random) => {
      const shares = inverseLoadShares(replicas.map(({ load }) => load));
      let left = random();
      const index = shares.findIndex((share) => {
        left -= share;
        return left < 0;
      });
      return replicas[index === -1 ? replicas.length - 1 : index]!;
    },
  },
  'power-of-two': {
    meaning: 'the one with fewer requests in flight of two drawn at random',
    pick: (replicas, _request, random) => {
      const [first, second] = [drawn(replicas, random()), drawn(replicas, random())];
      return first.outstanding <= second.outstanding ? first : second;
    },
  },
} as const satisfies Readonly<Record<ReplicaPick, { meaning: string; pick: ReplicaPolicy }>>;

/** A load below this counts as this: nothing is infinitely better than anything else (A11). */
const LOAD_MIN = 1e-3;

/** `(1 / Lᵢ) / Σ (1 / Lⱼ)`; sums to 1, also when all loads are 0. */
export function inverseLoadShares(loads: readonly number[]): number[] {
  const inverses = loads.map((load) => 1 / Math.max(LOAD_MIN, load));
  const total = inverses.reduce((sum, inverse) => sum + inverse, 0);
  return inverses.map((inverse) => inverse / total);
}

/** `L(t) = α R(t) + (1 − α) L(t − 1)`, the reference's smoothing; α in [0.7, 0.9]. */
export function smoothedLoad(before: number, observed: number, alpha = 0.8): number {
  return alpha * observed + (1 - alpha) * before;
}

/** Ties are uniform (A09). */
function least(
  replicas: readonly AffinityReplica[],
  costOf: (replica: AffinityReplica) => number,
  random: () => number,
): AffinityReplica {
  return drawn(leastOf(replicas, costOf), random());
}

/** Those whose cost is the least. */
function leastOf(
  replicas: readonly AffinityReplica[],
  costOf: (replica: AffinityReplica) => number,
): readonly AffinityReplica[] {
  const costs = replicas.map(costOf);
  const lowest = Math.min(...costs);
  return replicas.filter((_replica, index) => costs[index] === lowest);
}

function drawn(replicas: readonly AffinityReplica[], random: number): AffinityReplica {
  return replicas[Math.min(replicas.length - 1, Math.floor(random * replicas.length))]!;
}
