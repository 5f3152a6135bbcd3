/**
 * Brings the desired documents of some clusters up to their placements, their attempts at jobs and what they mirror, and
 * leaves a hint in the outbox for each change. Each cluster's row is locked first: of two that write its document, the later one reads what
 * the earlier one did, so that none is undone.
 */
import { SUBJECTS } from '#contracts';
import type { Cluster, Deployment, Job, Model, ModelVersion, Placement, Rows } from '#domain';
import { desiredContentOf } from './desired-content.ts';
import { desiredTasksOf, mountedVersionIds } from './desired-tasks.ts';
import { isMirroredTo, mirroredVersions } from './mirror.ts';

/** @returns the clusters whose document changed */
export async function writeDesired(
  rows: Rows,
  epoch: number,
  clusterIds: Iterable<string>,
  now?: Date,
): Promise<string[]> {
  const changed: string[] = [];
  for (const clusterId of [...new Set(clusterIds)].sort()) {
    const cluster = await rows.clusters.find({ id: clusterId }, true);
    if (cluster === null || cluster.phase === 'Left') continue;
    // Its agent runs by a document that this database has lost: it is asked for nothing before a resync (R20).
    if (cluster.ahead !== null) continue;
    const placements = await rows.placements.live({ clusterId });
    const mirrored = await readMirrored(rows, cluster, placements, now);
    const { attempts, jobs } = await readWork(rows, clusterId);
    const mountedIds = mountedVersionIds(jobs.values());
    const { versions, models, deployments } = await readNamed(rows, placements, mountedIds);
    for (const version of mirrored) versions.set(version.id, version);
    const besides = [...mirrored.map(({ id }) => id), ...mountedIds];
    const content = desiredContentOf(placements, versions, models, deployments, besides);
    const tasks = desiredTasksOf(clusterId, attempts, jobs, versions);
    const put = await rows.desired.put(clusterId, epoch, { ...content, tasks });
    if (!put.changed) continue;
    const { epoch: writtenEpoch, revision } = put.state;
    await rows.outbox.add(SUBJECTS.desiredHint(clusterId), { epoch: writtenEpoch, revision });
    changed.push(clusterId);
  }
  return changed;
}

/** All versions of the models that Assigned ones of these placements are of. */
export async function readVersionsServed(rows: Rows, placements: readonly Placement[]): Promise<ModelVersion[]> {
  const assigned = placements.filter(({ phase }) => phase === 'Assigned').map(({ versionId }) => versionId);
  const served = await rows.versions.findAll([...new Set(assigned)]);
  return rows.versions.ofModels([...new Set(served.map(({ modelId }) => modelId))]);
}

/**
 * Of the models that its placements name already, so nothing else is to be read of them. One that is cordoned or drained
 * takes nothing new, but is not made to throw away what it would have to fetch again after the maintenance.
 */
async function readMirrored(
  rows: Rows,
  cluster: Cluster,
  placements: readonly Placement[],
  now: Date | undefined,
): Promise<ModelVersion[]> {
  const isClosed = cluster.cordoned || cluster.drain !== null;
  const phase = cluster.phase === 'Draining' ? 'Ready' : cluster.phase;
  const open = { ...cluster, phase, cordoned: false };
  if (!isMirroredTo(open)) return [];
  const versions = await readVersionsServed(rows, placements);
  if (versions.length === 0) return [];
  const offered = isClosed ? await alreadyThere(rows, cluster, placements, versions) : versions;
  const ids = mirroredVersions(open, placements, offered, now ?? (await rows.clock.now()));
  return versions.filter(({ id }) => ids.includes(id));
}

/** What the cluster says that it holds, and what its replicas need in any case. */
async function alreadyThere(
  rows: Rows,
  { id }: Cluster,
  placements: readonly Placement[],
  versions: readonly ModelVersion[],
): Promise<ModelVersion[]> {
  const reported = (await rows.observations.find(id))?.report.versions ?? [];
  const held = new Set<string | null>(reported.filter(({ phase }) => phase === 'Held').map(({ digest }) => digest));
  const needed = new Set(placements.map(({ versionId }) => versionId));
  return versions.filter((version) => held.has(version.digest) || needed.has(version.id));
}

/** Attempts that are not over, and their jobs. */
async function readWork(rows: Rows, clusterId: string) {
  const attempts = await rows.attempts.live({ clusterId });
  const jobs = await rows.jobs.findAll([...new Set(attempts.map(({ jobId }) => jobId))]);
  return { attempts, jobs: new Map<string, Job>(jobs.map((job) => [job.id, job])) };
}

async function readNamed(rows: Rows, placements: readonly Placement[], mountedIds: readonly string[]) {
  const versions = new Map<string, ModelVersion>();
  const models = new Map<string, Model>();
  const deployments = new Map<string, Deployment>();
  for (const id of new Set(placements.map(({ deploymentId }) => deploymentId))) {
    const deployment = await rows.deployments.find({ id });
    if (deployment !== null) deployments.set(id, deployment);
  }
  const adapters = [...deployments.values()].flatMap(({ serving }) => serving.adapters);
  const named = [...placements, ...adapters].map(({ versionId }) => versionId);
  const versionIds = [...new Set([...named, ...mountedIds])];
  for (const version of await rows.versions.findAll(versionIds)) versions.set(version.id, version);
  const modelIds = [...new Set([...versions.values()].map(({ modelId }) => modelId))];
  for (const model of await rows.models.findAll(modelIds)) models.set(model.id, model);
  return { versions, models, deployments };
}
