/** Brings the desired documents of some clusters up to their placements, and leaves a hint in the outbox for each change. */
import { SUBJECTS } from '#contracts';
import type { Deployment, Model, ModelVersion, Placement, Rows } from '#domain';
import { desiredContentOf } from './desired-content.ts';

/** @returns the clusters whose document changed */
export async function writeDesired(rows: Rows, epoch: number, clusterIds: Iterable<string>): Promise<string[]> {
  const changed: string[] = [];
  for (const clusterId of [...new Set(clusterIds)].sort()) {
    const cluster = await rows.clusters.find({ id: clusterId });
    if (cluster === null || cluster.phase === 'Left') continue;
    const placements = await rows.placements.live({ clusterId });
    const { versions, models, deployments } = await readNamed(rows, placements);
    const content = desiredContentOf(placements, versions, models, deployments);
    const put = await rows.desired.put(clusterId, epoch, content);
    if (!put.changed) continue;
    const { epoch: writtenEpoch, revision } = put.state;
    await rows.outbox.add(SUBJECTS.desiredHint(clusterId), { epoch: writtenEpoch, revision });
    changed.push(clusterId);
  }
  return changed;
}

async function readNamed(rows: Rows, placements: readonly Placement[]) {
  const versions = new Map<string, ModelVersion>();
  const models = new Map<string, Model>();
  const deployments = new Map<string, Deployment>();
  const versionIds = [...new Set(placements.map(({ versionId }) => versionId))];
  for (const version of await rows.versions.findAll(versionIds)) versions.set(version.id, version);
  const modelIds = [...new Set([...versions.values()].map(({ modelId }) => modelId))];
  for (const model of await rows.models.findAll(modelIds)) models.set(model.id, model);
  for (const id of new Set(placements.map(({ deploymentId }) => deploymentId))) {
    const deployment = await rows.deployments.find({ id });
    if (deployment !== null) deployments.set(id, deployment);
  }
  return { versions, models, deployments };
}
