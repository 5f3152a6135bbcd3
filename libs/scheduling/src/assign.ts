/** Gives one replica a place: the best of some judged clusters, and the room there. */
import type { Deployment } from '#domain';
import { type Candidate, selectBest } from './candidates.ts';
import type { PlannedAssignment } from './plan.ts';
import type { WorkingFleet } from './working-fleet.ts';

/** Null when none fits. `versionId`: default what the chosen cluster should run. */
export function assignBest(
  fleet: WorkingFleet,
  deployment: Deployment,
  candidates: readonly Candidate[],
  versionId?: string,
): PlannedAssignment | null {
  const best = selectBest(candidates, deployment.id);
  if (best === null) return null;
  const { clusterId, clusterName, scores } = best;
  fleet.assign(clusterId, deployment);
  const fitting = candidates.filter(({ rejection }) => rejection === null).length;
  const words = Object.entries(scores).map(([name, score]) => `${name} ${score}`);
  return {
    clusterId,
    clusterName,
    versionId: versionId ?? fleet.versionFor(deployment, clusterId),
    claim: deployment.claim,
    reason: `best of ${fitting} fitting clusters: ${words.join(', ')}`,
    scores,
  };
}
