/**
 * A strict rollout before its switch: beside every serving replica in an open cluster one of the new version makes ready.
 * Nothing that serves is touched for it, and where there is no room for both it waits and says what to free.
 */
import { type Deployment, type Placement, versionForCluster } from '#domain';
import { assignBest } from './assign.ts';
import { type Candidate, judgeOneCluster } from './candidates.ts';
import { describeFit } from './outcome.ts';
import type { PlannedAssignment, PlannedChange } from './plan.ts';
import { isInContact, type Standing } from './standing.ts';
import { drain, serviceOf } from './withdraw.ts';
import type { WorkingFleet } from './working-fleet.ts';

export interface SideBySide {
  readonly assign: readonly PlannedAssignment[];
  readonly drain: readonly PlannedChange[];
  readonly waiting: number;
  /** What keeps those that wait; empty when none does. */
  readonly words: string;
}

/** How the reason of a replica begins that was started beside another one. */
const BESIDE = 'beside the old version';

export function isBeside({ reason }: Pick<Placement, 'reason'>): boolean {
  return reason.startsWith(BESIDE);
}

/** `serving`: how many replicas of the old version each cluster is to run. */
export function placeSideBySide(
  fleet: WorkingFleet,
  deployment: Deployment,
  next: readonly Standing[],
  serving: ReadonlyMap<string, number>,
): SideBySide {
  const rollout = fleet.rolloutOf(deployment);
  if (!fleet.isSideBySide(deployment)) return { assign: [], drain: [], waiting: 0, words: '' };
  const nextIn = Map.groupBy(next, ({ placement }) => placement.clusterId);
  const assign: PlannedAssignment[] = [];
  const drained: PlannedChange[] = [];
  const full: Candidate[] = [];
  let waiting = 0;
  for (const [clusterId, here] of fleet.clusters) {
    const isOpen = versionForCluster(deployment.versionId, rollout, clusterId) === deployment.versionId;
    const wanted = isOpen ? (serving.get(clusterId) ?? 0) : 0;
    const has = [...(nextIn.get(clusterId) ?? [])].sort((left, right) => serviceOf(left) - serviceOf(right));
    // Out of contact nothing is taken back: its old replicas may only be out of sight.
    const surplus = isInContact(here) ? Math.max(0, has.length - wanted) : 0;
    for (const standing of has.slice(0, surplus))
      drained.push(drain(fleet, standing, 'no replica serves beside it any more'));
    for (let missing = wanted - has.length; missing > 0; missing -= 1) {
      const candidate = judgeOneCluster(fleet, deployment, here);
      const assignment = assignBest(fleet, deployment, [candidate], deployment.versionId);
      if (assignment === null) {
        waiting += missing;
        full.push(candidate);
        break;
      }
      assign.push({ ...assignment, reason: `${BESIDE} in ${assignment.clusterName}, until the switch` });
    }
  }
  return { assign, drain: drained, waiting, words: waiting === 0 ? '' : describeWaiting(waiting, full) };
}

function describeWaiting(waiting: number, full: readonly Candidate[]): string {
  const names = full.map(({ verdict }) => verdict.clusterName).join(', ');
  return `${waiting} new ${waiting === 1 ? 'replica' : 'replicas'} cannot start beside the old ones in ${names} (${describeFit(full)}): free as much there as the old ones hold, or roll out without strict consistency`;
}
