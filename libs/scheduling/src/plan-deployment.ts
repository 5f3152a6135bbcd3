/**
 * What to do about a deployment: which replicas to assign where, which to drain, which are over.
 *
 * Invariants: what runs is never moved to make room, to look better, or to change its version (X02, X06); no cluster that a
 * rollout has not reached gets its version; capacity is never exceeded, and what
 * was assigned counts before any status of it arrives (X03); with most clusters Unknown nothing is re-placed (X05); the
 * same snapshot gives the same plan. Ids, times of writing and the commit are the applier's.
 */
import type { Deployment } from '#domain';
import { assignBest } from './assign.ts';
import { judgeAgain, judgeCandidates, judgeOneCluster } from './candidates.ts';
import { KeptLedgers } from './kept-ledgers.ts';
import { describeOutcome } from './outcome.ts';
import type { DeploymentPlan, PlannedAssignment, PlannedChange } from './plan.ts';
import { placeSideBySide } from './side-by-side.ts';
import type { FleetSnapshot } from './snapshot.ts';
import { Spread } from './spread.ts';
import { describeSpread } from './spread-words.ts';
import { FAILED_MOVES_MAX, isFailing, judgeStandings, type Standing } from './standing.ts';
import { assignUpgrades, inReplacementOrder, inSpreadOrder, replaceInPlace, upgradesOf } from './upgrade.ts';
import { drain, drainReplaced, drainSurplus, isReplacedInPlace } from './withdraw.ts';
import { WorkingFleet } from './working-fleet.ts';

/** Plans every deployment in turn, oldest first, on one working copy: none takes what an earlier one took (F11). */
export function planFleet(snapshot: FleetSnapshot): DeploymentPlan[] {
  return new DeploymentPlanner().plan(snapshot);
}

/**
 * Plans cycle after cycle of one fleet. Every plan is that of its snapshot alone; what is kept in between only saves
 * time: where a cluster's nodes and all that holds its devices are the same objects as in the snapshot before, they are
 * taken to be unchanged and are not counted again (ADR 24).
 */
export class DeploymentPlanner {
  private readonly ledgers = new KeptLedgers();

  plan(snapshot: FleetSnapshot): DeploymentPlan[] {
    const fleet = new WorkingFleet(snapshot, this.ledgers);
    const byAge = (left: Deployment, right: Deployment) =>
      left.createdAt.getTime() - right.createdAt.getTime() || (left.id < right.id ? -1 : 1);
    return [...snapshot.deployments].sort(byAge).map((deployment) => planOn(fleet, deployment, false));
  }
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
  const staying = fleet.isMassUnknown ? [...kept, ...of('lost')] : kept;
  const held = staying.length;
  const begun = Math.max(0, held + of('outgoing').length - wanted);
  const plain = inReplacementOrder(of('outgoing'), kept, begun);
  const { order: outgoing, replaced, spared } = inSpreadOrder(fleet, deployment, wanted, plain, staying, begun);

  // 2 End what is over; its room is free from here on.
  const ended = of('ended');
  for (const { placement } of ended) fleet.remove(placement);

  // 3 Assign what is missing: filter, score, select. What only changes its version stays in its cluster.
  const missing = Math.max(0, wanted - held);
  const needed = Math.min(missing, Math.max(0, wanted + surgeOf(wanted) - held - outgoing.length));
  const upgrades = upgradesOf(fleet, deployment, outgoing);
  const inPlace = of('leaving').filter(({ placement }) => isReplacedInPlace(placement));
  const beyond = Math.max(0, replaced.size - begun);
  const unbound = Math.min(needed, Math.max(0, missing - upgrades.length + beyond - inPlace.length));
  const left = upgrades.filter(({ standing }) => !replaced.has(standing)).slice(Math.max(0, begun - replaced.size));
  const upgrading = left.map(({ standing }) => standing);
  const spread = Spread.of(fleet, deployment, wanted, [...staying, ...inPlace, ...upgrading]);
  const fresh = assignUnbound(fleet, deployment, unbound, ended, spread);
  const newIn = new Set(kept.map(({ placement }) => placement.clusterId));
  const upgraded = assignUpgrades(fleet, deployment, left, needed - fresh.assign.length, newIn, spread);
  const assign = [...fresh.assign, ...upgraded.assign];

  // 4 Try another cluster for one replica that keeps failing where it is.
  const moved = missing === 0 ? moveFailing(fleet, deployment, kept, wanted, spread) : null;

  // 5 Withdraw what is too much, has been replaced, or may not wait; without room for old and new side by side, in place.
  const keptServing = kept.filter(({ isServing }) => isServing).length;
  const drained: PlannedChange[] = [
    ...(moved === null ? drainSurplus(fleet, deployment, kept, wanted) : [moved.drain]),
    ...drainReplaced(fleet, outgoing, held + assign.length, keptServing, wanted, spared),
    ...of('evicted').map((standing) => drain(fleet, standing, standing.reason)),
  ];
  const isAtRest = keptServing === kept.length && of('leaving').length === 0 && drained.length === 0;
  const stuck = needed > 0 && assign.length === 0 && isAtRest ? upgraded.left : [];
  const isLastServing = keptServing + outgoing.filter(({ mayServe }) => mayServe).length <= 1;
  const exchanged = replaceInPlace(fleet, deployment, stuck, isLastServing, spread);
  drained.push(...exchanged.drain);
  assign.push(...exchanged.assign, ...(moved === null ? [] : [moved.assign]));

