/**
 * Who may start how much, and who has to give back: weighted dominant-resource fair share (DRF) over the tree of queues,
 * with nominal quota, borrowing and lending at every level.
 *
 *   within nominal   a queue's own; where others borrowed it, it is reclaimed, whatever the priority
 *   above nominal    borrowed from what siblings leave idle: bounded by its borrowing limit, by their lending limits, and
 *                    by both of every queue above it; divided by weight, and given back when its owner wants it
 *
 * Without any quota everything is borrowed, and the fleet is simply divided by weight. What a queue keeps back from its
 * parent's other children counts as engaged there, used or not: so a queue may be within what it uses and still borrow.
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
import type { QueueSnapshot } from './snapshot.ts';

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

  override admits(queueId: string, deviceType: DeviceType, count: number): QuotaRejection | null {
    const leaf = this.leaf(queueId);
    const type = typeOf(deviceType);
    const blocked = blockedAt(leaf, type, count, 'engaged');
    if (blocked === null) return null;
    const couldFit = blockedAt(leaf, type, count, 'idle') === null;
    const isFleet = blocked.parent === null;
    const words = isFleet ? keptBackWords : ceilingWords;
    return { ...words(blocked, type, count, couldFit), queueId: isFleet ? null : blocked.id, couldFit };
  }

  /** Throws RangeError unless `count` is a whole number ≥ 0. */
  override charge(queueId: string, deviceType: DeviceType, count: number): void {
    this.change(queueId, deviceType, count, 1);
  }

  /** Throws RangeError unless `count` is a whole number ≥ 0, and for more than is charged. */
  override refund(queueId: string, deviceType: DeviceType, count: number): void {
    this.change(queueId, deviceType, count, -1);
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
    return node.path.some(({ weight }) => weight === 0) ? Number.POSITIVE_INFINITY : this.shareOf(node);
  }

  /** `count` defaults to 0. */
  override isWithinNominal(queueId: string, deviceType: DeviceType, count = 0): boolean {
    return borrowedOf(this.node(queueId), typeOf(deviceType)) + count <= 0;
  }

  override borrowsBeside(queueId: string, deviceType: DeviceType, otherQueueId: string, count: number): boolean {
    const [theirs, other] = [this.leaf(queueId), this.leaf(otherQueueId)];
    if (theirs === other) return true;
    return !someAbove(theirs, partingDepth(theirs, other), typeOf(deviceType), -count, (borrowed) => borrowed < 0);
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
    const mine = this.leaf(queueId);
    const theirs = this.leaf(victimQueueId);
    if (mine === theirs) return null;
    const type = typeOf(deviceType);
    const depth = partingDepth(mine, theirs);
    if (someAbove(theirs, depth, type, 0, (borrowed) => borrowed <= 0)) return null;
    if (someAbove(mine, depth, type, count, (borrowed) => borrowed <= 0)) return 'nominal';
    if (!this.borrowsBeside(victimQueueId, deviceType, queueId, victimCount)) return null;
    const [left, right] = [mine.path[depth]!, theirs.path[depth]!];
    const mineAfter = this.borrowedShare(left, type, engagedBy(mine, depth, type, count));
    const theirsAfter = this.borrowedShare(right, type, engagedBy(theirs, depth, type, -victimCount));
    return mineAfter <= theirsAfter && mineAfter < this.borrowedShare(right) ? 'fairness' : null;
  }

  /**
   * From the root down, at the first level where the two part: who has nominal quota left (for what it wants, when that is
   * given) before who borrows; then the smaller borrowed share, then the smaller share, then the less that was used lately
   * for its weight, then the name.
   */
  override compare(leftQueueId: string, rightQueueId: string, leftWants?: QuotaWant, rightWants?: QuotaWant): number {
    const [leftLeaf, rightLeaf] = [this.leaf(leftQueueId), this.leaf(rightQueueId)];
    if (leftLeaf === rightLeaf) return 0;
    const depth = partingDepth(leftLeaf, rightLeaf);
    const [left, right] = [leftLeaf.path[depth]!, rightLeaf.path[depth]!];
    return (
      Number(hasNominalLeft(rightLeaf, depth, rightWants)) - Number(hasNominalLeft(leftLeaf, depth, leftWants)) ||
      ascending(this.borrowedShare(left), this.borrowedShare(right)) ||
      ascending(this.shareOf(left), this.shareOf(right)) ||
      ascending(perWeight(left, left.recentDeviceSeconds), perWeight(right, right.recentDeviceSeconds)) ||
      ascending(left.name, right.name) ||
      ascending(left.id, right.id)
    );
  }

  override compareBorrowers(leftQueueId: string, rightQueueId: string): number {
    const [left, right] = [this.leaf(leftQueueId), this.leaf(rightQueueId)];
    if (left === right) return 0;
    const depth = partingDepth(left, right);
    return (
      ascending(this.borrowedShare(right.path[depth]!), this.borrowedShare(left.path[depth]!)) ||
      this.compare(rightQueueId, leftQueueId)
    );
  }

  override usage(queueId: string): DeviceCounts {
    const { used } = this.node(queueId);
    return Object.fromEntries(
      DEVICE_TYPES.map((deviceType, type) => [deviceType, used[type]!] as const).filter(([, count]) => count > 0),
    );
  }

  private change(queueId: string, deviceType: DeviceType, count: number, sign: 1 | -1): void {
    const leaf = this.leaf(queueId);
    const type = typeOf(deviceType);
    if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`${count} is no number of devices`);
    if (sign < 0 && count > leaf.used[type]!) {
      throw new RangeError(`queue ${leaf.name} has ${leaf.used[type]} ${deviceType} charged, not ${count}`);
    }
    apply(leaf, type, sign * count);
    this.log.push({ leaf, type, count: sign * count });
  }

  /** Of all that it has. */
  private shareOf(node: QuotaNode): number {
    let dominant = 0;
    for (let type = 0; type < this.totals.length; type += 1) {
      if (this.totals[type]! > 0) dominant = Math.max(dominant, node.used[type]! / this.totals[type]!);
    }
    return perWeight(node, dominant);
  }

  /** Of what it borrows, with `more` engaged of one type. */
  private borrowedShare(node: QuotaNode, type = 0, more = 0): number {
    let dominant = 0;
    for (let each = 0; each < this.totals.length; each += 1) {
      const borrowed = borrowedOf(node, each) + (each === type ? more : 0);
      if (this.totals[each]! > 0) dominant = Math.max(dominant, borrowed / this.totals[each]!);
    }
    return perWeight(node, dominant);
  }

  private node(queueId: string): QuotaNode {
    return found(this.nodes.nodeOf, queueId);
  }

  private leaf(queueId: string): QuotaNode {
    return found(this.nodes.leafOf, queueId);
  }
}

