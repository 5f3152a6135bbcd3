/**
 * Reads what the scheduler decides from, all of it: for who asks now and then. The leader's loops go by `kept-fleet.ts`.
 * Reads are not one transaction: whatever moved meanwhile, the applier refuses.
 */
import {
  type Attempt,
  type Cluster,
  type ClusterReport,
  type Deployment,
  type Job,
  type Placement,
  type Rollout,
  type Rows,
  taskIdOf,
} from '#domain';
import type { ClusterSnapshot, FleetSnapshot, Reservation } from '#scheduling';

export interface SnapshotOptions {
  /** Unix milliseconds. Default: the installation's clock. */
  readonly nowMs?: number;
  /** Deployment id → clusters in which its version lately failed too often. Default: none known. */
  readonly failedIn?: ReadonlyMap<string, ReadonlySet<string>>;
  /** Versions to know the digests of, besides those of stored deployments: for dry runs. */
  readonly versionIds?: readonly string[];
}

export async function readSchedulingSnapshot(rows: Rows, options: SnapshotOptions = {}): Promise<FleetSnapshot> {
  const [deployments, clusters, placements, observations, rollouts] = await Promise.all([
    rows.deployments.all(),
    rows.clusters.all(),
    rows.placements.live(),
    rows.observations.all(),
    rows.rollouts.active(),
  ]);
  const wanted = [...versionIdsOf(deployments, rollouts), ...(options.versionIds ?? [])];
  const versions = await rows.versions.findAll([...new Set(wanted)]);
  const settled = await readSettled(rows, placements);
  const reports = new Map(observations.map(({ clusterId, report }) => [clusterId, report]));
  return {
    nowMs: options.nowMs ?? (await rows.clock.nowMs()),
    deployments,
    clusters: clusters.map((cluster) => clusterOf(cluster, reports.get(cluster.id), settled.get(cluster.id))),
    placements,
    reservations: deployments.length === 0 ? new Map() : await readReservations(rows),
    rollouts: new Map(rollouts.map((rollout) => [rollout.deploymentId, rollout])),
    versionDigests: new Map(versions.flatMap(({ id, digest }) => (digest === null ? [] : [[id, digest]]))),
    failedIn: options.failedIn ?? new Map(),
  };
}

/** The versions of which the planner needs the digests; some may be named twice. */
export function versionIdsOf(deployments: readonly Deployment[], rollouts: readonly Rollout[]): string[] {
  return [
    ...deployments.map(({ versionId }) => versionId),
    ...rollouts.flatMap(({ fromVersionId, toVersionId }) => [fromVersionId, toVersionId]),
  ];
}

/** @param settledBy the revision that a report must answer to be the last word; absent: none is */
export function clusterOf(
  cluster: Cluster,
  report: Pick<ClusterReport, 'revision' | 'nodes' | 'replicas' | 'versions'> | undefined,
  settledBy = Number.POSITIVE_INFINITY,
): ClusterSnapshot {
  if (report === undefined) return { cluster, report: null };
  const { revision, nodes, replicas, versions } = report;
  return { cluster, report: { nodes, replicas, versions, isSettled: revision >= settledBy && cluster.ahead === null } };
}

/** Of jobs: what their attempts hold, and the room that is held for those whose victims are on their way out. */
async function readReservations(rows: Rows): Promise<Map<string, Reservation[]>> {
  const [attempts, nominated] = await Promise.all([rows.attempts.live(), rows.jobs.nominated()]);
  return Map.groupBy(
    [...attempts.flatMap(reservationsOf), ...nominated.flatMap(promisesOf)],
    ({ clusterId }) => clusterId,
  );
}

export function reservationsOf({ id, claim, tasks }: Pick<Attempt, 'id' | 'claim' | 'tasks'>): Reservation[] {
  return tasks.map(({ rank, clusterId, devices }) => ({ clusterId, holderId: taskIdOf(id, rank), claim, devices }));
}

/** Bound ones only: what is only counted cannot be kept apart from what still runs there. */
export function promisesOf({ id, spec, nomination }: Job): Reservation[] {
  const bound = (nomination?.tasks ?? []).filter(({ devices }) => devices !== null);
  return reservationsOf({ id, claim: spec.claim, tasks: bound });
}

/** Only where something drains does it matter whether the report answers the newest document. */
export async function readSettled(rows: Rows, placements: readonly Placement[]): Promise<ReadonlyMap<string, number>> {
  if (!placements.some(({ phase }) => phase === 'Draining')) return new Map();
  return new Map((await rows.desired.revisions()).map(({ clusterId, revision }) => [clusterId, revision]));
}
