// What would be done, with nothing changed: the scheduler's plan on the fleet as it is, rollout included.

import type { DeploymentPlanDto } from '#contracts';
import type { Deployment, RolloutPolicy, Rows } from '#domain';
import { type FleetSnapshot, openWave, planDeployment } from '#scheduling';
import { readSchedulingSnapshot } from '../leader/snapshot.ts';
import { nextRollout } from '../rollouts/version-change.ts';
import { viewPlan } from './deployment-view.ts';

/**
 * The next plan for `after`: with another version, that of its rollout's first wave.
 *
 * @param before as it is now; null for one that is not there yet
 * @param policy of the rollout. Default: the deployment's
 */
export async function planChange(
  rows: Rows,
  before: Deployment | null,
  after: Deployment,
  policy: RolloutPolicy = after.rollout,
): Promise<DeploymentPlanDto> {
  const versionIds = [after.versionId, ...(before === null ? [] : [before.versionId])];
  const snapshot = await readSchedulingSnapshot(rows, { versionIds });
  const changes = before !== null && before.versionId !== after.versionId;
  const foreseen = changes ? withRollout(snapshot, before, after.versionId, policy) : snapshot;
  const clusters = snapshot.clusters.map(({ cluster }) => cluster);
  return viewPlan(after.name, planDeployment(foreseen, after), clusters);
}

function withRollout(
  snapshot: FleetSnapshot,
  deployment: Deployment,
  toVersionId: string,
  policy: RolloutPolicy,
): FleetSnapshot {
  const { id } = deployment;
  const live = snapshot.placements.filter(({ deploymentId }) => deploymentId === id);
  const now = new Date(snapshot.nowMs);
  const rollout = nextRollout(deployment, { toVersionId, policy, active: snapshot.rollouts.get(id), live, now });
  const rollouts = new Map(snapshot.rollouts);
  rollouts.delete(id);
  if (rollout === null) return { ...snapshot, rollouts };
  const holding = new Set(live.map(({ clusterId }) => clusterId));
  const candidates = snapshot.clusters.map(({ cluster }) => ({ ...cluster, holds: holding.has(cluster.id) }));
  const { clusterIds, isOpenToAll } = openWave(rollout, 0, candidates);
  rollouts.set(id, { ...rollout, wave: 0, openClusterIds: clusterIds, isOpenToAll });
  return { ...snapshot, rollouts };
}
