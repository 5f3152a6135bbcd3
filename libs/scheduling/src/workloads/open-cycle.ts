/** The first phase of a cycle, and of a dry run. */
import { chargeRunning } from './admission.ts';
import { Cycle } from './cycle-state.ts';
import { holdNominations } from './nominations.ts';
import type { RunningBooks } from './running/books.ts';
import type { WorkloadSnapshot } from './snapshot.ts';

/** Brings the books to the snapshot: what runs has its devices and is charged; promised room is held. */
export function openCycle(snapshot: WorkloadSnapshot, books: RunningBooks): Cycle {
  books.update(snapshot);
  const cycle = new Cycle(snapshot, books);
  holdNominations(cycle);
  chargeRunning(cycle);
  return cycle;
}
