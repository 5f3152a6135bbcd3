/**
 * Which replicas go. Invariant: replacement before removal – something that serves is drained only while as many as
 * wanted go on serving, except where intent asks for fewer, or where old and new do not fit side by side.
 */
import type { Deployment, Placement } from '#domain';
import type { PlannedChange } from './plan.ts';
import { scoreCluster } from './scorers.ts';
import { firstToSpare } from './spread.ts';
import type { Standing } from './standing.ts';
import type { WorkingFleet } from './working-fleet.ts';

/**
 * Drains the surplus of kept replicas: not serving first, then cordoned or drained, then by the reconcile rule, then worst
 * score; but none without which the others would be spread less than is demanded.
 */
export function drainSurplus(
  fleet: WorkingFleet,
  deployment: Deployment,
  kept: readonly Standing[],
  wanted: number,
): PlannedChange[] {
  const left = [...kept];
  const drained: PlannedChange[] = [];
  const reason =
    deployment.deletedAt === null
      ? `only ${wanted} ${wanted === 1 ? 'replica is' : 'replicas are'} wanted`
      : 'the deployment is being deleted';
  while (left.length > wanted) {
    left.sort((a, b) => compareRanks(rank(fleet, deployment, a), rank(fleet, deployment, b)));
    const spare = firstToSpare(fleet, deployment, wanted, left)!;
    left.splice(left.indexOf(spare), 1);
    drained.push(drain(fleet, spare, reason));
  }
  return drained;
}

/** 2 serves, 1 may (its cluster was silent for a moment), 0 does not. */
export function serviceOf({ isServing, mayServe }: Standing): number {
  return Number(mayServe) + Number(isServing);
}

/** Lower goes first. */
function rank(fleet: WorkingFleet, deployment: Deployment, standing: Standing): number[] {
  const { placement, here } = standing;
  const { cluster } = here!;
  const wasApart = cluster.phaseSince.getTime() > placement.createdAt.getTime();
  const isPreferred = wasApart === (deployment.disconnect.reconcile === 'prefer-edge');
  return [
    serviceOf(standing),
    cluster.cordoned || cluster.drain !== null ? 0 : 1,
    isPreferred ? 1 : 0,
    placement.versionId === deployment.versionId ? 1 : 0, // during a rollout: what is tried out stays
    scoreCluster(here!, deployment, fleet.digestOf(deployment, cluster.id)).total,
    -placement.createdAt.getTime(),
  ];
}

function compareRanks(left: readonly number[], right: readonly number[]): number {
  const different = left.findIndex((value, index) => value !== right[index]);
  return different === -1 ? 0 : left[different]! - right[different]!;
}

/**
 * Drains what has been replaced, in the order given. `counted` is how many replicas are kept or newly assigned. A moment
 * of silence is no end of service: what was last heard Ready goes only when as many as wanted serve without it. Those of
 * `spared` go all the same.
 */
export function drainReplaced(
  fleet: WorkingFleet,
  outgoing: readonly Standing[],
  counted: number,
  keptServing: number,
  wanted: number,
  spared: ReadonlySet<Standing>,
): PlannedChange[] {
  let total = counted + outgoing.length;
  let serving = keptServing + outgoing.filter(({ isServing }) => isServing).length;
  const drained: PlannedChange[] = [];
  for (const standing of outgoing) {
    const isShort = total - 1 < wanted || (standing.mayServe && serving - Number(standing.isServing) < wanted);
    if (isShort && !spared.has(standing)) break;
    total -= 1;
    if (standing.isServing) serving -= 1;
    drained.push(drain(fleet, standing, standing.reason));
  }
  return drained;
}

/** How the reason of a replica begins that was drained for want of room beside it; its replacement comes where it was. */
const IN_PLACE = 'no room to run old and new side by side: replaced in place';

export function isReplacedInPlace({ phase, reason }: Pick<Placement, 'phase' | 'reason'>): boolean {
  return phase === 'Draining' && reason.startsWith(IN_PLACE);
}

/** Stops an old replica first, because it and its replacement do not fit side by side where it is. */
export function drainInPlace(fleet: WorkingFleet, standing: Standing): PlannedChange {
  return drain(fleet, standing, `${IN_PLACE} in ${standing.here!.cluster.name}`);
}

export function drain(fleet: WorkingFleet, { placement }: Standing, reason: string): PlannedChange {
  fleet.drain(placement);
  return { placementId: placement.id, clusterId: placement.clusterId, reason };
}
