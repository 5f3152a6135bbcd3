/**
 * Who is served next: a tournament over the tree of queues. At each level the branch goes first whose best entry has the
 * higher priority, then the one with an entry that waited past the cap, then the one that fair share favours
 * (`QuotaAccount.compare`); within a queue its own order rules, so that a first-come queue shows its oldest entry first
 * whatever its priority. A queue of weight 0 comes last of all for what is beyond its nominal quota (F07).
 *
 * A start changes the shares of one path only, so that `next` costs O(depth × log siblings): see `settle`. What changes
 * other paths (a victim's refund) needs `rebuild`.
 */
import type { DeviceCounts, QueueOrder } from '#domain';
import type { Cycle } from './cycle-state.ts';
import { sink } from './heap.ts';
import { orderPending } from './orders.ts';
import type { QuotaAccount, QuotaWant } from './ports.ts';
import type { PendingWorkload, QueueSnapshot, WorkloadPolicy } from './snapshot.ts';

interface Best {
  readonly work: PendingWorkload;
  readonly wants: QuotaWant;
  readonly isOverdue: boolean;
  /** It may only have what nobody else wants (F07). */
  readonly isLast: boolean;
}

interface Branch {
  readonly queue: QueueSnapshot | null;
  readonly own: readonly PendingWorkload[];
  served: number;
  /** A binary heap: the branch that goes first is at 0. */
  readonly children: Branch[];
  best: Best | null;
  /** Whether `best` is of its own entries. */
  isOwn: boolean;
}

export class ServingOrder {
  private readonly root: Branch = branchOf(null, []);
  private readonly all: Branch[] = [];
  private readonly weightless = new Set<string>();
  private path: Branch[] = [];
  private readonly isPromised: (work: PendingWorkload) => boolean;
  private readonly quota: QuotaAccount;
  private readonly nowMs: number;
  private readonly policy: WorkloadPolicy;
  private readonly totals: DeviceCounts;

  /** Entries of queues that do not exist are never served. */
  constructor(cycle: Cycle) {
    const { snapshot, queues, quota, nowMs, policy, totals } = cycle;
    this.isPromised = (work) => cycle.isPromised(work);
    this.quota = quota;
    this.nowMs = nowMs;
    this.policy = policy;
    this.totals = totals;
    if (policy.sharesFairly) this.plant(snapshot.pending, snapshot.queues);
    else
      this.plantOne(
        snapshot.pending.filter(({ queueId }) => queues.has(queueId)),
        snapshot.queues,
      );
    this.rebuild();
  }

  /** The next entry to decide on; null when all were. Call `settle` first when anything was charged since. */
  next(): PendingWorkload | null {
    this.settle();
    this.path = [this.root];
    let here = this.root;
    while (!here.isOwn && here.best !== null) {
      here = here.children[0]!;
      this.path.push(here);
    }
    const work = here.best?.work ?? null;
    here.served += 1;
    return work;
  }

  /** Brings the path of the entry served last into order again. */
  private settle(): void {
    for (const branch of this.path.reverse()) {
      sink(branch.children, 0, this.precedes);
      this.judge(branch);
    }
    this.path = [];
  }

  /** Brings everything into order again: after a refund. */
  rebuild(): void {
    this.path = [];
    for (const branch of this.all) this.heapify(branch);
    this.heapify(this.root);
  }

  private heapify(branch: Branch): void {
    for (let at = (branch.children.length >> 1) - 1; at >= 0; at -= 1) sink(branch.children, at, this.precedes);
    this.judge(branch);
  }

  /** Children before their parents in `all`, so that one pass from the front judges the whole tree. */
  private plant(pending: readonly PendingWorkload[], queues: readonly QueueSnapshot[]): void {
    const byQueue = Map.groupBy(pending, ({ queueId }) => queueId);
    const branches = new Map<string, Branch>();
    for (const queue of queues) {
      const entries = this.ordered(byQueue.get(queue.id) ?? [], this.policy.order ?? queue.order);
      branches.set(queue.id, branchOf(queue, entries));
    }
    for (const branch of branches.values()) {
      const parent = branch.queue!.parentId === null ? undefined : branches.get(branch.queue!.parentId);
      (parent ?? this.root).children.push(branch);
    }
    const visit = (branch: Branch, isWeightless: boolean): void => {
      const isLast = isWeightless || branch.queue!.weight === 0;
      if (isLast) this.weightless.add(branch.queue!.id);
      for (const child of branch.children) visit(child, isLast);
      this.all.push(branch);
    };
    for (const child of this.root.children) visit(child, false);
  }

  /** All queues served as one, in the order that the policy or else the first queue gives. */
  private plantOne(pending: readonly PendingWorkload[], queues: readonly QueueSnapshot[]): void {
    const order = this.policy.order ?? queues[0]?.order ?? 'fcfs';
    const branch = branchOf(null, this.ordered(pending, order));
    this.all.push(branch);
    this.root.children.push(branch);
  }

  private ordered(entries: readonly PendingWorkload[], order: QueueOrder): readonly PendingWorkload[] {
    const { waitCapSeconds, waitCapRuns } = this.policy;
    return orderPending(entries, order, this.nowMs, { waitCapSeconds, waitCapRuns, totals: this.totals });
  }

  private judge(branch: Branch): void {
    const own = this.bestOf(branch.own[branch.served]);
    const below = branch.children[0]?.best ?? null;
    branch.isOwn = own !== null && (below === null || this.compare(own, below) <= 0);
    branch.best = branch.isOwn ? own : below;
  }

  private bestOf(work: PendingWorkload | undefined): Best | null {
    if (work === undefined) return null;
    const { deviceType } = work.claim;
    // What is promised to it is charged already.
    const count = this.isPromised(work) ? 0 : work.claim.count * work.gang.minimum;
    return {
      work,
      wants: { deviceType, count },
      isOverdue: this.nowMs - work.queuedAtMs > this.policy.waitCapSeconds * 1_000,
      isLast: this.weightless.has(work.queueId) && !this.quota.isWithinNominal(work.queueId, deviceType, count),
    };
  }

  private compare(left: Best, right: Best): number {
    if (left.isLast !== right.isLast) return left.isLast ? 1 : -1;
    if (left.work.priority !== right.work.priority) return right.work.priority - left.work.priority;
    if (left.isOverdue !== right.isOverdue) return left.isOverdue ? -1 : 1;
    if (left.work.queueId === right.work.queueId) return 0;
    return this.quota.compare(left.work.queueId, right.work.queueId, left.wants, right.wants);
  }

  private readonly precedes = (left: Branch, right: Branch): boolean => {
    if (left.best === null || right.best === null) return left.best !== null;
    return this.compare(left.best, right.best) < 0;
  };
}

function branchOf(queue: QueueSnapshot | null, own: readonly PendingWorkload[]): Branch {
  return { queue, own, served: 0, children: [], best: null, isOwn: false };
}
