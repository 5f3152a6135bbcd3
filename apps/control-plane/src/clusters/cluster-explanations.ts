// Why a cluster is as it is: the facts, read; the words are in `explain-cluster.ts`.

import { Injectable } from '@nestjs/common';
import type { ClusterExplainDto, ConflictDto, ConflictsDto } from '#contracts';
import { type Cluster, type ClusterConflict, type Rows, Store } from '#domain';
import { DisconnectAdvisories } from '../federation/disconnect-advisories.ts';
import { FleetLiveness } from '../federation/fleet-liveness.ts';
import { findCluster } from './clusters.ts';
import { namesOfDeployments, readDrain } from './drain-view.ts';
import { type ClusterFacts, explainCluster } from './explain-cluster.ts';

const CONFLICTS_SHOWN_MAX = 200;

@Injectable()
export class ClusterExplanations {
  constructor(
    private readonly store: Store,
    private readonly liveness: FleetLiveness,
    private readonly advisories: DisconnectAdvisories,
  ) {}

  async explain(tenantId: string, name: string): Promise<ClusterExplainDto> {
    const { read } = this.store;
    const cluster = await findCluster(read, tenantId, name);
    return explainCluster(await this.#readFacts(read, cluster));
  }

  async conflicts(tenantId: string, name: string): Promise<ConflictsDto> {
    const { read } = this.store;
    const cluster = await findCluster(read, tenantId, name);
    return { cluster: name, conflicts: await readConflicts(read, cluster) };
  }

  async #readFacts(rows: Rows, cluster: Cluster): Promise<ClusterFacts> {
    const { id } = cluster;
    const observation = await rows.observations.find(id);
    const placements = await rows.placements.live({ clusterId: id });
    const reported = observation?.report.replicas ?? [];
    const deploymentIds = [...placements, ...reported].map(({ deploymentId }) => deploymentId);
    return {
      nowMs: await rows.clock.nowMs(),
      ...{ cluster, observation, placements },
      desired: await rows.desired.find(id),
      deploymentNames: await namesOfDeployments(rows, [...new Set(deploymentIds)]),
      drain: await readDrain(rows, cluster),
      conflicts: await readConflicts(rows, cluster),
      silentMs: this.liveness.silentMs(id),
      disconnectedMs: this.advisories.disconnectedMs(id),
    };
  }
}

async function readConflicts(rows: Rows, { id }: Cluster): Promise<ConflictDto[]> {
  const conflicts = await rows.conflicts.ofCluster(id, CONFLICTS_SHOWN_MAX);
  const revision = (await rows.desired.position(id))?.revision ?? 0;
  // As long as nothing has changed since it was lost from sight, there is nothing to tell.
  const isOne = ({ kind, resolvedAt, revision: before }: ClusterConflict) =>
    kind !== 'document-changed' || resolvedAt !== null || revision > before;
  return conflicts.filter(isOne).map(viewConflict);
}

function viewConflict({ id, kind, subject, message, resolution, openedAt, resolvedAt }: ClusterConflict): ConflictDto {
  return {
    ...{ id, kind, subject, message, resolution },
    openedAt: openedAt.toISOString(),
    resolvedAt: resolvedAt?.toISOString() ?? null,
  };
}
