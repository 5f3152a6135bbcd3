/**
 * One cycle of the workload scheduler: from a snapshot of the fleet, its queues, what runs and what waits, what to start,
 * what to ask to end, for whom room is kept, and what each pending workload is told.
 *
 * Invariants: what runs is never moved; no device has two holders, promised room included (P10, P11); what starts or is
 * nominated is charged before the next is looked at (F11); a stop is planned only for a workload that then fits (P04,
 * P18); nothing that comes later in order delays the first that waits (B01). The same snapshot gives the same plan. Ids,
 * times of writing and whether it still holds at the commit are the applier's (P19, P22).
 *
 * All that waits is planned in one cycle, however much it is: where a head waits, a reservation or a preemption for it
 * holds only beside what is served before it, which a batch would have to repeat. The commit is in batches. A cycle costs
 * by what waits and by what changed; what runs and stays is counted once, see `running/books.ts`.
 */
import { whyHeld } from './admission.ts';
import { reserveForAged } from './backfill.ts';
import type { Cycle } from './cycle-state.ts';
import { decide } from './decide.ts';
import { openCycle } from './open-cycle.ts';
import { RunningBooks } from './running/books.ts';
import { ServingOrder } from './serving-order.ts';
import type { WorkloadSnapshot } from './snapshot.ts';
import { verdictOf } from './verdicts.ts';
import type { WorkloadPlan } from './workload-plan.ts';

/**
 * Plans cycle after cycle of one fleet. Every plan is that of its snapshot alone; what is kept in between only saves
 * time: whatever runs, and is the same object as in the snapshot before, is taken to be unchanged and is not counted
 * again. So are the nodes of a cluster, where all clusters have the very same lists.
 */
export class WorkloadPlanner {
  private readonly books = new RunningBooks();

  /** Throws RangeError when the queues are no trees. */
  plan(snapshot: WorkloadSnapshot): WorkloadPlan {
    return planOn(this.books, snapshot);
  }
}

/** One cycle by itself. Throws RangeError when the queues are no trees. */
export function planWorkloads(snapshot: WorkloadSnapshot): WorkloadPlan {
  return planOn(new RunningBooks(), snapshot);
}

function planOn(books: RunningBooks, snapshot: WorkloadSnapshot): WorkloadPlan {
  // 1 Working copies: what runs has its devices and is charged; promised room is held.
  const cycle = openCycle(snapshot, books);

  // 2 Order. What waited long has room reserved before anyone is served.
  const order = new ServingOrder(cycle);
  reserveForAged(cycle, (work) => cycle.queues.has(work.queueId) && whyHeld(cycle, work) === null);

  // 3 Each in turn: held, started, nominated with its victims, or left waiting.
  for (let work = order.next(); work !== null; work = order.next()) {
    const stopped = cycle.stops.length;
    decide(cycle, work);
    if (cycle.stops.length > stopped) order.rebuild();
  }

  // 4 Whoever could not be served is told as well.
  tellUnserved(cycle);
  const { starts, stops, nominations, verdicts, proposals } = cycle;
  return { starts, stops, nominations, verdicts, proposals };
}

function tellUnserved(cycle: Cycle): void {
  for (const work of cycle.snapshot.pending) {
    if (cycle.queues.has(work.queueId)) continue;
    const reason = 'its queue does not exist';
    const changes = ['submit it to a queue that exists'];
    cycle.verdicts.push(verdictOf(cycle, work, { state: 'unschedulable', reason, changes }));
    if (work.nomination !== null) cycle.nominations.push({ workloadId: work.id, nomination: null });
  }
}
