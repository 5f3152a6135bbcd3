/**
 * What a tenant cannot give itself. The roots of all tenants share the fleet, so a root's weight, its nominal quota (its own
 * or, where it names none, that of the queues below it) and how far it may borrow are given by whoever owns the fleet. All
 * else is the tenant's own business: how it divides what it has, what it lends, and having less.
 */
import { DEVICE_TYPES, type DeviceCounts } from '#domain';
import { nominalOf, type QueueShape } from './quota-tree-problem.ts';

/** Why the owner of `queues` cannot make or change one of them to `candidate` itself, or null when it can. */
export function selfGrantProblem(queues: readonly QueueShape[], candidate: QueueShape): string | null {
  const before = new Map(queues.map((queue) => [queue.id, queue]));
  const after = new Map(before).set(candidate.id, candidate);
  const root = rootOf(candidate, after);
  const was = before.get(root.id);
  if (was === undefined) return 'a queue without a parent is another part of the fleet; name a parent';
  if (root.weight > was.weight) return `queue ${root.name} has a weight of ${was.weight}`;
  for (const deviceType of DEVICE_TYPES) {
    const [had, has] = [nominalOf(was, deviceType, before), nominalOf(root, deviceType, after)];
    if (has > had) return `queue ${root.name} has a quota of ${had} ${deviceType}`;
    const [could, can] = [limitOf(was.borrowingLimit, deviceType), limitOf(root.borrowingLimit, deviceType)];
    if (can > could) return `queue ${root.name} may borrow ${could} ${deviceType}`;
  }
  return null;
}

function rootOf(queue: QueueShape, byId: ReadonlyMap<string, QueueShape>): QueueShape {
  const parent = queue.parentId === null ? undefined : byId.get(queue.parentId);
  return parent === undefined ? queue : rootOf(parent, byId);
}

function limitOf(limit: DeviceCounts | null, deviceType: keyof DeviceCounts): number {
  return limit?.[deviceType] ?? Number.POSITIVE_INFINITY;
}
