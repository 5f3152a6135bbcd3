/**
 * Who may be asked to end for whom. What rules a running workload out whatever the preemptor is a table, `SHIELDS`; by
 * which right a preemptor may take from a queue is `Rights`:
 *
 *   preempted   strictly lower priority, in its own queue or where the victim is all borrowed: its queue, and every one
 *               above it up to where the two meet, is left with no less than its nominal quota (F05)
 *   reclaimed   by nominal quota, whatever the priority (F10); by fairness, never a higher priority (P03)
 */
import { PRIORITY_MAX } from '#domain';
import type { CapacityDomain, QuotaAccount } from './ports.ts';
import type { RunningBooks } from './running/books.ts';
import { devicesOf } from './running/charges.ts';
import type { PendingWorkload, QueueSnapshot, RunningWorkload, WorkloadPolicy } from './snapshot.ts';
import type { PlannedStop } from './workload-plan.ts';

export interface Victim {
  readonly running: RunningWorkload;
  /** The one cluster that it runs in. */
  readonly clusterId: string;
  /** Of all its members. */
  readonly devices: number;
  readonly lostDeviceSeconds: number;
  /** By the policy's formula. */
  readonly cost: number;
}

/** What a victim holds in one domain. */
export interface HeldThere {
  readonly victim: Victim;
  readonly devices: number;
}

/** Why something that runs is no victim, as the words that equal ones are counted under; the first that holds. */
export const SHIELDS: readonly {
  readonly words: string;
  /** The same, of one. */
  readonly ofOne: string;
  readonly shields: (running: RunningWorkload, nowMs: number) => boolean;
  /** With time alone. */
  readonly passes?: true;
}[] = [
  { words: 'already end', ofOne: 'already ends', shields: ({ isEnding }) => isEnding },
  { words: 'may not be preempted', ofOne: 'may not be preempted', shields: ({ preemptible }) => !preemptible },
  {
    words: 'have not yet run for their minimum',
    ofOne: 'has not yet run for its minimum',
    shields: (running, nowMs) => ranSeconds(running, nowMs) < running.minimumRunSeconds,
    passes: true,
  },
  {
    words: 'were preempted often and are protected for a while',
    ofOne: 'was preempted often and is protected for a while',
    shields: (running, nowMs) =>
      running.preemptions >= running.preemptionsMax && ranSeconds(running, nowMs) < running.protectedSeconds,
    passes: true,
  },
  {
    words: 'run in several clusters',
    ofOne: 'runs in several clusters',
    shields: ({ tasks }) => tasks.some(({ clusterId }) => clusterId !== tasks[0]!.clusterId),
  },
];

/** Policy → what a victim costs; the smallest sum is chosen. */
export const VICTIM_COSTS: Readonly<
  Record<
    WorkloadPolicy['victims'],
    { readonly meaning: string; readonly cost: (running: RunningWorkload, nowMs: number) => number }
  >
> = {
  'least-lost': { meaning: 'device-seconds since its last checkpoint', cost: lostDeviceSeconds },
  youngest: { meaning: 'seconds since its start', cost: ranSeconds },
};

function ranSeconds({ startedAtMs }: RunningWorkload, nowMs: number): number {
  return Math.max(0, nowMs - startedAtMs) / 1_000;
}

/** Of all members, since the newest checkpoint of this run. */
export function lostDeviceSeconds({ startedAtMs, savedAtMs, claim, tasks }: RunningWorkload, nowMs: number): number {
  return (Math.max(0, nowMs - Math.max(startedAtMs, savedAtMs ?? 0)) / 1_000) * claim.count * tasks.length;
}

/** Null: nothing shields it. */
export function shieldOf(running: RunningWorkload, nowMs: number): string | null {
  return shieldNow(running, nowMs)?.words ?? null;
}

/** Whether it has a shield now that is over some time. */
export function shieldPasses(running: RunningWorkload, nowMs: number): boolean {
  return shieldNow(running, nowMs)?.passes === true;
}

function shieldNow(running: RunningWorkload, nowMs: number): (typeof SHIELDS)[number] | null {
  for (const shield of SHIELDS) if (shield.shields(running, nowMs)) return shield;
  return null;
}

/** What runs and nothing shields, by holder. Those that are chosen leave it. */
export class Victims {
  /** By the holder's number, of those that were asked about. Null: it is none. */
  private readonly byHolder: (Victim | null | undefined)[] = [];
  /** Budget → how many more may be stopped before it is overdrawn. */
  private readonly budgetsLeft = new Map<string, number>();
  /** A domain never changes, another object takes its place: so who is in it is looked up once, whoever asks. */
  private readonly byDomain = new WeakMap<CapacityDomain, { choices: number; held: readonly HeldThere[] }>();
  /** In the order in which they were chosen. */
  private readonly taken: Victim[] = [];

  constructor(
    private readonly books: Pick<RunningBooks, 'of' | 'holders' | 'repeated' | 'budgetLeft'>,
    private readonly queues: ReadonlyMap<string, unknown>,
    private readonly policy: WorkloadPolicy,
    private readonly nowMs: number,
  ) {}

