/**
 * Who may start how much, and who has to give back: weighted dominant-resource fair share (DRF) over the tree of queues,
 * with nominal quota, borrowing and lending at every level.
 *
 *   within nominal   a queue's own; it may start, and reclaim what others borrowed of it, whatever the priority
 *   above nominal    borrowed from what siblings leave idle: bounded by its borrowing limit, by their lending limits, and
 *                    by both of every queue above it; divided by weight, and given back when its owner wants it
 *
 * Without any quota everything is borrowed, and the fleet is simply divided by weight.
 *
 * Invariants: use is never negative; the use of a queue is the sum of its children's and its own; nothing but `charge`,
 * `refund` and `rollback` changes the account, each in O(depth). Whether devices are free is not its question: the fleet's
 * size bounds only what lending limits keep back. Which victims, and by which priority, is `preemption.ts`.
 *
 * Sources: Ghodsi et al., "Dominant Resource Fairness" (NSDI '11); Kueue's hierarchical cohorts and fair sharing (KEP-79,
 * KEP-1714).
 */
import { DEVICE_TYPES, type DeviceCounts, type DeviceType } from '#domain';
import { QuotaAccount, type QuotaRejection, type QuotaWant } from './ports.ts';
import { amountsOf, buildQuotaNodes, type QuotaNode, type QuotaNodes } from './quota-tree-nodes.ts';
import type { QueueSnapshot, RunningWorkload } from './snapshot.ts';

interface Change {
  readonly leaf: QuotaNode;
  readonly type: number;
  readonly count: number;
}

const TYPE_INDEX: ReadonlyMap<string, number> = new Map(DEVICE_TYPES.map((deviceType, index) => [deviceType, index]));

export class QuotaTree extends QuotaAccount {
  private readonly nodes: QuotaNodes;
  private readonly totals: readonly number[];
  private readonly log: Change[] = [];

  /** Throws RangeError when `queues` are no trees. `totals`: the devices of the whole fleet. */
  constructor(queues: readonly QueueSnapshot[], totals: DeviceCounts) {
    super();
    this.nodes = buildQuotaNodes(queues, totals);
    this.totals = amountsOf(totals);
  }

  /** Charges what runs, jobs and serving alike (F13); a workload once, whatever number of holders it has (F12). */
  chargeRunning(running: readonly Pick<RunningWorkload, 'id' | 'queueId' | 'claim' | 'tasks'>[]): void {
    const largest = new Map<string, { queueId: string; deviceType: DeviceType; count: number }>();
    for (const { id, queueId, claim, tasks } of running) {
      const count = claim.count * tasks.length;
      if (count > (largest.get(id)?.count ?? -1)) largest.set(id, { queueId, deviceType: claim.deviceType, count });
    }
    for (const { queueId, deviceType, count } of largest.values()) this.charge(queueId, deviceType, count);
  }

  override admits(queueId: string, deviceType: DeviceType, count: number): QuotaRejection | null {
    const leaf = this.leaf(queueId);
    const type = typeOf(deviceType);
    const blocked = blockedAt(leaf, type, count, 'engaged');
    if (blocked === null) return null;
    const couldFit = blockedAt(leaf, type, count, 'idle') === null;
    const words = blocked.parent === null ? keptBackWords : ceilingWords;
    const queue = blocked.parent === null ? leaf.path[0]! : blocked;
    return { ...words(blocked, type, count, couldFit), queueId: queue.id, couldFit };
  }

  override charge(queueId: string, deviceType: DeviceType, count: number): void {
    this.change(this.leaf(queueId), typeOf(deviceType), count);
  }

  /** Throws RangeError for more than is charged. */
  override refund(queueId: string, deviceType: DeviceType, count: number): void {
    const leaf = this.leaf(queueId);
    const type = typeOf(deviceType);
    if (count > leaf.used[type]!) {
      throw new RangeError(`queue ${leaf.name} has ${leaf.used[type]} ${deviceType} charged, not ${count}`);
    }
    this.change(leaf, type, -count);
  }

  override mark(): number {
    return this.log.length;
  }

  override rollback(mark: number): void {
    while (this.log.length > mark) {
      const { leaf, type, count } = this.log.pop()!;
      apply(leaf, type, -count);
    }
  }

  /**
   * `max over types of (use ÷ total)`, divided by weight; Infinity at weight 0, its own or that of a queue above it. A
   * type that the fleet has none of is left out.
   */
  override share(queueId: string): number {
    const node = this.node(queueId);
    const isUnweighted = node.path.some(({ weight }) => weight === 0);
    return isUnweighted ? Number.POSITIVE_INFINITY : this.dominant(node, false) / node.weight;
  }

