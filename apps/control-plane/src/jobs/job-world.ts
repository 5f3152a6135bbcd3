/**
 * All that the leader decides about jobs from, as the rows say it. Reads are not one transaction: whatever moved
 * meanwhile, the one that commits refuses.
 */
import type {
  Attempt,
  Cluster,
  Deployment,
  Job,
  JobSpec,
  Node,
  Observation,
  Placement,
  Queue,
  QueueUsage,
  Rows,
} from '#domain';
import { utcDay } from '#domain';

/** Use is halved every day; what is older than this counts next to nothing. */
const RECENT_USE_DAYS = 7;
const DAY_MS = 86_400_000;

export interface JobWorld {
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** Every cluster that has not left, by id. */
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly observations: ReadonlyMap<string, Observation>;
  /** Not in a final phase, in order of id. */
  readonly jobs: readonly Job[];
  /** Not Ended. */
  readonly attempts: readonly Attempt[];
  /** Not Removed. */
  readonly placements: readonly Placement[];
  readonly deployments: ReadonlyMap<string, Deployment>;
  readonly queues: readonly Queue[];
  readonly usage: readonly QueueUsage[];
}

export type JobWork = Pick<JobWorld, 'jobs' | 'attempts'>;

export async function readJobWorld(rows: Rows, nowMs: number, work: JobWork): Promise<JobWorld> {
  const [clusters, observations, placements, deployments, queues, usage] = await Promise.all([
    rows.clusters.all(),
    rows.observations.all(),
    rows.placements.live(),
    rows.deployments.all(),
    rows.queues.all(),
    rows.usage.since(utcDay(nowMs - RECENT_USE_DAYS * DAY_MS)),
  ]);
  return {
    nowMs,
    clusters: new Map(clusters.map((cluster) => [cluster.id, cluster])),
    observations: new Map(observations.map((observation) => [observation.clusterId, observation])),
    ...work,
    placements,
    deployments: new Map(deployments.map((deployment) => [deployment.id, deployment])),
    queues,
    usage,
  };
}

/**
 * What the leader itself changes about jobs: read again after it did.
 *
 * @param specs of jobs, kept by who reads often; see `JobRows.active`
 */
export async function readWork(rows: Rows, specs?: Map<string, JobSpec>): Promise<JobWork> {
  const [jobs, attempts] = await Promise.all([rows.jobs.active(specs), rows.attempts.live()]);
  return { jobs, attempts };
}

export function nodesOf({ observations }: Pick<JobWorld, 'observations'>, clusterId: string): readonly Node[] {
  return observations.get(clusterId)?.report.nodes ?? [];
}
