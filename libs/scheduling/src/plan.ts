/** What the scheduler proposes. Nothing of it is true before the applier committed it. */
import type { CandidateVerdict, ResourceClaim } from '#domain';

export interface PlannedAssignment {
  readonly clusterId: string;
  readonly clusterName: string;
  readonly versionId: string;
  readonly claim: ResourceClaim;
  /** One sentence: why here. */
  readonly reason: string;
  /** Scorer → weighted number. */
  readonly scores: Readonly<Record<string, number>>;
}

export interface PlannedChange {
  readonly placementId: string;
  readonly clusterId: string;
  /** One sentence: why it goes. */
  readonly reason: string;
}

/** Where replicas without a place may go, of a deployment whose replicas are to be spread. */
export interface SpreadRoom {
  /** Groups that must still get a replica. */
  readonly missing: number;
  /** So many replicas may go anywhere; the others only where no replica of it is: one to each group. */
  readonly anywhere: number;
  /** Where none may go: clusters of no group and, while none may go anywhere, of the groups that have some. */
  readonly closedClusterIds: readonly string[];
}

/** Lists are empty when nothing is to be done. */
export interface DeploymentPlan {
  readonly deploymentId: string;
  /** Revision of the deployment that was planned for; the applier refuses the plan when it is no longer the row's. */
  readonly deploymentRevision: number;
  readonly assign: readonly PlannedAssignment[];
  /** Assigned → Draining. */
  readonly drain: readonly PlannedChange[];
  /** → Removed. */
  readonly remove: readonly PlannedChange[];
  /** Replicas that should have a place now and found none; the outcome says why. */
  readonly waiting: number;
  /** Null: it may go anywhere. */
  readonly spread: SpreadRoom | null;
  /** `candidates` is empty when `planFleet` had nothing to place. */
  readonly decision: { readonly candidates: readonly CandidateVerdict[]; readonly outcome: string };
}
