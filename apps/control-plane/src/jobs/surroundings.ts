// Ids of a page of jobs turned into the names that people know, read once for all of them.

import type { Attempt, Cluster, Job, Model, ModelVersion, Queue, Rows, TaskReport } from '#domain';
import { queuesOf } from '../queues/queue-view.ts';

/** What a view of jobs needs to know besides the jobs; whatever is gone is missing from its map. */
export interface JobSurroundings {
  readonly queues: ReadonlyMap<string, Queue>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly versions: ReadonlyMap<string, ModelVersion>;
  readonly models: ReadonlyMap<string, Model>;
  /** Dependencies. */
  readonly jobs: ReadonlyMap<string, Job>;
  /** Job id → its live attempt. */
  readonly attempts: ReadonlyMap<string, Attempt>;
  /** Task id → what the agent last said of it; nothing of clusters out of contact. */
  readonly reports: ReadonlyMap<string, TaskReport>;
}

/** Of jobs of one tenant. One query after the other: within a transaction there is one connection. */
export async function readSurroundings(rows: Rows, jobs: readonly Job[]): Promise<JobSurroundings> {
  const attempts = await readAttempts(rows, jobs);
  const queues = jobs.length === 0 ? [] : await queuesOf(rows, jobs[0]!.tenantId);
  const nominated = jobs.flatMap(({ nomination }) => nomination?.tasks.map(({ clusterId }) => clusterId) ?? []);
  const clusters = await readClusters(rows, [...clusterIdsOf(attempts), ...nominated]);
  const versions = await rows.versions.findAll([...new Set(jobs.flatMap(versionIdsOf))]);
  const modelIds = [
    ...versions.map(({ modelId }) => modelId),
    ...jobs.flatMap(({ spec }) => (spec.output.publish === null ? [] : [spec.output.publish.modelId])),
  ];
  const models = await rows.models.findAll([...new Set(modelIds)]);
  const dependencies = await rows.jobs.findAll([
    ...new Set(jobs.flatMap(({ dependsOn }) => dependsOn.map(({ jobId }) => jobId))),
  ]);
  return {
    queues: byId(queues),
    clusters,
    versions: byId(versions),
    models: byId(models),
    jobs: byId(dependencies),
    attempts: new Map(attempts.map((attempt) => [attempt.jobId, attempt])),
    reports: await readReports(rows, attempts, clusters),
  };
}

/** What an unreachable cluster last said is not what is so. */
export async function readReports(
  rows: Rows,
  attempts: readonly Attempt[],
  clusters: ReadonlyMap<string, Cluster>,
): Promise<Map<string, TaskReport>> {
  const live = attempts.filter(({ phase }) => phase !== 'Ended');
  const inTouch = clusterIdsOf(live).filter((id) => clusters.get(id)?.phase !== 'Unknown');
  const observations = inTouch.length === 0 ? [] : await rows.observations.findAll(inTouch);
  const reports = observations.flatMap(({ report }) => report.tasks ?? []);
  return new Map(reports.map((report) => [report.taskId, report]));
}

export async function readClusters(rows: Rows, ids: readonly string[]): Promise<Map<string, Cluster>> {
  return byId(await rows.clusters.findAll([...new Set(ids)]));
}

export function clusterIdsOf(attempts: readonly Attempt[]): string[] {
  return [...new Set(attempts.flatMap(({ tasks }) => tasks.map(({ clusterId }) => clusterId)))];
}

const HAVE_ATTEMPTS: ReadonlySet<Job['phase']> = new Set(['Starting', 'Running', 'Stopping']);

function readAttempts(rows: Rows, jobs: readonly Job[]): Promise<Attempt[]> {
  return rows.attempts.live({ jobIds: jobs.filter(({ phase }) => HAVE_ATTEMPTS.has(phase)).map(({ id }) => id) });
}

function versionIdsOf({ spec, publishedVersionId }: Job): string[] {
  return [
    ...spec.mounts.map(({ versionId }) => versionId),
    ...(publishedVersionId === null ? [] : [publishedVersionId]),
  ];
}

function byId<Row extends { readonly id: string }>(rows: readonly Row[]): Map<string, Row> {
  return new Map(rows.map((row) => [row.id, row]));
}
