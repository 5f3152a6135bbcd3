// What draining a cluster would do, with nothing changed: the planner's own choice of places on the fleet as it is.

import type { DrainPlanDto } from '#contracts';
import type { Attempt, Cluster, ClusterDrain, DrainMode, Job, Placement, Rows } from '#domain';
import { type FleetSnapshot, planFleet } from '#scheduling';
import { readSchedulingSnapshot } from '../leader/snapshot.ts';

/** How each mode ends a replica that has another place, that has none, and an attempt at a job. */
const WORDS: Readonly<Record<DrainMode, (seconds: number) => { moves: string; stuck: string; job: string }>> = {
  move: (seconds) => ({
    moves: 'goes once its replacement serves',
    stuck: `stays until there is room for it elsewhere, at most ${seconds} s, and is stopped then`,
    job: 'saves what it can, and is queued again',
  }),
  wait: (seconds) => ({
    moves: `stays for ${seconds} s, and goes once its replacement serves`,
    stuck: `stays for ${seconds} s; as things are there is no room for it elsewhere`,
    job: `runs on to its end; after ${seconds} s it saves what it can, and is queued again`,
  }),
  stop: () => ({
    moves: 'stops at once; its replacement starts at the same time',
    stuck: 'stops at once; as things are there is no room for it elsewhere',
    job: 'saves what it can, and is queued again',
  }),
};

export async function planDrain(rows: Rows, cluster: Cluster, drain: ClusterDrain): Promise<DrainPlanDto> {
  const snapshot = await readSchedulingSnapshot(rows);
  const attempts = await rows.attempts.live({ clusterId: cluster.id });
  const jobs = await rows.jobs.findAll([...new Set(attempts.map(({ jobId }) => jobId))]);
  return describePlan(snapshot, cluster, drain, { attempts, jobs });
}

interface Work {
  readonly attempts: readonly Attempt[];
  readonly jobs: readonly Job[];
}

/** Pure. */
export function describePlan(
  snapshot: FleetSnapshot,
  { id, name }: Cluster,
  { mode, deadlineSeconds }: ClusterDrain,
  { attempts, jobs }: Work,
): DrainPlanDto {
  const words = WORDS[mode](deadlineSeconds);
  const places = newPlaces(snapshot, id);
  const here = snapshot.placements.filter(({ clusterId, phase }) => clusterId === id && phase === 'Assigned');
  const deployments = new Map(snapshot.deployments.map((deployment) => [deployment.id, deployment]));
  const replicas = here.flatMap(({ id: replicaId, deploymentId }: Placement) => {
    const deployment = deployments.get(deploymentId);
    if (deployment === undefined) return [];
    const to = places.get(deploymentId)?.shift() ?? null;
    return [{ replicaId, deployment: deployment.name, to, says: to === null ? words.stuck : words.moves }];
  });
  const nameOf = new Map(jobs.map((job) => [job.id, job.name]));
  const stuck = replicas.filter(({ to }) => to === null).length;
  const counts = `${replicas.length} replicas and ${attempts.length} attempts of jobs run in ${name}`;
  const lacking = stuck === 0 ? 'there is room for all replicas elsewhere' : `${stuck} replicas find no room elsewhere`;
  return {
    ...{ cluster: name, mode, replicas },
    outcome: replicas.length === 0 ? counts : `${counts}; ${lacking}`,
    jobs: attempts.map(({ jobId, number }) => ({ job: nameOf.get(jobId) ?? jobId, attempt: number, says: words.job })),
  };
}

/**
 * Deployment id → where its replicas of the cluster would go. Planned as if all were to go at once, on what is free now:
 * one by one, as it is done, each has at least as much room.
 */
function newPlaces(snapshot: FleetSnapshot, clusterId: string): Map<string, string[]> {
  const since = new Date(snapshot.nowMs).toISOString();
  const stop: ClusterDrain = { mode: 'stop', deadlineSeconds: 0, since, requestedBy: 'nobody' };
  const clusters = snapshot.clusters.map((state) =>
    state.cluster.id === clusterId ? { ...state, cluster: { ...state.cluster, drain: stop, ahead: null } } : state,
  );
  // What is missing anyway is placed first, and is no replica of this cluster.
  const missing = new Map(planFleet(snapshot).map(({ deploymentId, assign }) => [deploymentId, assign.length]));
  const places = planFleet({ ...snapshot, clusters }).map(({ deploymentId, assign }): [string, string[]] => {
    const names = assign.map(({ clusterName }) => clusterName);
    return [deploymentId, names.slice(missing.get(deploymentId) ?? 0)];
  });
  return new Map(places);
}
