/**
 * Commits a plan. One transaction re-checks what the plan was made from – the deployment's revision, its rollout, each cluster's
 * phase and cordon, free devices by the live placements – and takes the parts that still hold; the others come back with
 * reasons and are planned again. Agents learn of it through the documents and hints written in the same transaction.
 */
import { v7 as uuidv7 } from 'uuid';
import type { Decision, Deployment, Placement, Rollout, Rows, Store } from '#domain';
import { type DeploymentPlan, DeviceLedger, mayRunVersion, type PlannedAssignment } from '#scheduling';
import { writeDesired } from './write-desired.ts';

export interface AppliedPlan {
  readonly assigned: readonly Placement[];
  readonly rejected: readonly { readonly assignment: PlannedAssignment; readonly reason: string }[];
  readonly drained: number;
  readonly removed: number;
  /** Clusters whose document changed. */
  readonly clusters: readonly string[];
  /** True when the deployment's row is gone: it was deleted and nothing of it is left. */
  readonly isGone: boolean;
}

/**
 * @param decision stored with the plan; null: nothing new to explain
 * @throws StaleEpochError when `epoch` is over
 */
export function applyPlan(
  store: Store,
  epoch: number,
  plan: DeploymentPlan,
  decision: Decision | null,
): Promise<AppliedPlan> {
  return store.transaction((rows) => applyIn(rows, epoch, plan, decision), { epoch });
}

async function applyIn(
  rows: Rows,
  epoch: number,
  plan: DeploymentPlan,
  decision: Decision | null,
): Promise<AppliedPlan> {
  const deployment = await rows.deployments.find({ id: plan.deploymentId }, true);
  if (deployment === null || deployment.revision !== plan.deploymentRevision) {
    const reason = 'the deployment changed meanwhile';
    const rejected = plan.assign.map((assignment) => ({ assignment, reason }));
    return { assigned: [], rejected, drained: 0, removed: 0, clusters: [], isGone: false };
  }
  await lockClusters(rows, plan);
  const [rollout] = plan.assign.length === 0 ? [] : await rows.rollouts.active(deployment.id);
  const { assigned, rejected } = await accept(rows, epoch, { deployment, rollout }, plan);
  await rows.placements.insert(assigned);
  // A move was planned on the strength of its replacement: with any part rejected, what runs stays.
  const drain = rejected.length === 0 ? plan.drain : [];
  for (const { placementId, reason } of drain) await rows.placements.move([placementId], 'Draining', reason);
  for (const { placementId, reason } of plan.remove) await rows.placements.move([placementId], 'Removed', reason);
  const touched = [...assigned, ...drain, ...plan.remove].map(({ clusterId }) => clusterId);
  const clusters = await writeDesired(rows, epoch, touched);
  if (decision !== null) await rows.decisions.insert(withRejections(decision, rejected));
  const isGone = await removeIfOver(rows, deployment);
  return { assigned, rejected, drained: drain.length, removed: plan.remove.length, clusters, isGone };
}

/** All at once and in the order in which everybody locks several: later, and one by one, two would wait for each other. */
async function lockClusters(rows: Rows, { assign, drain, remove }: DeploymentPlan): Promise<void> {
  const ids = new Set([...assign, ...drain, ...remove].map(({ clusterId }) => clusterId));
  for (const id of [...ids].sort()) await rows.clusters.find({ id }, true);
}

async function accept(
  rows: Rows,
  epoch: number,
  { deployment, rollout }: { deployment: Deployment; rollout: Rollout | undefined },
  plan: DeploymentPlan,
) {
  const ending = new Set(plan.remove.map(({ placementId }) => placementId));
  const assigned: Placement[] = [];
  const rejected: { assignment: PlannedAssignment; reason: string }[] = [];
  const byCluster = Map.groupBy(plan.assign, ({ clusterId }) => clusterId);
  for (const clusterId of [...byCluster.keys()].sort()) {
    const room = await readRoom(rows, clusterId, ending);
    for (const assignment of byCluster.get(clusterId)!) {
      const placement = toPlacement(deployment, epoch, assignment);
      const reason = rejectVersion(deployment, rollout, assignment) ?? takeRoom(room, placement);
      if (reason === null) assigned.push(placement);
      else rejected.push({ assignment, reason });
    }
  }
  return { assigned, rejected };
}

function rejectVersion(deployment: Deployment, rollout: Rollout | undefined, assignment: PlannedAssignment) {
  const { clusterId, versionId } = assignment;
  return mayRunVersion(deployment, rollout, clusterId, versionId) ? null : 'the rollout went on meanwhile';
}

function takeRoom(room: DeviceLedger | string, { id, claim }: Placement): string | null {
  if (typeof room === 'string') return room;
  return room.take(id, claim) ? null : 'its devices were taken meanwhile';
}

/** The cluster's free devices under its row's lock, or why it takes nothing. What this plan ends holds none any more. */
async function readRoom(rows: Rows, clusterId: string, ending: ReadonlySet<string>): Promise<DeviceLedger | string> {
  const cluster = await rows.clusters.find({ id: clusterId }, true);
  if (cluster === null || cluster.phase !== 'Ready') return `it is ${cluster?.phase ?? 'gone'} now`;
  if (cluster.cordoned) return 'it was cordoned meanwhile';
  const observation = await rows.observations.find(clusterId);
  const ledger = new DeviceLedger(observation?.report.nodes ?? []);
  for (const { id, claim } of await rows.placements.live({ clusterId })) {
    if (!ending.has(id)) ledger.takeRunning(id, claim);
  }
  return ledger;
}

/** What is stored must not claim what was not committed. */
function withRejections(decision: Decision, rejected: AppliedPlan['rejected']): Decision {
  if (rejected.length === 0) return decision;
  const words = rejected.map(({ assignment, reason }) => `${assignment.clusterName} was not taken: ${reason}`);
  return { ...decision, outcome: [decision.outcome, ...words].join('; ') };
}

function toPlacement(deployment: Deployment, epoch: number, assignment: PlannedAssignment): Placement {
  const now = new Date();
  const { clusterId, versionId, claim, reason } = assignment;
  const { id: deploymentId, tenantId } = deployment;
  return {
    id: uuidv7(),
    tenantId,
    deploymentId,
    clusterId,
    versionId,
    claim,
    phase: 'Assigned',
    epoch,
    reason,
    createdAt: now,
    phaseSince: now,
  };
}

async function removeIfOver(rows: Rows, deployment: Deployment): Promise<boolean> {
  if (deployment.deletedAt === null) return false;
  if ((await rows.placements.live({ deploymentId: deployment.id })).length > 0) return false;
  await rows.deployments.remove(deployment.id);
  await rows.audit.add({
    tenantId: deployment.tenantId,
    actor: 'controller:scheduler',
    action: 'deployments.removed',
    targetKind: 'deployment',
    targetId: deployment.id,
    detail: { name: deployment.name },
  });
  return true;
}