  of(holderId: string): Victim | undefined {
    const number = this.books.holders.find(holderId);
    if (number === undefined) return undefined;
    let victim = this.byHolder[number];
    if (victim === undefined) {
      victim = this.toVictim(this.books.of(holderId));
      this.byHolder[number] = victim;
    }
    return victim ?? undefined;
  }

  private toVictim(running: RunningWorkload | undefined): Victim | null {
    if (running === undefined || !this.isCounted(running)) return null;
    return {
      running,
      clusterId: running.tasks[0]!.clusterId,
      devices: devicesOf(running),
      lostDeviceSeconds: lostDeviceSeconds(running, this.nowMs),
      cost: VICTIM_COSTS[this.policy.victims].cost(running, this.nowMs),
    };
  }

  /** Nothing shields it, its queue exists, and of several holders of its workload it is the first that might go. */
  isCounted(running: RunningWorkload): boolean {
    if (!this.mightGo(running)) return false;
    const holders = this.books.repeated.get(running.id);
    return holders === undefined || holders.find((each) => this.mightGo(each)) === running;
  }

  private mightGo(running: RunningWorkload): boolean {
    return running.tasks.length > 0 && this.queues.has(running.queueId) && shieldOf(running, this.nowMs) === null;
  }

  /** In the order of the domain's holders. */
  in(domain: CapacityDomain): readonly HeldThere[] {
    const known = this.byDomain.get(domain);
    if (known?.choices === this.taken.length) return known.held;
    const held = known === undefined ? this.look(domain) : known.held.filter(({ victim }) => this.has(victim));
    this.byDomain.set(domain, { choices: this.taken.length, held });
    return held;
  }

  private look({ holders }: CapacityDomain): HeldThere[] {
    const held: HeldThere[] = [];
    for (const [holderId, devices] of holders) {
      const victim = this.of(holderId);
      if (victim !== undefined) held.push({ victim, devices });
    }
    return held;
  }

  private has({ running }: Victim): boolean {
    return this.of(running.holderId) !== undefined;
  }

  choose(victim: Victim): void {
    this.byHolder[this.books.holders.of(victim.running.holderId)] = null;
    this.taken.push(victim);
    const { budget } = victim.running;
    if (budget !== null) this.budgetsLeft.set(budget.id, this.budgetLeft(victim) - 1);
  }

  get chosen(): readonly Victim[] {
    return this.taken;
  }

  /** How many of the victim's budget may be stopped before it is overdrawn; Infinity without a budget. */
  budgetLeft({ running: { budget } }: Victim): number {
    if (budget === null) return Number.POSITIVE_INFINITY;
    return this.budgetsLeft.get(budget.id) ?? this.books.budgetLeft(budget.id);
  }
}

/** What one preemptor may take from whom. */
export class Rights {
  /** Queue → devices and priority of the victim → right. */
  private readonly remembered = new Map<string, Map<number, PlannedStop['cause'] | null>>();

  constructor(
    private readonly quota: QuotaAccount,
    private readonly preemptor: PendingWorkload,
    /** Devices that the preemptor needs in all. */
    private readonly devices: number,
  ) {}

  /** As the quota is charged at this moment: in a what-if, with those refunded that end already. */
  over({ running, devices }: Pick<Victim, 'running' | 'devices'>): PlannedStop['cause'] | null {
    const { queueId, priority } = running;
    const { deviceType } = this.preemptor.claim;
    if (
      priority < this.preemptor.priority &&
      this.quota.borrowsBeside(queueId, deviceType, this.preemptor.queueId, devices)
    )
      return 'preempted';
    if (queueId === this.preemptor.queueId) return null;
    const right = this.quota.mayReclaim(this.preemptor.queueId, deviceType, this.devices, queueId, devices);
    return right === 'nominal' || (right === 'fairness' && priority <= this.preemptor.priority) ? 'reclaimed' : null;
  }

  /** As it was when it was first asked about a victim like this since `forget`. */
  usuallyOver(victim: Pick<Victim, 'running' | 'devices'>): PlannedStop['cause'] | null {
    const { queueId, priority } = victim.running;
    let ofQueue = this.remembered.get(queueId);
    if (ofQueue === undefined) {
      ofQueue = new Map();
      this.remembered.set(queueId, ofQueue);
    }
    const key = victim.devices * (PRIORITY_MAX + 1) + priority;
    let right = ofQueue.get(key);
    if (right === undefined) {
      right = this.over(victim);
      ofQueue.set(key, right);
    }
    return right;
  }

  forget(): void {
    this.remembered.clear();
  }
}

/** A queue and those above it. */
export function pathOf(queueId: string, queues: ReadonlyMap<string, QueueSnapshot>): string[] {
  const path: string[] = [];
  for (let at: string | null = queueId; at !== null; at = queues.get(at)?.parentId ?? null) path.push(at);
  return path;
}
