/**
 * In which order a queue is served: a table of formulas, for jobs (`orderPending`) and for inference requests
 * (`orderRequests`, `nextRequest`). Both are first brought to one shape, so that a policy is judged by the same formula
 * on a request trace and on a job trace.
 *
 * A policy gives three numbers, the smaller first, compared in turn; what is equal in all goes by arrival, then by id. So
 * every order is total, does not depend on the order given, and is the same at each replay (S04). A wait is never
 * negative and time only ever adds to it: entries that differ by arrival alone never overtake each other, whatever the
 * clock does (S03).
 *
 * Which is the default: `class-shortest`. SCHEDULING: −39 % mean completion on training jobs; on requests it and `c-mu`
 * −17 … −32 % mean at ≥ 99 % of high-priority deadlines, where `dynamic-weighted` gives −5 … −11 %.
 */
import { type DeviceCounts, PRIORITY_MAX, PRIORITY_MIN, type QueueOrder } from '#domain';
import type { PendingWorkload } from './snapshot.ts';

/** What an order may look at. */
export interface Ranked {
  readonly id: string;
  /** 0..10, higher is more important. */
  readonly priority: number;
  /** Unix milliseconds since which it waits. */
  readonly sinceMs: number;
  /** Predicted seconds that one device would need for what is left of it; above 0. */
  readonly workerSeconds: number;
  /** Share of all devices of its type that it asks for, 0..1. */
  readonly demand: number;
}

export interface OrderOptions {
  /** Waits beyond this come first within their class (`class-shortest`). Above 0; default: no cap. */
  readonly waitCapSeconds?: number;
  /** And only beyond so many times the entry's own worker-time. Default 0: one cap for all. */
  readonly waitCapRuns?: number;
  /** Business levels of priorities 0 and 10 (`dynamic-weighted`), the others evenly between. Default 1 and 5. */
  readonly levels?: readonly [lowest: number, highest: number];
}

export type Rank = readonly [number, number, number];

export interface QueueOrderPolicy {
  readonly meaning: string;
  readonly rank: (entry: Ranked, nowMs: number, options: Required<OrderOptions>) => Rank;
}

export const DEFAULT_ORDER_OPTIONS: Required<OrderOptions> = {
  waitCapSeconds: Number.POSITIVE_INFINITY,
  waitCapRuns: 0,
  levels: [1, 5],
};

/** Used where a submitter gave no estimate: the median of the training jobs in the Philly trace, 3 h. */
export const EXPECTED_SECONDS_DEFAULT = 10_800;
/** What is past its estimate is taken to need so much more: it is near its end, but nobody knows. */
export const REMAINING_SECONDS_MIN = 60;
const REQUEST_SECONDS_MIN = 0.001;
/** A step of priority is worth this factor of worker-time: 8 over 2 is 64, beyond the spread of sizes in one class. */
const C_MU_WEIGHT_BASE = 2;

export const QUEUE_ORDER_POLICIES: Readonly<Record<QueueOrder, QueueOrderPolicy>> = {
  fcfs: { meaning: 'who came first', rank: () => [0, 0, 0] },
  'static-priority': {
    meaning: 'the higher priority, then who came first',
    rank: ({ priority }) => [-priority, 0, 0],
  },
  'dynamic-weighted': {
    meaning: 'the higher sum of business level, waiting (up to 50 s) and modesty; the reference formula',
    rank: (entry, nowMs, { levels }) => [
      -dynamicWeight(levelOf(entry.priority, levels), waitSeconds(entry, nowMs), entry.demand),
      0,
      0,
    ],
  },
  /**
   * The cap lifts what waited too long over its own class (and so over all below it), first whose cap was over first, and
   * never over a higher class: an urgent one that fits is not delayed by ageing (S01, S02). A cap that is the same for
   * all makes a long backlog first come, first served again, because then all have waited: on the Philly trace, where
   * classes wait for weeks, most of what shortest-first gains is lost to a cap of a day, and next to nothing to one that
   * is also five times an entry's own worker-time.
   */
  'class-shortest': {
    meaning: 'the higher priority, then the least worker-time left; what waited beyond the cap first in its class',
    rank: (entry, nowMs, options) => {
      const capSeconds = capSecondsOf(entry, options);
      return waitSeconds(entry, nowMs) > capSeconds
        ? [-entry.priority, 0, entry.sinceMs + capSeconds * 1_000]
        : [-entry.priority, 1, entry.workerSeconds];
    },
  },
  /**
   * Cox and Smith 1961: cost a second of waiting ÷ service time, which minimises the mean cost of waiting. Has no cap:
   * under overload large entries of low classes starve, so shed the lowest class at admission.
   */
  'c-mu': {
    meaning: 'the higher class weight per predicted worker-time',
    rank: ({ priority, workerSeconds }) => [-(classWeight(priority) / workerSeconds), 0, 0],
  },
};

/** `0.6·level + 0.3·min(waitSeconds/10, 5) + 0.1·(1 − demand)`: the reference. Level 1..5, wait ≥ 0, demand 0..1. S05. */
export function dynamicWeight(level: number, waitSeconds: number, demand: number): number {
  return 0.6 * level + 0.3 * Math.min(waitSeconds / 10, 5) + 0.1 * (1 - demand);
}

/** `2^priority`: the weight of a class in `c-mu`. Low 4, normal 32, high 256, serving 512, critical 1,024. */
export function classWeight(priority: number): number {
  return C_MU_WEIGHT_BASE ** priority;
}

