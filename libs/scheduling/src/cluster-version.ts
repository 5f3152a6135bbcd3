/**
 * Which version a cluster runs for a deployment, during a rollout and without one. A rollout to another version than the
 * deployment wants says nothing: the deployment has changed its mind, and the rollout is about to be superseded.
 */
import { type Deployment, type Rollout, versionForCluster } from '#domain';

type Wanted = Pick<Deployment, 'versionId' | 'deletedAt'>;

/** Strict, before the switch: what serves is the old version everywhere, and the new one only makes ready beside it. */
export function isSideBySide({ versionId, deletedAt }: Wanted, rollout: Rollout | undefined): boolean {
  if (rollout === undefined || rollout.toVersionId !== versionId || deletedAt !== null) return false;
  return rollout.policy.consistency === 'strict' && !rollout.isSwitched;
}

/** What replicas that are to serve in this cluster run. */
export function servingVersion(deployment: Wanted, rollout: Rollout | undefined, clusterId: string): string {
  if (rollout !== undefined && isSideBySide(deployment, rollout)) return rollout.fromVersionId;
  return versionForCluster(deployment.versionId, rollout, clusterId);
}

/** Whether a new replica of this version may start in this cluster: to serve, or to make ready beside one that does. */
export function mayRunVersion(
  deployment: Wanted,
  rollout: Rollout | undefined,
  clusterId: string,
  versionId: string,
): boolean {
  if (versionId === servingVersion(deployment, rollout, clusterId)) return true;
  return isSideBySide(deployment, rollout) && versionId === versionForCluster(deployment.versionId, rollout, clusterId);
}
