/** Reads what the scheduler decides from. Reads are not one transaction: whatever moved meanwhile, the applier refuses. */
import { type Attempt, type Job, type Placement, type Rows, taskIdOf } from '#domain';
import type { ClusterSnapshot, FleetSnapshot, ReportSnapshot, Reservation } from '#scheduling';

export interface SnapshotOptions {
  /** Unix milliseconds. Default: the clock. */
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
  const versionIds = new Set([
    ...deployments.map(({ versionId }) => versionId),
    ...rollouts.flatMap(({ fromVersionId, toVersionId }) => [fromVersionId, toVersionId]),
    ...(options.versionIds ?? []),
  ]);
  const versions = await rows.versions.findAll([...versionIds]);
  const settled = await readSettled(rows, placements);
  const reports = new Map(observations.map(({ clusterId, report }) => [clusterId, report]));
  return {
    nowMs: options.nowMs ?? Date.now(),
    deployments,
    clusters: clusters.map((cluster): ClusterSnapshot => {
      const report = reports.get(cluster.id);
      if (report === undefined) return { cluster, report: null };
      const { nodes, replicas, versions } = report;
      const isAnswered = report.revision >= (settled.get(cluster.id) ?? Number.POSITIVE_INFINITY);
      const isSettled = isAnswered && cluster.ahead === null;
      return { cluster, report: { nodes, replicas, versions, isSettled } satisfies ReportSnapshot };
    }),
    placements,
    reservations: deployments.length === 0 ? [] : await readReservations(rows),
    rollouts: new Map(rollouts.map((rollout) => [rollout.deploymentId, rollout])),
    versionDigests: new Map(versions.flatMap(({ id, digest }) => (digest === null ? [] : [[id, digest]]))),
    failedIn: options.failedIn ?? new Map(),
  };
}

/** Of jobs: what their attempts hold, and the room that is held for those whose victims are on their way out. */
async function readReservations(rows: Rows): Promise<Reservation[]> {
  const [attempts, nominated] = await Promise.all([rows.attempts.live(), rows.jobs.nominated()]);
  return [...attempts.flatMap(reservationsOf), ...nominated.flatMap(promisesOf)];
}

export function reservationsOf({ id, claim, tasks }: Pick<Attempt, 'id' | 'claim' | 'tasks'>): Reservation[] {
  return tasks.map(({ rank, clusterId, devices }) => ({ clusterId, holderId: taskIdOf(id, rank), claim, devices }));
}

/** Bound ones only: what is only counted cannot be kept apart from what still runs there. */
function promisesOf({ id, spec, nomination }: Job): Reservation[] {
  const bound = (nomination?.tasks ?? []).filter(({ devices }) => devices !== null);
  return reservationsOf({ id, claim: spec.claim, tasks: bound });
}

/** Only where something drains does it matter whether the report answers the newest document. */
async function readSettled(rows: Rows, placements: readonly Placement[]): Promise<Map<string, number>> {
  if (!placements.some(({ phase }) => phase === 'Draining')) return new Map();
  return new Map((await rows.desired.revisions()).map(({ clusterId, revision }) => [clusterId, revision]));
}
