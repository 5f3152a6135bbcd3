/**
 * The tree that quota is counted in, built once from the queues of all tenants: an implicit root (the fleet), under it
 * the root queues of every tenant, under them their children. Work is charged to leaves only: an inner queue that also
 * takes work itself gets a leaf of its own, with what its children leave of its nominal quota and weight 1.
 *
 * Per node and device type:
 *   nominal   what the queue names, and at least the sum of its children's (so an unnamed type adds up from below)
 *   ceiling   nominal + borrowing limit; Infinity without one
 *   keptBack  the part of nominal that its lending limit keeps from others, used or not
 *   used      devices of its subtree
 *   engaged   what is not there for others: Σ over children of max(engaged, keptBack); of a leaf, its use
 *
 * Source: hierarchical cohorts of Kueue (KEP-79), whose `usage` is what `engaged` adds up to above `keptBack`.
 */
import { DEVICE_TYPES, type DeviceCounts } from '#domain';
import type { QueueSnapshot } from './snapshot.ts';

/** By index of DEVICE_TYPES. */
export type Amounts = number[];

export interface QuotaNode {
  /** Of the queue; '' for the fleet. An inner queue and its own leaf have the same. */
  readonly id: string;
  readonly name: string;
  readonly parent: QuotaNode | null;
  readonly children: QuotaNode[];
  /** From the fleet's child down to this one; empty for the fleet. */
  readonly path: readonly QuotaNode[];
  readonly weight: number;
  readonly nominal: Amounts;
  readonly ceiling: Amounts;
  readonly keptBack: Amounts;
  readonly used: Amounts;
  readonly engaged: Amounts;
  /** `engaged` while nothing is charged. */
  readonly idle: Amounts;
  /** Of the subtree. */
  recentDeviceSeconds: number;
}

export interface QuotaNodes {
  readonly fleet: QuotaNode;
  /** Queue id → its node, and → the leaf that its work is charged to. */
  readonly nodeOf: ReadonlyMap<string, QuotaNode>;
  readonly leafOf: ReadonlyMap<string, QuotaNode>;
}

const zeros = (): Amounts => DEVICE_TYPES.map(() => 0);
export const amountsOf = (counts: DeviceCounts): Amounts => DEVICE_TYPES.map((deviceType) => counts[deviceType] ?? 0);

/** Throws RangeError for a queue whose parent is not among `queues`, or that is its own ancestor. */
export function buildQuotaNodes(queues: readonly QueueSnapshot[], totals: DeviceCounts): QuotaNodes {
  const byParent = Map.groupBy(queues, ({ parentId }) => parentId);
  const nodeOf = new Map<string, QuotaNode>();
  const leafOf = new Map<string, QuotaNode>();
  const fleet = makeNode({ id: '', name: 'the fleet', weight: 1 }, null, amountsOf(totals));
  const grow = (parent: QuotaNode, queue: QueueSnapshot): void => {
    const node = makeNode(queue, parent);
    nodeOf.set(queue.id, node);
    for (const child of byParent.get(queue.id) ?? []) grow(node, child);
    const leaf = node.children.length === 0 ? node : makeNode({ ...queue, weight: 1 }, node);
    leafOf.set(queue.id, leaf);
    leaf.recentDeviceSeconds += queue.recentDeviceSeconds;
    settle(node, leaf, queue);
  };
  for (const root of byParent.get(null) ?? []) grow(fleet, root);
  const lost = queues.find(({ id }) => !nodeOf.has(id));
  if (lost !== undefined) throw new RangeError(`queue ${lost.name} has no parent, or is its own ancestor`);
  addUpEngaged(fleet);
  return { fleet, nodeOf, leafOf };
}

type Named = Pick<QuotaNode, 'id' | 'name' | 'weight'>;

function makeNode({ id, name, weight }: Named, parent: QuotaNode | null, nominal = zeros()): QuotaNode {
  const path: QuotaNode[] = [];
  const node: QuotaNode = {
    id,
    name,
    parent,
    children: [],
    path,
    weight,
    nominal,
    ceiling: DEVICE_TYPES.map(() => Number.POSITIVE_INFINITY),
    keptBack: zeros(),
    used: zeros(),
    engaged: zeros(),
    idle: zeros(),
    recentDeviceSeconds: 0,
  };
  if (parent !== null) {
    parent.children.push(node);
    path.push(...parent.path, node);
  }
  return node;
}

/** Fills in a queue whose children are complete. */
function settle(node: QuotaNode, leaf: QuotaNode, queue: QueueSnapshot): void {
  const named = amountsOf(queue.quota);
  DEVICE_TYPES.forEach((deviceType, type) => {
    const ofChildren = node.children.reduce((sum, child) => sum + child.nominal[type]!, 0);
    const nominal = Math.max(named[type]!, ofChildren);
    node.nominal[type] = nominal;
    if (leaf !== node) leaf.nominal[type] = nominal - ofChildren;
    node.ceiling[type] = nominal + (queue.borrowingLimit?.[deviceType] ?? Number.POSITIVE_INFINITY);
    node.keptBack[type] = Math.max(0, nominal - (queue.lendingLimit?.[deviceType] ?? Number.POSITIVE_INFINITY));
  });
  if (leaf !== node)
    node.recentDeviceSeconds = node.children.reduce((sum, child) => sum + child.recentDeviceSeconds, 0);
  addUpEngaged(node);
}

function addUpEngaged(node: QuotaNode): void {
  DEVICE_TYPES.forEach((_, type) => {
    const engaged = node.children.reduce(
      (sum, child) => sum + Math.max(child.engaged[type]!, child.keptBack[type]!),
      0,
    );
    node.engaged[type] = engaged;
    node.idle[type] = engaged;
  });
}
