/** The first phase of a cycle, and of a dry run. */
import { chargeRunning } from './admission.ts';
import { Cycle } from './cycle-state.ts';
import { holdNominations } from './nominations.ts';
import type { WorkloadSnapshot } from './snapshot.ts';

/** Working copies: what runs has its devices and is charged; promised room is held. */
export function openCycle(snapshot: WorkloadSnapshot): Cycle {
  const cycle = new Cycle(snapshot);
  holdNominations(cycle);
  chargeRunning(cycle);
  return cycle;
}
