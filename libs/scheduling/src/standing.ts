/**
 * How each existing placement of a deployment stands, before anything new is decided: retain first.
 *
 * kept      counts towards the wanted replicas and is not touched (X02, X06): it runs what its cluster should run, which
 *           during a rollout is the version before wherever no wave has come
 * outgoing  runs, but should be replaced: other version, other clusters wanted, cluster to be emptied
 * evicted   its cluster is emptied by force: it goes now, whether or not it has another place
 * next      strict, before the switch: of the new version, makes ready beside the old one and takes no traffic
 * lost      its cluster has been Unknown for longer than the deployment bears; replaced elsewhere, but never removed for
 *           it: when the cluster returns it is kept again, and the surplus is then resolved (`withdraw.ts`)
 * ended     may be Removed now
 * leaving   is Draining and not ended
 */
import { type Deployment, drainStage, type Placement, type ReplicaReport } from '#domain';
import { rejectWhere } from './filters.ts';
import { isPlacementGivenUp } from './given-up.ts';
import type { WorkingCluster, WorkingFleet } from './working-fleet.ts';

/** A drain that its agent never reports as finished ends here; requests may run for ten minutes (R7). */
export const DRAIN_SECONDS_MAX = 600;
/** Failed starts in one cluster after which another one is tried. */
export const FAILURES_BEFORE_MOVE = 5;
/** Clusters in which a version may fail before its replicas stay where they are. */
export const FAILED_MOVES_MAX = 3;

export interface Standing {
  readonly placement: Placement;
  readonly here: WorkingCluster | undefined;
  readonly observed: ReplicaReport | undefined;
  /** Reported Ready, by a cluster that is in contact. */
  readonly isServing: boolean;
  /** Was Ready when its cluster was last heard, and its cluster is not given up: requests may still be answered there. */
  readonly mayServe: boolean;
  readonly state: 'kept' | 'outgoing' | 'evicted' | 'next' | 'lost' | 'ended' | 'leaving';
  /** Why it is not kept; empty when it is. */
  readonly reason: string;
}

export function judgeStandings(fleet: WorkingFleet, deployment: Deployment): Standing[] {
  return fleet.placementsOf(deployment.id).map((placement) => {
    const here = fleet.clusters.get(placement.clusterId);
    const observed = here?.replicas.get(placement.id);
    const isReady = observed?.phase === 'Ready';
    const isServing = isInContact(here) && isReady;
    const mayServe = isReady && (fleet.isMassUnknown || !isGivenUp(fleet, deployment, here));
    return {
      placement,
      here,
      observed,
      isServing,
      mayServe,
      ...judgeOne(fleet, deployment, placement, here, observed),
    };
  });
}

export function isInContact(here: WorkingCluster | undefined): boolean {
  return here?.cluster.phase === 'Ready' || here?.cluster.phase === 'Draining';
}

function judgeOne(
  fleet: WorkingFleet,
  deployment: Deployment,
  placement: Placement,
  here: WorkingCluster | undefined,
  observed: ReplicaReport | undefined,
): Pick<Standing, 'state' | 'reason'> {
  if (here === undefined || here.cluster.phase === 'Left') return { state: 'ended', reason: 'its cluster left' };
  if (placement.phase === 'Draining') return judgeDraining(fleet, placement, here, observed);
  const { cluster } = here;
  if (fleet.isSideBySide(deployment) && placement.versionId === deployment.versionId)
    return { state: 'next', reason: '' };
  // Of a cluster that a restored database does not know well, nothing is asked before somebody has looked (R20).
  if (cluster.ahead !== null) return { state: 'kept', reason: '' };
  const stage = drainStage(cluster.drain, fleet.nowMs);
  if (stage === 'stop') return { state: 'evicted', reason: `${cluster.name} is being drained and waits no longer` };
  const where = rejectWhere(here, deployment);
  if (where !== null) return { state: 'outgoing', reason: `${cluster.name} is no longer wanted: ${where.because}` };
  if (isOutdated(fleet, deployment, placement))
    return { state: 'outgoing', reason: 'the deployment wants another version' };
  if (stage === 'move') return { state: 'outgoing', reason: `${cluster.name} is being drained` };
  if (isGivenUp(fleet, deployment, here)) {
    const { lostAfterSeconds } = deployment.disconnect;
    return { state: 'lost', reason: `${cluster.name} has been Unknown for more than ${lostAfterSeconds} s` };
  }
  return { state: 'kept', reason: '' };
}

export function isOutdated(fleet: WorkingFleet, deployment: Deployment, placement: Placement): boolean {
  return placement.versionId !== fleet.versionFor(deployment, placement.clusterId);
}

export function isGivenUp(fleet: WorkingFleet, deployment: Deployment, here: WorkingCluster | undefined): boolean {
  return here !== undefined && isPlacementGivenUp(fleet.nowMs, deployment, here.cluster);
}

/** A cluster out of contact keeps what it has on the books: nothing ends before it was heard of again. */
function judgeDraining(
  fleet: WorkingFleet,
  placement: Placement,
  here: WorkingCluster,
  observed: ReplicaReport | undefined,
): Pick<Standing, 'state' | 'reason'> {
  const isStopped = observed === undefined ? here.isSettled : observed.phase === 'Stopped';
  if (isStopped) return { state: 'ended', reason: `${here.cluster.name} says that it stopped` };
  const drainingMs = fleet.nowMs - placement.phaseSince.getTime();
  if (isInContact(here) && drainingMs > DRAIN_SECONDS_MAX * 1_000) {
    return { state: 'ended', reason: `it drained for more than ${DRAIN_SECONDS_MAX} s` };
  }
  return { state: 'leaving', reason: placement.reason };
}

/** Failed so often where it is that another cluster should be tried. */
export function isFailing({ state, here, observed }: Standing): boolean {
  const isTried = observed?.phase === 'Failed' && observed.restarts >= FAILURES_BEFORE_MOVE;
  return state === 'kept' && isTried && here?.cluster.phase === 'Ready';
}
