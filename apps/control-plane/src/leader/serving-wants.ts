/**
 * Replicas that found no free devices where devices of their kind exist: the workload planner may make room for them by
 * their deployment's priority (ADR 12). Where the room then goes, the deployment planner says: nothing is placed here.
 */
import type { Deployment } from '#domain';
import type { DeploymentPlan, FleetSnapshot, SpreadRoom } from '#scheduling';

export interface ServingWant {
  readonly deployment: Deployment;
  /** Replicas without a place, at least 1. */
  readonly replicas: number;
  /** Where it lately failed, and where its spread leaves no place. */
  readonly avoidClusterIds: readonly string[];
}

/** Room is made for this many replicas of a deployment at a time. */
export const WANTED_REPLICAS_MAX = 16;

/**
 * Pure. A replica that is only to be replaced by another version makes nobody else stop; neither does one that must be
 * on certain nodes: the workload planner knows no labels and might stop who is in nobody's way. Nobody stops either for a
 * replica that its spread would not let go there: for those that may go anywhere room is made anywhere, and once there
 * are no such, for one at a time in groups that have none.
 */
export function servingWantsOf(snapshot: FleetSnapshot, plans: readonly DeploymentPlan[]): ServingWant[] {
  const deployments = new Map(snapshot.deployments.map((deployment) => [deployment.id, deployment]));
  return plans.flatMap((plan) => {
    const deployment = deployments.get(plan.deploymentId);
    const replicas = deployment === undefined ? 0 : missingReplicas(snapshot, deployment, plan);
    const isChoosy = Object.keys(deployment?.serving.nodes.required ?? {}).length > 0;
    if (deployment === undefined || replicas === 0 || isChoosy) return [];
    const { most, closed } = boundsOf(plan.spread);
    const lacksDevices = plan.decision.candidates.some(
      ({ rejectedBy, clusterId }) => rejectedBy === 'devices' && !closed.has(clusterId),
    );
    if (!lacksDevices) return [];
    const avoidClusterIds = [...new Set([...(snapshot.failedIn.get(deployment.id) ?? []), ...closed])];
    return [{ deployment, replicas: Math.min(replicas, most), avoidClusterIds }];
  });
}

/** For how many replicas room is made at a time, and in which clusters it is not. */
function boundsOf(spread: SpreadRoom | null): { most: number; closed: ReadonlySet<string> } {
  if (spread === null) return { most: WANTED_REPLICAS_MAX, closed: new Set() };
  const { missing, anywhere, closedClusterIds } = spread;
  const most = missing === 0 ? WANTED_REPLICAS_MAX : Math.max(1, anywhere);
  return { most: Math.min(most, WANTED_REPLICAS_MAX), closed: new Set(closedClusterIds) };
}

function missingReplicas({ placements }: FleetSnapshot, deployment: Deployment, plan: DeploymentPlan): number {
  if (deployment.deletedAt !== null || plan.waiting === 0) return 0;
  const gone = new Set(plan.remove.map(({ placementId }) => placementId));
  const there = placements.filter(({ id, deploymentId }) => deploymentId === deployment.id && !gone.has(id)).length;
  return Math.max(0, Math.min(plan.waiting, deployment.replicas - there - plan.assign.length));
}

/** What the scheduler's last cycle left without a place; of one term. */
export class ServingDemand {
  private wants: readonly ServingWant[] = [];

  current(): readonly ServingWant[] {
    return this.wants;
  }

  tell(wants: readonly ServingWant[]): void {
    this.wants = wants;
  }
}
