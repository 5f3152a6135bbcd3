/** What keeps a workload from starting before any question of room: its queue, its backoff, its quota. */
import type { Cycle } from './cycle-state.ts';
import type { QuotaRejection } from './ports.ts';
import { QuotaTree } from './quota-tree.ts';
import type { PendingWorkload, RunningWorkload } from './snapshot.ts';

export interface HeldBack {
  readonly reason: string;
  readonly changes: readonly string[];
}

/**
 * Charges what runs (F13). What is ending for a nominated one is not charged: the nominated one is, so that room that
 * changes hands counts once.
 */
export function chargeRunning(cycle: Cycle): void {
  const { quota, queues, running, outlook } = cycle;
  if (!(quota instanceof QuotaTree)) return;
  const promised = new Set<string>();
  for (const { tasks } of outlook.holds) {
    for (const { clusterId, devices } of tasks) {
      for (const { node, deviceIds } of devices ?? [])
        for (const id of deviceIds) promised.add(`${clusterId} ${node} ${id}`);
    }
  }
  const makesRoom = ({ tasks, isEnding }: RunningWorkload) =>
    isEnding &&
    promised.size > 0 &&
    tasks.some(({ clusterId, devices }) =>
      devices?.some(({ node, deviceIds }) => deviceIds.some((id) => promised.has(`${clusterId} ${node} ${id}`))),
    );
  const charged = running.filter(({ queueId }) => queues.has(queueId));
  cycle.makingRoom = charged.filter(makesRoom);
  quota.chargeRunning(charged.filter((each) => !makesRoom(each)));
}

/**
 * Whether a nominated one may start elsewhere while the room that is made for it still ends: then both are in use for a
 * moment, and both have to be within the quota.
 */
export function admitsBeside(cycle: Cycle, work: PendingWorkload, members: number): boolean {
  const { quota, makingRoom } = cycle;
  const mark = quota.mark();
  for (const { queueId, claim, tasks } of makingRoom)
    quota.charge(queueId, claim.deviceType, claim.count * tasks.length);
  quota.refund(work.queueId, work.claim.deviceType, work.claim.count * members);
  const isAdmitted = quota.admits(work.queueId, work.claim.deviceType, work.claim.count * members) === null;
  quota.rollback(mark);
  return isAdmitted;
}

/** Null: nothing but quota and room is in its way. */
export function whyHeld({ queues, nowMs }: Cycle, { queueId, notBeforeMs }: PendingWorkload): HeldBack | null {
  for (let queue = queues.get(queueId); queue !== undefined; queue = queues.get(queue.parentId ?? '')) {
    if (queue.paused) return { reason: `queue ${queue.name} is paused`, changes: [`resume queue ${queue.name}`] };
  }
  if (notBeforeMs === null || notBeforeMs <= nowMs) return null;
  return { reason: `it is tried again at ${new Date(notBeforeMs).toISOString()}`, changes: [] };
}

/** How many members the quota admits now; a rejection when not even the gang's minimum. */
export function admittedMembers(cycle: Cycle, work: PendingWorkload): number | QuotaRejection {
  const { claim, gang, queueId } = work;
  const admits = (members: number) => cycle.quota.admits(queueId, claim.deviceType, claim.count * members);
  if (admits(gang.size) === null) return gang.size;
  const rejection = admits(gang.minimum);
  if (rejection !== null) return rejection;
  let admitted = gang.minimum;
  let refused = gang.size;
  while (refused - admitted > 1) {
    const middle = (admitted + refused) >> 1;
    if (admits(middle) === null) admitted = middle;
    else refused = middle;
  }
  return admitted;
}
