/** What one cycle works on and what it has decided so far. Phases are in `cycle.ts`; this only keeps. */
import { DEVICE_TYPES, type DeviceCounts, type DeviceType } from '#domain';
import { NoQuota } from './no-quota.ts';
import { Outlook } from './outlook.ts';
import type { QuotaAccount } from './ports.ts';
import type { EvictionSearch } from './preemption.ts';
import { QuotaTree } from './quota-tree.ts';
import { Refusals } from './refusals.ts';
import type { RunningBooks } from './running/books.ts';
import { Shapes } from './shapes.ts';
import {
  DEFAULT_WORKLOAD_POLICY,
  type PendingWorkload,
  type QueueSnapshot,
  type RunningWorkload,
  type WorkloadCluster,
  type WorkloadPolicy,
  type WorkloadSnapshot,
} from './snapshot.ts';
import { Told } from './told.ts';
import type { Explanation } from './verdicts.ts';
import { LossBound } from './victim-set.ts';
import { Victims } from './victims.ts';
import type {
  DefragmentationProposal,
  PlannedStart,
  PlannedStop,
  WorkloadPlan,
  WorkloadVerdict,
} from './workload-plan.ts';

/** Searches for victims that are kept at once; at the bound the oldest is forgotten, and made anew if it is needed. */
const SEARCHES_MAX = 32;

export class Cycle {
  readonly nowMs: number;
  readonly policy: WorkloadPolicy;
  readonly clusters: ReadonlyMap<string, WorkloadCluster>;
  readonly queues: ReadonlyMap<string, QueueSnapshot>;
  readonly totals: DeviceCounts;
  readonly outlook: Outlook;
  readonly quota: QuotaAccount;
  readonly shapes = new Shapes();
  readonly refusals: Refusals;
  /** Device type → the first workload in order that waits for room, which nothing behind it may delay. */
  readonly heads = new Map<DeviceType, PendingWorkload>();
  /** Shape → why it has no room. Equal requests share one explanation a cycle. */
  readonly explanations = new Map<number, Explanation>();
  /** Queue → number of shape and priority → why nothing is stopped for it. */
  readonly words = new Map<string, Map<number, string>>();
  /** How many of these there are. */
  wordings = 0;
  vainSearches = 0;
  readonly told = new Told();
  private lastKind = { key: -1, queueId: '', full: '', text: '' };
  /** Of one domain at a time. */
  readonly lossBound = new LossBound();
  private searches = new Map<string, EvictionSearch>();
  /** What ends for a nominated workload, which is charged in its place. */
  makingRoom: readonly RunningWorkload[] = [];

  readonly starts: PlannedStart[] = [];
  readonly stops: PlannedStop[] = [];
  readonly nominations: WorkloadPlan['nominations'][number][] = [];
  readonly verdicts: WorkloadVerdict[] = [];
  readonly proposals: DefragmentationProposal[] = [];
  proposalsTried = 0;
  /** Nominated workloads → members that are charged already. */
  private readonly promised = new Map<string, number>();
  private readonly places = new Map<string, number>();
  readonly victims: Victims;

  /** The books are of this snapshot, and of no other cycle until they are brought to another. */
  constructor(
    readonly snapshot: WorkloadSnapshot,
    readonly books: RunningBooks,
  ) {
    const { nowMs, clusters, queues } = snapshot;
    this.nowMs = nowMs;
    this.policy = { ...DEFAULT_WORKLOAD_POLICY, ...snapshot.policy };
    this.clusters = new Map(clusters.map((cluster) => [cluster.id, cluster]));
    this.queues = new Map(queues.map((queue) => [queue.id, queue]));
    this.outlook = new Outlook(books);
    this.victims = new Victims(books, this.queues, this.policy, nowMs);
    this.refusals = new Refusals(this.outlook);
    const { present } = this.outlook;
    this.totals = Object.fromEntries(DEVICE_TYPES.map((deviceType) => [deviceType, present.total(deviceType)]));
    this.quota = this.policy.sharesFairly ? new QuotaTree(queues, this.totals) : new NoQuota();
  }

  /** Charges a workload that starts with so many members, in place of what it was promised. */
  charge(work: PendingWorkload, members: number): void {
    if (work.nomination !== null) this.promise(work, members);
    else this.quota.charge(work.queueId, work.claim.deviceType, work.claim.count * members);
  }

  /** Charges a workload for so many members, in place of what it was charged before. */
  promise(work: PendingWorkload, members: number): void {
    const { queueId, claim, id } = work;
    const before = this.promised.get(id) ?? 0;
    if (before > 0) this.quota.refund(queueId, claim.deviceType, claim.count * before);
    if (members > 0) this.quota.charge(queueId, claim.deviceType, claim.count * members);
    this.promised.set(id, members);
  }

  /** It is charged for the room that it was promised. */
  isPromised({ id, nomination }: PendingWorkload): boolean {
    return nomination !== null && (this.promised.get(id) ?? 0) > 0;
  }

  /** One text of a shape's key, a queue and the queue that is full; what is asked about in turn is mostly of one kind. */
  kindText(key: number, queueId: string, full: string): string {
    const { lastKind: last } = this;
    if (last.key === key && last.queueId === queueId && last.full === full) return last.text;
    this.lastKind = { key, queueId, full, text: `${key} ${queueId} ${full}` };
    return this.lastKind.text;
  }

  /** By shape, queue and priority: what was looked at for one of a kind need not be looked at again for the next. */
  searchOf(kind: string, make: () => EvictionSearch): EvictionSearch {
    const known = this.searches.get(kind);
    if (known !== undefined) return known;
    if (this.searches.size === SEARCHES_MAX) this.searches.delete(this.searches.keys().next().value!);
    const made = make();
    this.searches.set(kind, made);
    return made;
  }

  /** A search knows something of every domain: kept for whoever is not asked about again, it only costs memory. */
  forgetSearches(): void {
    this.searches = new Map();
  }

  /** 1, 2, 3 … among those of a queue that do not start. */
  nextPlace(queueId: string): number {
    const place = (this.places.get(queueId) ?? 0) + 1;
    this.places.set(queueId, place);
    return place;
  }
}
