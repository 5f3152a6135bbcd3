/**
 * What to do about a deployment: which replicas to assign where, which to drain, which are over.
 *
 * Invariants: what runs is never moved to make room or to look better (X02, X06); capacity is never exceeded, and what
 * was assigned counts before any status of it arrives (X03); with most clusters Unknown nothing is re-placed (X05); the
 * same snapshot gives the same plan. Ids, times of writing and the commit are the applier's.
 */
import type { Deployment } from '#domain';
import { type Candidate, judgeAgain, judgeCandidates, selectBest } from './candidates.ts';
import { describeOutcome } from './outcome.ts';
import type { DeploymentPlan, PlannedAssignment, PlannedChange } from './plan.ts';
import type { FleetSnapshot } from './snapshot.ts';
import { FAILED_MOVES_MAX, isFailing, judgeStandings, type Standing } from './standing.ts';
import { drain, drainInPlace, drainReplaced, drainSurplus } from './withdraw.ts';
import { WorkingFleet } from './working-fleet.ts';

/** Plans every deployment in turn, oldest first, on one working copy: none takes what an earlier one took (F11). */
export function planFleet(snapshot: FleetSnapshot): DeploymentPlan[] {
  const fleet = new WorkingFleet(snapshot);
  const byAge = (left: Deployment, right: Deployment) =>
    left.createdAt.getTime() - right.createdAt.getTime() || (left.id < right.id ? -1 : 1);
  return [...snapshot.deployments].sort(byAge).map((deployment) => planOn(fleet, deployment, false));
}

/** Plans one deployment on the fleet as it is; the deployment need not be in the snapshot (a dry run). */
export function planDeployment(snapshot: FleetSnapshot, deployment: Deployment): DeploymentPlan {
  return planOn(new WorkingFleet(snapshot), deployment, true);
}

/** Without `explains`, clusters are judged only when something needs a place: most cycles change nothing. */
function planOn(fleet: WorkingFleet, deployment: Deployment, explains: boolean): DeploymentPlan {
  const wanted = deployment.deletedAt === null ? deployment.replicas : 0;

  // 1 Retain: how does everything that exists stand?
  const standings = judgeStandings(fleet, deployment);
  const of = (state: Standing['state']) => standings.filter((standing) => standing.state === state);
  const kept = of('kept');
  const outgoing = of('outgoing');

  // 2 End what is over; its room is free from here on.
  const remove = of('ended').map(({ placement, reason }) => {
    fleet.remove(placement);
    return { placementId: placement.id, clusterId: placement.clusterId, reason };
  });

  // 3 Assign what is missing: filter, score, select.
  const held = kept.length + (fleet.isMassUnknown ? of('lost').length : 0);
  const missing = Math.max(0, wanted - held);
  const needed = Math.min(missing, Math.max(0, wanted + surgeOf(wanted) - held - outgoing.length));
  const { assign, candidates } = assignReplicas(fleet, deployment, needed, explains);

  // 4 Try another cluster for one replica that keeps failing where it is.
  const moved = missing === 0 ? moveFailing(fleet, deployment, kept, wanted) : null;

  // 5 Withdraw what is too much, or has been replaced.
  const keptServing = kept.filter(({ isServing }) => isServing).length;
  const drained: PlannedChange[] = [
    ...(moved === null ? drainSurplus(fleet, deployment, kept, wanted) : [moved.drain]),
    ...drainReplaced(fleet, outgoing, held + assign.length, keptServing, wanted),
  ];
  const isStuck = needed > 0 && assign.length === 0 && keptServing === kept.length && of('leaving').length === 0;
  const inPlace = isStuck && drained.length === 0 ? drainInPlace(fleet, deployment, outgoing) : null;
  if (inPlace !== null) drained.push(inPlace);

  // 6 Say why.
  const assigned = moved === null ? assign : [...assign, moved.assign];
  const outcome = describeOutcome(fleet, deployment, {
    wanted,
    placed: Math.min(wanted, kept.length + assign.length),
    assignedTo: assigned.map(({ clusterName }) => clusterName),
    drained: drained.length,
    waiting: needed - assign.length,
    candidates,
    standings,
  });
  return {
    deploymentId: deployment.id,
    deploymentRevision: deployment.revision,
    assign: assigned,
    drain: drained,
    remove,
    waiting: needed - assign.length,
    decision: { candidates: candidates.map(({ verdict }) => verdict), outcome },
  };
}

/** How many replicas beyond the wanted ones may exist while versions change: a quarter, at least one. */
function surgeOf(wanted: number): number {
  return Math.max(1, Math.ceil(wanted / 4));
}

/** The candidates are those of the attempt that failed, or else of the first. */
function assignReplicas(fleet: WorkingFleet, deployment: Deployment, needed: number, explains: boolean) {
  const assign: PlannedAssignment[] = [];
  if (needed === 0 && !explains) return { assign, candidates: [] };
  const first = judgeCandidates(fleet, deployment);
  for (let candidates = first; assign.length < needed; ) {
    const assignment = assignBest(fleet, deployment, candidates);
    if (assignment === null) return { assign, candidates };
    assign.push(assignment);
    candidates = judgeAgain(fleet, deployment, candidates, assignment.clusterId);
  }
  return { assign, candidates: first };
}

function assignBest(
  fleet: WorkingFleet,
  deployment: Deployment,
  candidates: readonly Candidate[],
): PlannedAssignment | null {
  const best = selectBest(candidates, deployment.id);
  if (best === null) return null;
  fleet.assign(best.clusterId, deployment);
  const fitting = candidates.filter(({ rejection }) => rejection === null).length;
  const scores = Object.entries(best.scores).map(([name, score]) => `${name} ${score}`);
  return {
    clusterId: best.clusterId,
    clusterName: best.clusterName,
    versionId: deployment.versionId,
    claim: deployment.claim,
    reason: `best of ${fitting} fitting clusters: ${scores.join(', ')}`,
    scores: best.scores,
  };
}

/** Bounded: one replica a cycle, and at most `FAILED_MOVES_MAX` clusters for a version; then it stays with its reason. */
function moveFailing(fleet: WorkingFleet, deployment: Deployment, kept: readonly Standing[], wanted: number) {
  const failing = kept.length > wanted ? undefined : kept.find(isFailing);
  if (failing === undefined || fleet.failedIn(deployment.id).size > FAILED_MOVES_MAX) return null;
  const { cluster } = failing.here!;
  const assign = assignBest(fleet, deployment, judgeCandidates(fleet, deployment, [cluster.id]));
  if (assign === null) return null;
  const reason = `it failed ${failing.observed!.restarts} times in ${cluster.name}; ${assign.clusterName} is tried instead`;
  return { assign, drain: drain(fleet, failing, reason) };
}