export type OrderedWork = Pick<
  PendingWorkload,
  'id' | 'priority' | 'queuedAtMs' | 'claim' | 'gang' | 'expectedSeconds' | 'savedSeconds'
>;

/** Seconds that it still runs, at least REMAINING_SECONDS_MIN, by the submitter's word or else the default. */
export function remainingSeconds({
  expectedSeconds,
  savedSeconds,
}: Pick<OrderedWork, 'expectedSeconds' | 'savedSeconds'>) {
  return Math.max((expectedSeconds ?? EXPECTED_SECONDS_DEFAULT) - savedSeconds, REMAINING_SECONDS_MIN);
}

/**
 * What waits in one queue, in the order `order`; a new list. `totals`: devices of the fleet; of a type that it does not
 * name everything is asked for (demand 1).
 */
export function orderPending<Work extends OrderedWork>(
  entries: readonly Work[],
  order: QueueOrder,
  nowMs: number,
  options: OrderOptions & { readonly totals?: DeviceCounts } = {},
): Work[] {
  return sorted(entries, (work) => rankedWork(work, options.totals ?? {}), order, nowMs, options);
}

function rankedWork(work: OrderedWork, totals: DeviceCounts): Ranked {
  const devices = work.claim.count * work.gang.size;
  return {
    id: work.id,
    priority: work.priority,
    sinceMs: work.queuedAtMs,
    workerSeconds: remainingSeconds(work) * devices,
    demand: Math.min(1, devices / (totals[work.claim.deviceType] ?? devices)),
  };
}

/** An inference request that waits for a worker. */
export interface RequestOrder {
  readonly id: string;
  /** The priority of its class, 0..10. */
  readonly class: number;
  readonly arrivalMs: number;
  /** By the ledger's cost model: prefill of what is not cached, and decoding. */
  readonly predictedWorkerMs: number;
  /** Share of a worker that it takes, 0..1. */
  readonly demand: number;
}

export function orderRequests<Request extends RequestOrder>(
  entries: readonly Request[],
  order: QueueOrder,
  nowMs: number,
  options: OrderOptions = {},
): Request[] {
  return sorted(entries, rankedRequest, order, nowMs, options);
}

/** The first of `orderRequests` in one pass; null when none waits. */
export function nextRequest<Request extends RequestOrder>(
  entries: readonly Request[],
  order: QueueOrder,
  nowMs: number,
  options: OrderOptions = {},
): Request | null {
  const precedes = precedence(entries, rankedRequest, order, nowMs, options);
  let best = 0;
  for (let at = 1; at < entries.length; at += 1) if (precedes(at, best) < 0) best = at;
  return entries[best] ?? null;
}

function rankedRequest({ id, class: priority, arrivalMs, predictedWorkerMs, demand }: RequestOrder): Ranked {
  const workerSeconds = Math.max(predictedWorkerMs / 1_000, REQUEST_SECONDS_MIN);
  return { id, priority, sinceMs: arrivalMs, workerSeconds, demand };
}

function sorted<Entry extends { readonly id: string }>(
  entries: readonly Entry[],
  rankedOf: (entry: Entry) => Ranked,
  order: QueueOrder,
  nowMs: number,
  options: OrderOptions,
): Entry[] {
  // A list, not a typed array: its sort is quick where most is in order already, as it is from cycle to cycle.
  const places = Array.from(entries, (_, at) => at);
  places.sort(precedence(entries, rankedOf, order, nowMs, options));
  return places.map((at) => entries[at]!);
}

/** Compares two entries by their places. Keys are laid out flat: queues of 50,000 are ordered at each wake. */
function precedence<Entry extends { readonly id: string }>(
  entries: readonly Entry[],
  rankedOf: (entry: Entry) => Ranked,
  order: QueueOrder,
  nowMs: number,
  options: OrderOptions,
): (left: number, right: number) => number {
  const { rank } = QUEUE_ORDER_POLICIES[order];
  const all = { ...DEFAULT_ORDER_OPTIONS, ...options };
  const keys = new Float64Array(entries.length * 4);
  entries.forEach((entry, at) => {
    const ranked = rankedOf(entry);
    keys.set(rank(ranked, nowMs, all), at * 4);
    keys[at * 4 + 3] = ranked.sinceMs;
  });
  return (left, right) => {
    for (let key = 0; key < 4; key += 1) {
      const difference = keys[left * 4 + key]! - keys[right * 4 + key]!;
      if (difference !== 0) return difference;
    }
    const leftId = entries[left]!.id;
    const rightId = entries[right]!.id;
    return leftId < rightId ? -1 : Number(leftId > rightId);
  };
}

function capSecondsOf({ workerSeconds }: Ranked, { waitCapSeconds, waitCapRuns }: Required<OrderOptions>): number {
  return Math.max(waitCapSeconds, waitCapRuns * workerSeconds);
}

function waitSeconds({ sinceMs }: Ranked, nowMs: number): number {
  return Math.max(0, nowMs - sinceMs) / 1_000;
}

/** Priorities 0..10 spread evenly over the levels. */
function levelOf(priority: number, [lowest, highest]: readonly [number, number]): number {
  return lowest + ((highest - lowest) * (priority - PRIORITY_MIN)) / (PRIORITY_MAX - PRIORITY_MIN);
}