type Engaged = 'engaged' | 'idle';

/** By how much a node's part of its parent changes when `more` is engaged in it: not by what is kept back anyway. */
function passedUp(node: QuotaNode, type: number, more: number, now: Engaged = 'engaged'): number {
  const kept = node.keptBack[type]!;
  return Math.max(node[now][type]! + more, kept) - Math.max(node[now][type]!, kept);
}

function apply(leaf: QuotaNode, type: number, count: number): void {
  let more = count;
  for (let node: QuotaNode | null = leaf; node !== null; node = node.parent) {
    const passed = passedUp(node, type, more);
    node.used[type]! += count;
    node.engaged[type]! += more;
    more = passed;
  }
}

/** The first node from the leaf up at which `count` more would be too much; null when there is none. */
function blockedAt(leaf: QuotaNode, type: number, count: number, now: Engaged): QuotaNode | null {
  let more = count;
  for (let node = leaf; ; node = node.parent!) {
    if (more === 0) return null;
    const engaged = node[now][type]! + more;
    if (node.parent === null) return isKeptBack(leaf, type, count, now) && engaged > node.nominal[type]! ? node : null;
    if (engaged > node.ceiling[type]!) return node;
    more = passedUp(node, type, more, now);
  }
}

/**
 * Whether what roots keep back is in the way of `count` more. A root within its nominal yields to it only while another
 * one borrows: where the fleet is smaller than what was promised of it, devices decide.
 */
function isKeptBack(leaf: QuotaNode, type: number, count: number, now: Engaged): boolean {
  const root = leaf.path[0]!;
  const fleet = root.parent!;
  if (keptIdle(fleet, type, now) <= 0) return false;
  if (root[now][type]! + engagedBy(leaf, 0, type, count, now) > root.nominal[type]!) return true;
  return fleet.children.some((other) => other[now][type]! > other.nominal[type]!);
}

/** Whether `test` holds of what is borrowed, with `count` more in the leaf, at some level from it up to `depth`. */
function someAbove(
  leaf: QuotaNode,
  depth: number,
  type: number,
  count: number,
  test: (borrowed: number) => boolean,
): boolean {
  let more = count;
  for (let at = leaf.path.length - 1; at >= depth; at -= 1) {
    const node = leaf.path[at]!;
    if (test(borrowedOf(node, type) + more)) return true;
    more = passedUp(node, type, more);
  }
  return false;
}

/** What `count` more in the leaf engages in its ancestor at `depth`. */
function engagedBy(leaf: QuotaNode, depth: number, type: number, count: number, now: Engaged = 'engaged'): number {
  let more = count;
  for (let at = leaf.path.length - 1; at > depth; at -= 1) more = passedUp(leaf.path[at]!, type, more, now);
  return more;
}

/** Devices below a node that lending limits keep idle for their owners. */
function keptIdle(node: QuotaNode, type: number, now: Engaged): number {
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
  const used = fleet.used[type]!;
  const has = `of the fleet's ${fleet.nominal[type]} ${deviceType} ${used} ${used === 1 ? 'is' : 'are'} in use`;
  const raise = 'raise the lending limits of other queues';
  return {
    because: `${has} and ${kept} ${kept === 1 ? 'is' : 'are'} kept back by lending limits of queues; ${count} more cannot be borrowed`,
    change: couldFit ? `wait until others give back what they borrow, or ${raise}` : raise,
  };
};

/** Negative: so much of its nominal is left. */
function borrowedOf(node: QuotaNode, type: number): number {
  return node.engaged[type]! - node.nominal[type]!;
}

function hasNominalLeft(leaf: QuotaNode, depth: number, wants: QuotaWant | undefined): boolean {
  const node = leaf.path[depth]!;
  if (wants === undefined) return node.nominal.some((nominal, type) => node.used[type]! < nominal);
  const type = typeOf(wants.deviceType);
  return borrowedOf(node, type) + engagedBy(leaf, depth, type, wants.count) <= 0;
}

/** The place in their paths at which two leaves part. Leaves are never above each other, so there is one. */
function partingDepth(left: QuotaNode, right: QuotaNode): number {
  let depth = 0;
  while (left.path[depth] === right.path[depth]) depth += 1;
  return depth;
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
