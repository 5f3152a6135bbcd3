/** All that was assigned to one cluster, as its devices see it: replicas and tasks of jobs in one account. */
import type { Attempt, NodePreferences, Placement } from '#domain';
import { taskIdOf } from '#domain';
import type { DeviceLedger } from '#scheduling';

/**
 * What is bound takes its devices as they are; what the cluster binds by itself is packed around it.
 *
 * @param isHeld true: what is bound has been taken already, from the rows that say who holds what
 */
export function takeWork(
  ledger: DeviceLedger,
  clusterId: string,
  placements: readonly (Pick<Placement, 'id' | 'claim' | 'devices'> & { readonly nodes?: NodePreferences })[],
  attempts: readonly Pick<Attempt, 'id' | 'claim' | 'tasks'>[],
  isHeld = false,
): void {
  const work = [
    ...placements.map(({ id, claim, devices, nodes }) => ({ holder: id, claim, devices, nodes })),
    ...attempts.flatMap(({ id, claim, tasks }) =>
      tasks
        .filter((task) => task.clusterId === clusterId)
        .map(({ rank, devices }) => ({ holder: taskIdOf(id, rank), claim, devices, nodes: undefined })),
    ),
  ];
  if (!isHeld) for (const { holder, devices } of work) if (devices !== null) ledger.takeBound(holder, devices);
  for (const { holder, claim, devices, nodes } of work)
    if (devices === null) ledger.takeRunning(holder, claim, null, nodes);
}
