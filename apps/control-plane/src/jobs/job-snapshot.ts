/**
 * The snapshot that workloads are planned on, from the rows: attempts and placements that hold devices, jobs and replicas
 * that want some. What was assigned counts before any status of it arrives (X03). Pure.
 */
import { type Cluster, type Deployment, type Job, type PreemptionPolicy, recentUseOf } from '#domain';
import type { PendingWorkload, QueueSnapshot, WorkloadCluster, WorkloadSnapshot } from '#scheduling';
import { TASKS_BYTES_MAX } from '../leader/desired-tasks.ts';
import type { ServingWant } from '../leader/serving-wants.ts';
import type { JobMemory } from './job-memory.ts';
import { type JobWorld, nodesOf } from './job-world.ts';
import { usageOfRunning } from './running-usage.ts';
import { ALONE, servingOf, workloadOf } from './running-workload.ts';

export interface ServingPending extends ServingWant {
  /** Of the deployment's class. */
  readonly preemption: PreemptionPolicy;
}

/** @param extra pending ones that are in no row: for dry runs */
export function toWorkloadSnapshot(
  world: JobWorld,
  memory: JobMemory,
  serving: readonly ServingPending[],
  extra: readonly PendingWorkload[] = [],
): WorkloadSnapshot {
  const { documentBytes } = world.held;
  const queued: PendingWorkload[] = [];
  for (const job of world.jobs.values()) if (isPending(job)) queued.push(toPending(job, world, memory));
  return {
    nowMs: world.nowMs,
    clusters: [...world.clusters.values()].map((cluster) => toCluster(cluster, world, documentBytes)),
    queues: toQueues(world),
    pending: [...serving.flatMap((want) => toPendingReplicas(want, memory, world.nowMs)), ...queued, ...extra],
    running: [...world.held.running, ...servingOf(world)],
  };
}

/** Workload id of the nth replica of a deployment that has no place. */
export function wantedReplicaId({ id }: Pick<Deployment, 'id'>, index: number): string {
  return `${id}#${index}`;
}

export function isPending({
  phase,
  suspended,
  cancelRequestedAt,
}: Pick<Job, 'phase' | 'suspended' | 'cancelRequestedAt'>): boolean {
  return phase === 'Queued' && !suspended && cancelRequestedAt === null;
}

function toCluster(cluster: Cluster, world: JobWorld, documentBytes: ReadonlyMap<string, number>): WorkloadCluster {
  const { id, name, kind, region, zone, labels } = cluster;
  const closed = closedBecause(cluster, world, documentBytes.get(id) ?? 0);
  return { id, name, kind, region, zone, labels, closed, nodes: nodesOf(world, id) };
}

function closedBecause(cluster: Cluster, { observations }: JobWorld, documentBytes: number): WorkloadCluster['closed'] {
  const { id, phase, cordoned, drain, ahead } = cluster;
  if (drain !== null) return { because: 'it is being drained; undo that to run here', summary: 'being drained' };
  if (ahead !== null) {
    const because = 'its agent has applied what this database does not know; resync it to run here';
    return { because, summary: 'ahead of this database' };
  }
  if (phase !== 'Ready') return { because: `it is ${phase}, only Ready clusters take work`, summary: phase };
  if (cordoned) return { because: 'it is cordoned; uncordon it to run here', summary: 'cordoned' };
  if (!observations.has(id)) {
    return { because: 'its agent has not reported its devices yet', summary: 'without a report of devices' };
  }
  if (documentBytes < TASKS_BYTES_MAX) return null;
  return { because: 'its document is full of tasks; wait for some to end', summary: 'with a full document' };
}

function toQueues(world: JobWorld): QueueSnapshot[] {
  const recent = recentUseOf([...world.usage, ...usageOfRunning(world)], world.nowMs);
  return world.queues.map(({ createdAt: _createdAt, revision: _revision, ...queue }) => ({
    ...queue,
    recentDeviceSeconds: recent.get(queue.id) ?? 0,
  }));
}

/** A job that waits for room, as the planner sees it. For a dry run also one that is in no row. */
export function toPending(job: Job, world: JobWorld, memory: JobMemory): PendingWorkload {
  const isPlain = job.retryAt === null && job.spec.mounts.length === 0 && !memory.knows(job.id);
  const known = isPlain ? plainPending.get(job) : undefined;
  if (known !== undefined) return known;
  const made = makePending(job, world, memory);
  if (isPlain) plainPending.set(job, made);
  return made;
}

/** Of jobs of which all that matters is in their rows. */
const plainPending = new WeakMap<Job, PendingWorkload>();

function makePending(job: Job, world: JobWorld, memory: JobMemory): PendingWorkload {
  const { preemption, spec, nomination } = job;
  return {
    ...workloadOf(job),
    preemption,
    selector: spec.selector,
    notBeforeMs: memory.notBeforeMs(job, world.nowMs),
    nomination,
    avoidClusterIds: memory.avoidedBy(job.id, world.nowMs),
    preferredClusterIds: preferredBy(job, world, memory),
  };
}

/** Where its last attempt ran, and where all that it mounts is held. */
function preferredBy({ id, spec }: Job, { observations }: JobWorld, memory: JobMemory): string[] {
  const wanted = spec.mounts.map(({ versionId }) => memory.digestOf(versionId));
  const preferred = new Set(memory.lastClustersOf(id));
  if (wanted.length === 0) return [...preferred];
  for (const { clusterId, report } of observations.values()) {
    const held = new Set(report.versions.filter(({ phase }) => phase === 'Held').map(({ digest }) => digest));
    if (wanted.every((digest) => digest !== undefined && held.has(digest))) preferred.add(clusterId);
  }
  return [...preferred];
}

function toPendingReplicas(want: ServingPending, memory: JobMemory, nowMs: number): PendingWorkload[] {
  const { deployment, replicas, preemption, avoidClusterIds } = want;
  const { name, tenantId, queueId, priority, claim, selector } = deployment;
  const ids = Array.from({ length: replicas }, (_, index) => wantedReplicaId(deployment, index));
  return ids
    .filter((id) => !memory.isPassedOver(id, nowMs))
    .map((id) => {
      return {
        ...{ id, name, kind: 'serving', tenantId, queueId, priority, claim, gang: ALONE, selector, preemption },
        queuedAtMs: Math.min(nowMs, deployment.createdAt.getTime()),
        ...{ expectedSeconds: null, savedSeconds: 0, notBeforeMs: null },
        nomination: memory.servingNominations.get(id) ?? null,
        avoidClusterIds,
        preferredClusterIds: [],
      };
    });
}
