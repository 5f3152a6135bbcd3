/**
 * What a rollout's next step is decided from, taken out of the scheduler's snapshot: which clusters are in contact, how
 * its replicas stand by version, and how the answers of both versions compare.
 */
import {
  type Deployment,
  isMassUnknown,
  type Labels,
  type ReplicaPhase,
  type ReplicaReport,
  type Rollout,
  type VersionOutcomes,
} from '#domain';
import { isClusterLost } from '../given-up.ts';
import { planDeployment } from '../plan-deployment.ts';
import type { FleetSnapshot, ReportSnapshot } from '../snapshot.ts';
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

/**
 * Of a deployment's active rollout. `snapshot`: as the scheduler plans on it, ages of phases and waves corrected.
 * @returns null when it has none: there is nothing to step
 */
export function rolloutFactsOf(
  snapshot: FleetSnapshot,
  deploymentId: string,
  outcomes: ComparedOutcomes | null,
): RolloutFacts | null {
  const deployment = snapshot.deployments.find(({ id }) => id === deploymentId);
  const rollout = snapshot.rollouts.get(deploymentId);
  if (deployment === undefined || rollout === undefined) return null;
  const digest = snapshot.versionDigests.get(rollout.toVersionId);
  const plan = planDeployment(snapshot, deployment);
  return {
    rollout,
    nowMs: snapshot.nowMs,
    clusters: clustersOf(snapshot, deployment, digest),
    replicas: replicasOf(snapshot, deployment),
    outcomes,
    waiting: plan.waiting > 0 ? plan.decision.outcome : null,
  };
}

function clustersOf(
  { nowMs, clusters }: FleetSnapshot,
  deployment: Deployment,
  digest: string | undefined,
): RolloutCluster[] {
  const isMass = isMassUnknown(clusters.map(({ cluster }) => cluster.phase));
  return clusters.map(({ cluster, report }) => {
    const { id, name, labels, phase } = cluster;
    const isSilent = phase === 'Suspect' || phase === 'Unknown';
    const isGone = !isMass && isClusterLost(nowMs, deployment, cluster);
    const contact = isGone ? 'gone' : isSilent ? 'silent' : 'present';
    return { id, name, labels, contact, syncFailure: syncFailureOf(report, digest) };
  });
}

function replicasOf({ clusters, placements }: FleetSnapshot, { id: deploymentId }: Deployment): RolloutReplica[] {
  const observed = new Map<string, ReplicaReport>();
  for (const { report } of clusters) for (const each of report?.replicas ?? []) observed.set(each.replicaId, each);
  return placements
    .filter((placement) => placement.deploymentId === deploymentId)
    .filter((placement) => placement.phase === 'Assigned' || isReplacedInPlace(placement))
    .map(({ id, clusterId, versionId }) => {
      const { phase = null, restarts = 0, reason = '' } = observed.get(id) ?? {};
      return { clusterId, versionId, phase, restarts, reason };
    });
}

function syncFailureOf(report: ReportSnapshot | null, digest: string | undefined): string | null {
  const failed = report?.versions.find((version) => version.digest === digest && version.phase === 'Failed');
  return failed === undefined ? null : failed.reason || 'its agent gave no reason';
}
