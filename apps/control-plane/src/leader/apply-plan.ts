/**
 * Commits a plan. One transaction re-checks what the plan was made from – the deployment's revision, its rollout, each cluster's
 * phase and cordon, free devices by what was assigned – and takes the parts that still hold; the others come back with
 * reasons and are planned again. In central clusters a replica is bound to devices, and holds them by rows of
 * `device_holds` (ADR 10). Agents learn of it through the documents and hints written in the same transaction.
 */
import { v7 as uuidv7 } from 'uuid';
import type { Decision, Deployment, NodePreferences, Placement, Rollout, Rows, Store } from '#domain';
import { type DeploymentPlan, DeviceLedger, mayRunVersion, type PlannedAssignment } from '#scheduling';
import { takeWork } from './assigned-work.ts';
import { chargePlacements } from './charge-placements.ts';
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
  // What is over lets go of its devices before they are given away again.
  await endPlacements(rows, deployment, plan.remove);
  const { assigned, rejected } = await accept(rows, epoch, { deployment, rollout }, plan);
  await rows.placements.insert(assigned);
  // A move was planned on the strength of its replacement: with any part rejected, what runs stays.
  const drain = rejected.length === 0 ? plan.drain : [];
  for (const { placementId, reason } of drain) await rows.placements.move([placementId], 'Draining', reason);
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

/** Charges what they held, once: what is not there any more was charged by whoever ended it. */
async function endPlacements(rows: Rows, deployment: Deployment, remove: DeploymentPlan['remove']): Promise<void> {
  if (remove.length === 0) return;
  const live = await rows.placements.live({ deploymentId: deployment.id });
  const ending = new Set(remove.map(({ placementId }) => placementId));
  for (const { placementId, reason } of remove) await rows.placements.move([placementId], 'Removed', reason);
  const ended = live.filter(({ id }) => ending.has(id));
  await chargePlacements(rows, ended);
}

async function accept(
  rows: Rows,
  epoch: number,
  { deployment, rollout }: { deployment: Deployment; rollout: Rollout | undefined },
  plan: DeploymentPlan,
) {
  const assigned: Placement[] = [];
  const rejected: { assignment: PlannedAssignment; reason: string }[] = [];
  if (plan.assign.length === 0) return { assigned, rejected };
  const now = await rows.clock.now();
  const byCluster = Map.groupBy(plan.assign, ({ clusterId }) => clusterId);
  for (const clusterId of [...byCluster.keys()].sort()) {
    const room = await readRoom(rows, clusterId);
    for (const assignment of byCluster.get(clusterId)!) {
      const wanted = toPlacement(deployment, epoch, assignment, now);
      const { nodes } = deployment.serving;
      const placed = rejectVersion(deployment, rollout, assignment) ?? (await takeRoom(rows, room, wanted, nodes));
      if (typeof placed === 'string') rejected.push({ assignment, reason: placed });
      else assigned.push(placed);
    }
  }
  return { assigned, rejected };
}

function rejectVersion(deployment: Deployment, rollout: Rollout | undefined, assignment: PlannedAssignment) {
  const { clusterId, versionId } = assignment;
  return mayRunVersion(deployment, rollout, clusterId, versionId) ? null : 'the rollout went on meanwhile';
}

interface Room {
  readonly ledger: DeviceLedger;
  /** False: its agent binds by itself. */
  readonly isBound: boolean;
}

const TAKEN = 'its devices were taken meanwhile';

/** The placement with its devices, which it holds from now on, or why it cannot be. */
async function takeRoom(
  rows: Rows,
  room: Room | string,
  placement: Placement,
  nodes: NodePreferences,
): Promise<Placement | string> {
  if (typeof room === 'string') return room;
  const { id, claim, clusterId } = placement;
  const devices = room.ledger.bind(id, claim, nodes);
  if (devices === null) return TAKEN;
  if (!room.isBound) return placement;
  const without = await rows.deviceHolds.take([{ clusterId, holderId: id, devices }]);
  return without.length === 0 ? { ...placement, devices } : TAKEN;
}

/** The cluster's free devices under its row's lock, or why it takes nothing. */
async function readRoom(rows: Rows, clusterId: string): Promise<Room | string> {
  const cluster = await rows.clusters.find({ id: clusterId }, true);
  if (cluster === null || cluster.phase !== 'Ready') return `it is ${cluster?.phase ?? 'gone'} now`;
  if (cluster.cordoned) return 'it was cordoned meanwhile';
  if (cluster.drain !== null) return 'it is being drained now';
  if (cluster.ahead !== null) return 'its agent is ahead of this database now';
  const observation = await rows.observations.find(clusterId);
  const ledger = new DeviceLedger(observation?.report.nodes ?? []);
  const isBound = cluster.kind === 'central';
  if (isBound)
    for (const { holderId, devices } of await rows.deviceHolds.ofClusters([clusterId]))
      ledger.takeBound(holderId, devices);
  const placements = await readWithNodes(rows, clusterId);
  takeWork(ledger, clusterId, placements, await rows.attempts.live({ clusterId }), isBound);
  return { ledger, isBound };
}

/** Replicas here with the nodes on which their deployments may be; those that may not be on every node first. */
async function readWithNodes(rows: Rows, clusterId: string) {
  const placements = await rows.placements.live({ clusterId });
  const nodesOf = new Map<string, NodePreferences>();
  const unbound = placements.filter(({ devices }) => devices === null);
  for (const id of new Set(unbound.map(({ deploymentId }) => deploymentId))) {
    const deployment = await rows.deployments.find({ id });
    if (deployment !== null) nodesOf.set(id, deployment.serving.nodes);
  }
  const required = (id: string) => Object.keys(nodesOf.get(id)?.required ?? {}).length;
  const choosyFirst = [...placements].sort((left, right) => required(right.deploymentId) - required(left.deploymentId));
  return choosyFirst.map((placement) => {
    const nodes = nodesOf.get(placement.deploymentId);
    return nodes === undefined ? placement : { ...placement, nodes };
  });
}

/** What is stored must not claim what was not committed. */
function withRejections(decision: Decision, rejected: AppliedPlan['rejected']): Decision {
  if (rejected.length === 0) return decision;
  const words = rejected.map(({ assignment, reason }) => `${assignment.clusterName} was not taken: ${reason}`);
  return { ...decision, outcome: [decision.outcome, ...words].join('; ') };
}

function toPlacement(deployment: Deployment, epoch: number, assignment: PlannedAssignment, now: Date): Placement {
  const { clusterId, versionId, claim, reason } = assignment;
  const { id: deploymentId, tenantId } = deployment;
  return {
    id: uuidv7(),
    tenantId,
    deploymentId,
    clusterId,
    versionId,
    claim,
    devices: null,
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
