/**
 * Taking replicas away without losing a request (E03): a replica is first told to take nothing new, and may go only when
 * what it had in flight is done. A replica that drains and is wanted again is kept: that is cheaper than a start.
 */

export interface DrainableReplica {
  readonly id: string;
  /** Takes requests (or soon will); or finishes what it has and takes nothing new. */
  readonly state: 'starting' | 'serving' | 'draining';
  /** Requests that it has not finished; null: not known, so that it may have some. Who gives it up after all bounds that. */
  readonly inFlight: number | null;
  /** Unix milliseconds. */
  readonly startedAtMs: number;
}

export interface DrainStep {
  /** Take nothing new from now on. */
  readonly drain: readonly string[];
  /** May go now: told to drain by an earlier step, and nothing in flight. */
  readonly remove: readonly string[];
  /** Take requests again. */
  readonly keep: readonly string[];
  /** Are to be started. */
  readonly start: number;
}

/** States in the order in which they are given up. */
const GIVEN_UP_FIRST: Readonly<Record<DrainableReplica['state'], number>> = { starting: 0, serving: 1, draining: 2 };

/**
 * One step towards `wanted` replicas. Given up first: what starts, then the fewest in flight, then the newest. Taken back
 * first: the most in flight, since it will last longest anyway.
 */
export function drainStep(replicas: readonly DrainableReplica[], wanted: number): DrainStep {
  const active = replicas.filter(({ state }) => state !== 'draining');
  const draining = replicas.filter(({ state }) => state === 'draining');
  const surplus = Math.max(0, active.length - wanted);
  const missing = Math.max(0, wanted - active.length);
  const drain = active.toSorted(byLoss).slice(0, surplus);
  const kept = draining.toSorted((left, right) => -byLoss(left, right)).slice(0, missing);
  const remove = draining.filter((each) => each.inFlight === 0 && !kept.includes(each));
  return { drain: idsOf(drain), remove: idsOf(remove), keep: idsOf(kept), start: missing - kept.length };
}

function byLoss(left: DrainableReplica, right: DrainableReplica): number {
  return (
    GIVEN_UP_FIRST[left.state] - GIVEN_UP_FIRST[right.state] ||
    compare(left.inFlight ?? Number.POSITIVE_INFINITY, right.inFlight ?? Number.POSITIVE_INFINITY) ||
    right.startedAtMs - left.startedAtMs ||
    (left.id < right.id ? -1 : 1)
  );
}

function compare(left: number, right: number): number {
  return left === right ? 0 : left - right;
}

function idsOf(replicas: readonly DrainableReplica[]): string[] {
  return replicas.map(({ id }) => id);
}