  /** `count` defaults to 0. */
  override isWithinNominal(queueId: string, deviceType: DeviceType, count = 0): boolean {
    return fitsNominal(this.node(queueId), typeOf(deviceType), count);
  }

  /**
   * `nominal` (F10): with `count` more, the queue or one above it that the victim is not below is still within its own,
   * so it takes back what is its own. `fairness` (F03): the victim's side borrows, after the move, at least the share that
   * this side then borrows, and borrowed more before; and what it loses was all borrowed. No move can then be answered by
   * its reverse (F04). Either way every queue from the victim's up to where the two meet is above its nominal (F02, F05).
   */
  override mayReclaim(
    queueId: string,
    deviceType: DeviceType,
    count: number,
    victimQueueId: string,
    victimCount: number,
  ): 'nominal' | 'fairness' | null {
    const sides = parting(this.leaf(queueId), this.leaf(victimQueueId));
    if (sides === null) return null;
    const type = typeOf(deviceType);
    const { left: mine, right: theirs, depth } = sides;
    const borrowers = this.leaf(victimQueueId).path.slice(depth);
    if (borrowers.some((node) => borrowedOf(node, type) <= 0)) return null;
    const owners = this.leaf(queueId).path.slice(depth);
    if (owners.some((node) => fitsNominal(node, type, count))) return 'nominal';
    if (borrowers.some((node) => borrowedOf(node, type) < victimCount)) return null;
    const mineAfter = this.borrowedShare(mine, type, count);
    const theirsAfter = this.borrowedShare(theirs, type, -victimCount);
    const isFairer = mineAfter <= theirsAfter && mineAfter < this.borrowedShare(theirs);
    return isFairer ? 'fairness' : null;
  }

  /**
   * From the root down, at the first level where the two part: who has nominal quota left (for what it wants, when that is
   * given) before who borrows; then the smaller borrowed share, then the smaller share, then the less that was used lately
   * for its weight, then the name.
   */
  override compare(leftQueueId: string, rightQueueId: string, leftWants?: QuotaWant, rightWants?: QuotaWant): number {
    const sides = parting(this.leaf(leftQueueId), this.leaf(rightQueueId));
    if (sides === null) return 0;
    const { left, right } = sides;
    return (
      ascending(Number(!hasNominalLeft(left, leftWants)), Number(!hasNominalLeft(right, rightWants))) ||
      ascending(this.borrowedShare(left), this.borrowedShare(right)) ||
      ascending(perWeight(left, this.dominant(left, false)), perWeight(right, this.dominant(right, false))) ||
      ascending(perWeight(left, left.recentDeviceSeconds), perWeight(right, right.recentDeviceSeconds)) ||
      ascending(left.name, right.name) ||
      ascending(left.id, right.id)
    );
  }

  override compareBorrowers(leftQueueId: string, rightQueueId: string): number {
    const sides = parting(this.leaf(leftQueueId), this.leaf(rightQueueId));
    if (sides === null) return 0;
    const { left, right } = sides;
    return ascending(this.borrowedShare(right), this.borrowedShare(left)) || -this.compare(leftQueueId, rightQueueId);
  }

  override usage(queueId: string): DeviceCounts {
    const { used } = this.node(queueId);
    return Object.fromEntries(
      DEVICE_TYPES.map((deviceType, type) => [deviceType, used[type]!] as const).filter(([, count]) => count > 0),
    );
  }

  private change(leaf: QuotaNode, type: number, count: number): void {
    apply(leaf, type, count);
    this.log.push({ leaf, type, count });
  }

  /** Of what it borrows, with `more` of one type. */
  private borrowedShare(node: QuotaNode, type = 0, more = 0): number {
    return perWeight(node, this.dominant(node, true, type, more));
  }

  private dominant(node: QuotaNode, isBorrowedOnly: boolean, type = 0, more = 0): number {
    let dominant = 0;
    for (let each = 0; each < this.totals.length; each += 1) {
      const used = node.used[each]! + (each === type ? more : 0) - (isBorrowedOnly ? node.nominal[each]! : 0);
      const total = this.totals[each]!;
      if (total > 0 && used > 0) dominant = Math.max(dominant, used / total);
    }
    return dominant;
  }

  private node(queueId: string): QuotaNode {
    return found(this.nodes.nodeOf, queueId);
  }

  private leaf(queueId: string): QuotaNode {
    return found(this.nodes.leafOf, queueId);
  }
}

