/**
 * Candidates → the one to use. A policy is a row in a table: name → function → one line of meaning.
 *
 * Load is the router's own ledger of what it dispatched and has not seen finish, because reported load is a second old
 * and herds (SCHEDULING.md, findings 1 and 2).
 */
import type { Candidate } from './candidates.ts';

export interface PickInputs {
  /** Requests that this router sent to a replica and has not seen finish. */
  readonly outstanding: (replicaId: string) => number;
  /** Smoothed milliseconds that a replica takes for one request; null when never measured. */
  readonly serviceMs: (replicaId: string) => number | null;
  /** Measured round trip to a cluster in milliseconds; null when never measured. */
  readonly roundTripMs: (clusterId: string) => number | null;
  /** Uniform in [0, 1): breaks ties and drives sampling. */
  readonly random: () => number;
}

export type PickPolicy = (candidates: readonly Candidate[], inputs: PickInputs) => Candidate;

/** Milliseconds assumed while nothing at all is measured. */
const UNMEASURED_SERVICE_MS = 50;
const UNMEASURED_ROUND_TRIP_MS = 1;

/**
 * Estimated milliseconds until this replica would finish one more request: `roundTrip + service × (outstanding + 1)`.
 * `unmeasuredMs` stands in for a service time that is not known.
 */
export function expectedFinishMs(
  candidate: Candidate,
  inputs: PickInputs,
  unmeasuredMs = UNMEASURED_SERVICE_MS,
): number {
  const service = inputs.serviceMs(candidate.replica.replicaId) ?? unmeasuredMs;
  const roundTrip = inputs.roundTripMs(candidate.cluster.id) ?? UNMEASURED_ROUND_TRIP_MS;
  return roundTrip + service * (inputs.outstanding(candidate.replica.replicaId) + 1);
}

const leastOutstanding: PickPolicy = (candidates, inputs) => {
  let best: Candidate[] = [];
  let bestLoad = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const load = inputs.outstanding(candidate.replica.replicaId);
    if (load < bestLoad) {
      best = [candidate];
      bestLoad = load;
    } else if (load === bestLoad) best.push(candidate);
  }
  return at(best, inputs.random());
};

const powerOfTwo: PickPolicy = (candidates, inputs) => {
  const first = at(candidates, inputs.random());
  const second = at(candidates, inputs.random());
  const difference = inputs.outstanding(first.replica.replicaId) - inputs.outstanding(second.replica.replicaId);
  return difference <= 0 ? first : second;
};

const expectedFinish: PickPolicy = (candidates, inputs) => {
  let best = candidates[0]!;
  if (candidates.length === 1) return best;
  let bestMs = Number.POSITIVE_INFINITY;
  let ties = 0;
  const unmeasuredMs = fastestServiceMs(candidates, inputs);
  for (const candidate of candidates) {
    const finishMs = expectedFinishMs(candidate, inputs, unmeasuredMs);
    // Reservoir of size one: ties are uniform without a second pass.
    if (finishMs < bestMs) {
      best = candidate;
      bestMs = finishMs;
      ties = 1;
    } else if (finishMs === bestMs) {
      ties += 1;
      if (inputs.random() * ties < 1) best = candidate;
    }
  }
  return best;
};

/** What is not measured is taken to be as fast as the fastest: a new replica is tried at once, not shunned for a guess. */
function fastestServiceMs(candidates: readonly Candidate[], inputs: PickInputs): number {
  let fastest = Number.POSITIVE_INFINITY;
  for (const { replica } of candidates) {
    fastest = Math.min(fastest, inputs.serviceMs(replica.replicaId) ?? Number.POSITIVE_INFINITY);
  }
  return fastest === Number.POSITIVE_INFINITY ? UNMEASURED_SERVICE_MS : fastest;
}

export const PICK_POLICIES = {
  'expected-finish': {
    pick: expectedFinish,
    meaning: 'the least estimated time to finish, from the own ledger and measured times',
  },
  'least-outstanding': { pick: leastOutstanding, meaning: 'the fewest requests of this router in flight' },
  'power-of-two': { pick: powerOfTwo, meaning: 'the less loaded of two drawn at random' },
} as const satisfies Readonly<Record<string, { pick: PickPolicy; meaning: string }>>;

export type PickPolicyName = keyof typeof PICK_POLICIES;
export const PICK_POLICY_NAMES = Object.keys(PICK_POLICIES) as [PickPolicyName, ...PickPolicyName[]];
export const DEFAULT_PICK_POLICY: PickPolicyName = 'expected-finish';

/** Draws one of a non-empty list; `random` in [0, 1). */
function at<Item>(items: readonly Item[], random: number): Item {
  return items[Math.min(items.length - 1, Math.floor(random * items.length))]!;
}
