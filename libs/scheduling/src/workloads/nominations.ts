/**
 * Room that an earlier cycle promised to a workload whose victims are on their way out: it is held against all but
 * strictly higher priorities (P10, P11) and charged. A promise lasts as long as it can come true: every device of it is
 * there, and is free or held by something that ends. One that a victim did not keep (P19), or whose devices or cluster
 * went, is let go, and its workload is decided on like any other.
 */
import { whyHeld } from './admission.ts';
import type { Cycle } from './cycle-state.ts';
import { holdOn } from './outlook.ts';
import type { PendingWorkload } from './snapshot.ts';

/** Higher priorities first, then the older promise: two for one device were never made by one leader, but may be found. */
export function holdNominations(cycle: Cycle): void {
  const nominated = cycle.snapshot.pending.filter(({ nomination }) => nomination !== null);
  nominated.sort(
    (left, right) =>
      right.priority - left.priority ||
      left.nomination!.since.getTime() - right.nomination!.since.getTime() ||
      (left.id < right.id ? -1 : 1),
  );
  for (const work of nominated) {
    if (!mayStand(cycle, work)) continue;
    cycle.outlook.hold(holdOn('nominated', work, work.nomination!.tasks, { isFirm: false }));
    cycle.promise(work, work.nomination!.tasks.length);
  }
}

/** Whether anything but devices speaks against keeping the promise. */
function mayStand(cycle: Cycle, work: PendingWorkload): boolean {
  if (!cycle.queues.has(work.queueId) || whyHeld(cycle, work) !== null) return false;
  return work.nomination!.tasks.every(({ clusterId }) => cycle.clusters.get(clusterId)?.closed === null);
}

/** Whether the room can be whole: now, in `present`, or once all that ends has ended, in `coming`. Its hold is lifted. */
export function isWhole({ outlook }: Cycle, work: PendingWorkload, when: 'present' | 'coming'): boolean {
  const account = outlook[when];
  const isFree = account.tryTake(work.id, work.claim, work.nomination!.tasks);
  if (isFree) account.release(work.id);
  return isFree;
}
