/** What keeps a workload from starting before any question of room: its queue, its backoff, its quota. */
import type { Cycle } from './cycle-state.ts';
import type { QuotaRejection } from './ports.ts';
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
  const { quota, queues, books, outlook } = cycle;
  const promised = new Set<string>();
  for (const { tasks } of outlook.holds) for (const device of devicesOf(tasks)) promised.add(device);
  const makesRoom = (each: RunningWorkload) =>
    queues.has(each.queueId) && devicesOf(each.tasks).some((id) => promised.has(id));
  if (promised.size > 0) cycle.makingRoom = [...books.ending].filter(makesRoom);
  books.charges.chargeTo(quota, queues, books, new Set(cycle.makingRoom));
}

function devicesOf(tasks: RunningWorkload['tasks']): string[] {
  return tasks.flatMap(({ clusterId, devices }) =>
    (devices ?? []).flatMap(({ node, deviceIds }) => deviceIds.map((id) => `${clusterId} ${node} ${id}`)),
  );
}

/**
 * A nominated one is about to start elsewhere while the room that was to be made for it still ends: then both are in use
 * for a moment, and are charged. False, and nothing charged: that is more than the quota admits.
 */
export function chargeBeside(cycle: Cycle, work: PendingWorkload, tasks: RunningWorkload['tasks']): boolean {
  const { quota } = cycle;
  const promised = new Set(devicesOf(tasks));
  const ending = cycle.makingRoom.filter((each) => devicesOf(each.tasks).some((id) => promised.has(id)));
  const mark = quota.mark();
  const devices = work.claim.count * tasks.length;
  quota.refund(work.queueId, work.claim.deviceType, devices);
  for (const { queueId, claim, tasks: of } of ending) quota.charge(queueId, claim.deviceType, claim.count * of.length);
  const isAdmitted = quota.admits(work.queueId, work.claim.deviceType, devices) === null;
  if (isAdmitted) quota.charge(work.queueId, work.claim.deviceType, devices);
  else quota.rollback(mark);
  if (isAdmitted) cycle.makingRoom = cycle.makingRoom.filter((each) => !ending.includes(each));
  return isAdmitted;
}

/** Null: nothing but quota and room is in its way. */
export function whyHeld({ queues, nowMs }: Cycle, { queueId, notBeforeMs }: PendingWorkload): HeldBack | null {
  for (let queue = queues.get(queueId); queue !== undefined; queue = queues.get(queue.parentId ?? '')) {
    if (queue.paused) return { reason: `queue ${queue.name} is paused`, changes: [`unpause queue ${queue.name}`] };
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
