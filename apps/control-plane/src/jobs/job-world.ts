/**
 * All that the leader decides about jobs from, as the rows say it. Reads are not one transaction: whatever moved
 * meanwhile, the one that commits refuses.
 */
import type { Attempt, Cluster, Deployment, Job, Node, Observation, Placement, Queue, QueueUsage } from '#domain';

import type { HeldWork } from './held-work.ts';

export interface JobWorld {
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** Every cluster that has not left, by id. */
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly observations: ReadonlyMap<string, Observation>;
  /** Not in a final phase, by id. */
  readonly jobs: ReadonlyMap<string, Job>;
  /** Not Ended, by id. */
  readonly attempts: ReadonlyMap<string, Attempt>;
  /** What these attempts hold. */
  readonly held: HeldWork;
  /** Not Removed. */
  readonly placements: readonly Placement[];
  readonly deployments: ReadonlyMap<string, Deployment>;
  readonly queues: readonly Queue[];
  /** Of the last days. */
  readonly usage: readonly QueueUsage[];
}

export function nodesOf({ observations }: Pick<JobWorld, 'observations'>, clusterId: string): readonly Node[] {
  return observations.get(clusterId)?.report.nodes ?? [];
}
