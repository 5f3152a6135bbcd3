/** What must hold of rollouts at every commit, looked at from outside (see `safety.ts`). */
import { type Deployment, isRolloutActive, type Placement, type Rollout, versionForCluster } from '#domain';
import type { Commit } from './database.ts';
import type { Tables } from './tables.ts';
import type { World } from './world.ts';

/** The active rollout that brings a deployment to the version that it wants. */
export function activeRollout(tables: Tables, { id, versionId }: Deployment): Rollout | undefined {
  return [...tables.rollouts.values()].find(
    (rollout) => rollout.deploymentId === id && isRolloutActive(rollout) && rollout.toVersionId === versionId,
  );
}

/** Whether a placement is of the version that its cluster is to serve now. */
export function isToServe(tables: Tables, deployment: Deployment, { versionId, clusterId }: Placement): boolean {
  const rollout = activeRollout(tables, deployment);
  if (rollout?.policy.consistency === 'strict' && !rollout.isSwitched) return versionId === rollout.fromVersionId;
  return versionId === versionForCluster(deployment.versionId, rollout, clusterId);
}

/** Strict, before the switch: makes ready, and takes no traffic however ready it is. */
export function isHeldBack(tables: Tables, deployment: Deployment, { versionId }: Placement): boolean {
  const rollout = activeRollout(tables, deployment);
  return rollout?.policy.consistency === 'strict' && !rollout.isSwitched && versionId === rollout.toVersionId;
}

/** A new placement is of a version that its cluster may run: nothing new outside open waves. */
export function checkWaves(world: World, { before, after }: Commit): void {
  for (const placement of after.placements.values()) {
    const deployment = before.deployments.get(placement.deploymentId);
    if (before.placements.has(placement.id) || deployment === undefined) continue;
    const rollout = activeRollout(before, deployment);
    const { versionId, clusterId } = placement;
    const isOpen = rollout === undefined || rollout.isOpenToAll || rollout.openClusterIds.includes(clusterId);
    const isNext = isHeldBack(before, deployment, placement) && isOpen;
    if (isNext || isToServe(before, deployment, placement)) continue;
    const what =
      versionId === deployment.versionId ? 'the new version outside open waves' : 'a version not wanted there';
    world.broken(`waves: ${after.clusters.get(clusterId)?.name} gets ${what} of ${deployment.name}`);
  }
}

/** Strict: the new version takes over only once as many of it are ready as of the old one run. */
export function checkSwitch(
  world: World,
  { before, after }: Commit,
  hasServed: (placement: Placement) => boolean,
): void {
  for (const rollout of after.rollouts.values()) {
    const old = before.rollouts.get(rollout.id);
    if (old === undefined || old.isSwitched || !rollout.isSwitched) continue;
    const own = [...before.placements.values()].filter(
      ({ deploymentId, phase, clusterId }) =>
        deploymentId === rollout.deploymentId &&
        phase === 'Assigned' &&
        ['Ready', 'Draining'].includes(before.clusters.get(clusterId)?.phase ?? ''),
    );
    const next = own.filter(({ versionId }) => versionId === rollout.toVersionId);
    const ready = next.filter(hasServed).length;
    const wanted = own.length - next.length;
    if (!rollout.isOpenToAll || ready < next.length || ready < wanted)
      world.broken(`strict: switched with ${ready} of ${Math.max(wanted, next.length)} new replicas ready`);
  }
}
