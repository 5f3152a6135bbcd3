// A cluster as the API shows it: intent from its row, the rest from its newest report.

import type { ClusterDto } from '#contracts';
import type { Cluster, Observation, Rows } from '#domain';
import { readDrain } from './drain-view.ts';

export async function viewCluster(rows: Rows, cluster: Cluster): Promise<ClusterDto> {
  const observation = await rows.observations.find(cluster.id);
  const desired = await rows.desired.position(cluster.id);
  return {
    id: cluster.id,
    name: cluster.name,
    kind: cluster.kind,
    region: cluster.region,
    zone: cluster.zone,
    labels: { ...cluster.labels },
    phase: cluster.phase,
    phaseSince: cluster.phaseSince.toISOString(),
    cordoned: cluster.cordoned,
    drain: await readDrain(rows, cluster),
    ahead: cluster.ahead,
    sync: { ...cluster.sync, windows: [...cluster.sync.windows] },
    createdAt: cluster.createdAt.toISOString(),
    revision: cluster.revision,
    observed: observation === null ? null : viewObservation(observation, desired?.revision ?? 0),
  };
}

function viewObservation({ report, receivedAt }: Observation, desiredRevision: number): ClusterDto['observed'] {
  return {
    reportedAt: receivedAt.toISOString(),
    agentVersion: report.agentVersion,
    desiredRevision,
    appliedRevision: report.revision,
    endpoint: report.endpoint ?? null,
    blobEndpoint: report.blobEndpoint ?? null,
    measures: report.measures ?? null,
    nodes: report.nodes.map((node) => ({ ...node, devices: [...node.devices] })),
    replicas: [...report.replicas] as NonNullable<ClusterDto['observed']>['replicas'],
    versions: [...report.versions],
  };
}