/** Adds to the use of a leaf; what is engaged rises only by what is not kept back anyway. */
function apply(leaf: QuotaNode, type: number, count: number): void {
  let engaged = count;
  for (let node: QuotaNode | null = leaf; node !== null; node = node.parent) {
    const before = Math.max(node.engaged[type]!, node.keptBack[type]!);
    node.used[type]! += count;
    node.engaged[type]! += engaged;
    engaged = Math.max(node.engaged[type]!, node.keptBack[type]!) - before;
  }
}

/** The first node from the leaf up at which `count` more would be too much; null when there is none. */
function blockedAt(leaf: QuotaNode, type: number, count: number, now: 'engaged' | 'idle'): QuotaNode | null {
  let more = count;
  for (let node = leaf; ; node = node.parent!) {
    if (more === 0) return null;
    const engaged = node[now][type]! + more;
    if (node.parent === null) return engaged > node.nominal[type]! && keptIdle(node, type, now) > 0 ? node : null;
    if (engaged > node.ceiling[type]!) return node;
    more = Math.max(engaged, node.keptBack[type]!) - Math.max(node[now][type]!, node.keptBack[type]!);
  }
}

/** Devices below a node that lending limits keep idle for their owners. */
function keptIdle(node: QuotaNode, type: number, now: 'engaged' | 'idle'): number {
  return node[now][type]! - (now === 'idle' ? 0 : node.used[type]!);
}

type Words = (at: QuotaNode, type: number, count: number, couldFit: boolean) => { because: string; change: string };

const ceilingWords: Words = (at, type, count, couldFit) => {
  const deviceType = DEVICE_TYPES[type]!;
  const kept = keptIdle(at, type, 'engaged');
  const uses = `${at.used[type]}${kept > 0 ? ` (and its queues keep back ${kept})` : ''}`;
  const ceiling = at.ceiling[type]!;
  const limit = `its quota of ${at.nominal[type]} and the ${ceiling - at.nominal[type]!} that it may borrow`;
  const raise = `raise the quota or the borrowing limit of queue ${at.name}`;
  const excess = at.engaged[type]! + count - ceiling;
  return {
    because: `queue ${at.name} uses ${uses} ${deviceType}; ${count} more would exceed ${limit}`,
    change: couldFit ? `wait until queue ${at.name} gives back ${excess} ${deviceType}, or ${raise}` : raise,
  };
};

const keptBackWords: Words = (fleet, type, count, couldFit) => {
  const deviceType = DEVICE_TYPES[type]!;
  const kept = keptIdle(fleet, type, 'engaged');
  const has = `of the fleet's ${fleet.nominal[type]} ${deviceType} ${fleet.used[type]} are in use`;
  const raise = 'raise the lending limits of other queues';
  return {
    because: `${has} and ${kept} are kept back by lending limits of queues; ${count} more cannot be borrowed`,
    change: couldFit ? `wait until others give back what they borrow, or ${raise}` : raise,
  };
};

function fitsNominal(node: QuotaNode, type: number, count: number): boolean {
  return node.used[type]! + count <= node.nominal[type]!;
}

function borrowedOf(node: QuotaNode, type: number): number {
  return node.used[type]! - node.nominal[type]!;
}

function hasNominalLeft(node: QuotaNode, wants: QuotaWant | undefined): boolean {
  if (wants !== undefined) return fitsNominal(node, typeOf(wants.deviceType), wants.count);
  return node.nominal.some((nominal, type) => node.used[type]! < nominal);
}

/** The two children of the node below which both leaves are; null for one and the same leaf. */
function parting(left: QuotaNode, right: QuotaNode): { left: QuotaNode; right: QuotaNode; depth: number } | null {
  if (left === right) return null;
  let depth = 0;
  while (left.path[depth] === right.path[depth]) depth += 1;
  return { left: left.path[depth]!, right: right.path[depth]!, depth };
}

function perWeight(node: QuotaNode, amount: number): number {
  return node.weight === 0 ? Number.POSITIVE_INFINITY : amount / node.weight;
}

function ascending<T extends number | string>(left: T, right: T): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function typeOf(deviceType: DeviceType): number {
  const type = TYPE_INDEX.get(deviceType);
  if (type === undefined) throw new RangeError(`${deviceType} is no device type`);
  return type;
}

function found(nodes: ReadonlyMap<string, QuotaNode>, queueId: string): QuotaNode {
  const node = nodes.get(queueId);
  if (node === undefined) throw new RangeError(`no queue ${queueId}`);
  return node;
}
