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
  /** `candidates` is empty when `planFleet` had nothing to place. */
  readonly decision: { readonly candidates: readonly CandidateVerdict[]; readonly outcome: string };
}
