/**
 * Where a workload can start now. First beside all room that is held for others; then in held room that is not withheld
 * from this one: of a nomination of lower priority, of what waited long but is served later (S02), or of a head that it
 * leaves before the head could use it (B01).
 */
import type { Cycle } from './cycle-state.ts';
import type { Hold } from './outlook.ts';
import type { Placed } from './ports.ts';
import { requestOf } from './shapes.ts';
import type { PendingWorkload } from './snapshot.ts';

export interface Found {
  readonly placed: Placed;
  /** Give them back what is left of their room (`Outlook.putBack`) once this has started. */
  readonly lifted: readonly Hold[];
}

/** Key under which a request for so many members is refused for the rest of a cycle. */
export function refusalKey(cycle: Cycle, work: PendingWorkload, members: number): number {
  return cycle.shapes.of(work) * 5_000 + members;
}

export function findRoom(cycle: Cycle, work: PendingWorkload, members: number): Found | null {
  const { outlook, refusals } = cycle;
  // As long as nothing was refused, nobody's shape has to be known.
  if (refusals.isEmpty || !refusals.has(refusalKey(cycle, work, members))) {
    const placed = outlook.present.find(requestOf(work, members));
    if (placed !== null) return { placed, lifted: [] };
    refusals.add(refusalKey(cycle, work, members));
  }
  const lifted = usableHolds(cycle, work);
  if (lifted.length === 0) return null;
  const liftedKey = [refusalKey(cycle, work, members), ...lifted.map(({ holderId }) => holderId)].join(' ');
  if (refusals.has(liftedKey)) return null;
  outlook.lift(lifted);
  const placed = outlook.present.find(requestOf(work, members));
  if (placed !== null) return { placed, lifted };
  outlook.putBack(lifted);
  refusals.add(liftedKey);
  return null;
}

/** Held room that is not held against this workload. */
export function usableHolds(cycle: Cycle, work: PendingWorkload): Hold[] {
  const usable: Hold[] = [];
  for (const hold of cycle.outlook.holds) {
    const isOther = hold.work.claim.deviceType !== work.claim.deviceType || hold.work.id === work.id;
    if (!isOther && USABLE[hold.kind](cycle, hold, work)) usable.push(hold);
  }
  return usable;
}

/** What room is promised for may be taken by whom it may be preempted by: so what was reclaimed is not taken back (F04). */
const USABLE: Readonly<Record<Hold['kind'], (cycle: Cycle, hold: Hold, work: PendingWorkload) => boolean>> = {
  nominated: ({ quota }, { isFirm, work: { priority, queueId, claim }, tasks }, work) =>
    !isFirm &&
    priority < work.priority &&
    quota.borrowsBeside(queueId, claim.deviceType, work.queueId, claim.count * tasks.length),
  reserved: (cycle, { isFirm, wholeAtMs }, work) =>
    !isFirm || (wholeAtMs !== null && endsAtMs(cycle, work) <= wholeAtMs),
};

/** Unix milliseconds at which it would end if it started now, by its submitter's word; Infinity without one. */
export function endsAtMs({ nowMs }: Cycle, { expectedSeconds, savedSeconds }: PendingWorkload): number {
  if (expectedSeconds === null) return Number.POSITIVE_INFINITY;
  return nowMs + Math.max(0, expectedSeconds - savedSeconds) * 1_000;
}
