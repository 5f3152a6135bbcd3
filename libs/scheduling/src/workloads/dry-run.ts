/**
 * What would become of a workload if it were served now, asked as often as one likes of one snapshot: nothing is decided,
 * so that every answer is of the same fleet. Of what else waits only promised room counts; whoever wants its turn among
 * the others to count puts it into a snapshot and asks `planWorkloads`.
 */
import { admittedMembers, whyHeld } from './admission.ts';
import { reserve } from './backfill.ts';
import type { Cycle } from './cycle-state.ts';
import { heldByQuota, nominatedBy, searchVictims, startsBy, waiting } from './decide.ts';
import { openCycle } from './open-cycle.ts';
import { findRoom } from './place.ts';
import { RunningBooks } from './running/books.ts';
import type { PendingWorkload, WorkloadSnapshot } from './snapshot.ts';
import { chosen, describePlace, type VerdictParts } from './verdicts.ts';
import type { WorkloadVerdict } from './workload-plan.ts';

export class DryRun {
  private readonly cycle: Cycle;

  /** Throws RangeError when the queues are no trees. */
  constructor(snapshot: WorkloadSnapshot) {
    this.cycle = openCycle(snapshot, new RunningBooks());
  }

  /** `started`: it would start at once. `nominated`: once its `victims` are gone. `place` is always null. */
  ask(work: PendingWorkload): WorkloadVerdict {
    this.cycle.vainSearches = 0;
    this.cycle.forgetSearches();
    const rest = { workloadId: work.id, place: null, candidates: [], victims: [], changes: [], startsByMs: null };
    return { ...rest, ...this.outcomeOf(work) };
  }

  private outcomeOf(work: PendingWorkload): VerdictParts {
    const { cycle } = this;
    if (!cycle.queues.has(work.queueId)) return { state: 'unschedulable', reason: 'its queue does not exist' };
    const held = whyHeld(cycle, work);
    if (held !== null) return { state: 'held', ...held };
    const admitted = admittedMembers(cycle, work);
    const rejection = typeof admitted === 'number' ? null : admitted;
    const members = typeof admitted === 'number' ? admitted : work.gang.minimum;
    const found = rejection === null ? findRoom(cycle, work, members) : null;
    if (found !== null) {
      cycle.outlook.putBack(found.lifted);
      const reason = `runs ${describePlace(cycle, work, found.placed)}`;
      return { state: 'started', reason, candidates: chosen(cycle, found.placed) };
    }
    const search = searchVictims(cycle, work, members, rejection);
    if (search !== null) {
      cycle.outlook.putBack(search.lifted);
      return nominatedBy(cycle, work, search.eviction);
    }
    return rejection === null ? this.wait(work) : heldByQuota(rejection);
  }

  private wait(work: PendingWorkload): VerdictParts {
    const parts = waiting(this.cycle, work);
    const hold = parts.state === 'waiting' ? reserve(this.cycle, work, true) : null;
    if (hold !== null) this.cycle.outlook.drop(hold);
    return { ...parts, startsByMs: startsBy(this.cycle, hold) };
  }
}