  // 6 Strict: what is to take over makes ready beside what serves.
  const beside = placeSideBySide(fleet, deployment, of('next'), countByCluster(kept, assign, drained));

  // 7 Say why.
  const unplaced = unbound - fresh.assign.length;
  const waiting = Math.max(0, Math.min(needed - assign.length, unplaced + upgraded.left.length));
  const judged = unplaced > 0 || upgraded.candidates.length === 0 ? fresh.candidates : upgraded.candidates;
  const candidates = judged.length === 0 && explains ? judgeCandidates(fleet, deployment) : judged;
  const outcome = describeOutcome(fleet, deployment, {
    wanted,
    placed: Math.min(wanted, kept.length + assign.length),
    assignedTo: assign.map(({ clusterName }) => clusterName),
    drained: drained.length,
    waiting,
    candidates,
    standings,
    beside,
    spread: describeSpread(deployment, spread, waiting > 0, candidates),
  });
  return {
    deploymentId: deployment.id,
    deploymentRevision: deployment.revision,
    assign: [...assign, ...beside.assign],
    drain: [...drained, ...beside.drain],
    remove: ended.map(({ placement, reason }) => ({
      placementId: placement.id,
      clusterId: placement.clusterId,
      reason,
    })),
    waiting: waiting + beside.waiting,
    spread: spread.room(),
    decision: { candidates: candidates.map(({ verdict }) => verdict), outcome },
  };
}

/** How many replicas beyond the wanted ones may exist while versions change: a quarter, at least one. */
function surgeOf(wanted: number): number {
  return Math.max(1, Math.ceil(wanted / 4));
}

/**
 * Places for replicas that no cluster has a claim to. Where one was stopped to make room for its replacement, that comes
 * first. The candidates are those of the attempt that failed, or else of the first.
 */
function assignUnbound(
  fleet: WorkingFleet,
  deployment: Deployment,
  needed: number,
  ended: readonly Standing[],
  spread: Spread,
) {
  const assign: PlannedAssignment[] = [];
  if (needed === 0) return { assign, candidates: [] };
  const cleared = ended.flatMap(({ placement, here }) => (isReplacedInPlace(placement) ? (here ?? []) : []));
  for (const here of cleared.slice(0, needed)) {
    const assignment = assignBest(fleet, deployment, [judgeOneCluster(fleet, deployment, here)]);
    if (assignment === null) continue;
    assign.push(assignment);
    spread.add(assignment.clusterId);
  }
  let judged = judgeCandidates(fleet, deployment);
  const first = spread.judge(judged);
  for (let candidates = first; assign.length < needed; candidates = spread.judge(judged)) {
    const assignment = assignBest(fleet, deployment, candidates);
    if (assignment === null) return { assign, candidates };
    assign.push(assignment);
    spread.add(assignment.clusterId);
    judged = judgeAgain(fleet, deployment, judged, assignment.clusterId);
  }
  return { assign, candidates: first };
}

/**
 * Bounded: one replica a cycle, and at most `FAILED_MOVES_MAX` clusters for a version; then it stays with its reason. One
 * that a rollout tries out stays too: that it fails there is what the rollout is to find.
 */
function moveFailing(
  fleet: WorkingFleet,
  deployment: Deployment,
  kept: readonly Standing[],
  wanted: number,
  spread: Spread,
) {
  const onTrial = fleet.rolloutOf(deployment)?.toVersionId;
  const failing =
    kept.length > wanted
      ? undefined
      : kept.find((standing) => isFailing(standing) && standing.placement.versionId !== onTrial);
  if (failing === undefined || fleet.failedIn(deployment.id).size > FAILED_MOVES_MAX) return null;
  const { cluster } = failing.here!;
  const candidates = spread.without(cluster.id).judge(judgeCandidates(fleet, deployment, [cluster.id]));
  const assign = assignBest(fleet, deployment, candidates);
  if (assign === null) return null;
  spread.move(cluster.id, assign.clusterId);
  const reason = `it failed ${failing.observed!.restarts} times in ${cluster.name}; ${assign.clusterName} is tried instead`;
  return { assign, drain: drain(fleet, failing, reason) };
}

/** How many replicas of what serves each cluster is to run once the plan is committed. */
function countByCluster(
  kept: readonly Standing[],
  assign: readonly PlannedAssignment[],
  drained: readonly PlannedChange[],
): ReadonlyMap<string, number> {
  const going = new Set(drained.map(({ placementId }) => placementId));
  const staying = kept.map(({ placement }) => placement).filter(({ id }) => !going.has(id));
  const counts = new Map<string, number>();
  for (const { clusterId } of [...staying, ...assign]) counts.set(clusterId, (counts.get(clusterId) ?? 0) + 1);
  return counts;
}
