/**
 * What a rollout's next step is decided from, taken out of the scheduler's snapshot: which clusters are in contact, how
 * its replicas stand by version, and how the answers of both versions compare.
 */
import {
  isMassUnknown,
  type Labels,
  type Placement,
  type ReplicaPhase,
  type Rollout,
  type VersionOutcomes,
} from '#domain';
import { isPlacementGivenUp } from '../given-up.ts';
import { planDeployment } from '../plan-deployment.ts';
import type { ClusterSnapshot, FleetSnapshot } from '../snapshot.ts';
import { isReplacedInPlace } from '../withdraw.ts';

/** present: heard of; silent: not now, but not given up; gone: given up, the rollout goes on without it. */
export type Contact = 'present' | 'silent' | 'gone';

export interface RolloutCluster {
  readonly id: string;
  readonly name: string;
  readonly labels: Labels;
  readonly contact: Contact;
  /** Why the new version cannot be fetched here, by its newest report; null while nothing says so. */
  readonly syncFailure: string | null;
}

/** A placement that is Assigned, or that drains to make room for its own replacement, and what was last heard of it. */
export interface RolloutReplica {
  readonly clusterId: string;
  readonly versionId: string;
  /** Null: nothing yet. */
  readonly phase: ReplicaPhase | null;
  readonly restarts: number;
  /** The agent's own words; empty when it said none. */
  readonly reason: string;
}

/** Counted since the rollout's first new replica served. */
export interface ComparedOutcomes {
  readonly from: VersionOutcomes;
  readonly to: VersionOutcomes;
}

export interface RolloutFacts {
  readonly rollout: Rollout;
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** Every cluster that has not left. */
  readonly clusters: readonly RolloutCluster[];
  readonly replicas: readonly RolloutReplica[];
  /** Null: nothing was counted yet. */
  readonly outcomes: ComparedOutcomes | null;
  /** What the scheduler says of replicas that found no place; null when none waits. */
  readonly waiting: string | null;
}

/** @returns null when the snapshot has no such deployment: there is nothing to roll out any more */
export function rolloutFactsOf(
  snapshot: FleetSnapshot,
  rollout: Rollout,
  outcomes: ComparedOutcomes | null,
): RolloutFacts | null {
  const deployment = snapshot.deployments.find(({ id }) => id === rollout.deploymentId);
  if (deployment === undefined) return null;
  const digest = snapshot.versionDigests.get(rollout.toVersionId);
  const isMass = isMassUnknown(snapshot.clusters.map(({ cluster }) => cluster.phase));
  const contactOf = ({ cluster }: ClusterSnapshot): Contact => {
    if (cluster.phase !== 'Suspect' && cluster.phase !== 'Unknown') return 'present';
    return !isMass && isPlacementGivenUp(snapshot.nowMs, deployment, cluster) ? 'gone' : 'silent';
  };
  const observed = new Map(
    snapshot.clusters.flatMap(({ report }) => (report?.replicas ?? []).map((each) => [each.replicaId, each] as const)),
  );
  const toReplica = ({ id, clusterId, versionId }: Placement): RolloutReplica => {
    const { phase = null, restarts = 0, reason = '' } = observed.get(id) ?? {};
    return { clusterId, versionId, phase, restarts, reason };
  };
  const plan = planDeployment(snapshot, deployment);
  return {
    rollout,
    nowMs: snapshot.nowMs,
    clusters: snapshot.clusters.map((state) => ({
      id: state.cluster.id,
      name: state.cluster.name,
      labels: state.cluster.labels,
      contact: contactOf(state),
      syncFailure: syncFailureOf(state, digest),
    })),
    replicas: snapshot.placements
      .filter((placement) => placement.deploymentId === deployment.id)
      .filter((placement) => placement.phase === 'Assigned' || isReplacedInPlace(placement))
      .map(toReplica),
    outcomes,
    waiting: plan.waiting > 0 ? plan.decision.outcome : null,
  };
}

function syncFailureOf({ report }: ClusterSnapshot, digest: string | undefined): string | null {
  const failed = report?.versions.find((version) => version.digest === digest && version.phase === 'Failed');
  return failed === undefined ? null : failed.reason || 'its agent gave no reason';
}
