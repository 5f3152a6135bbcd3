// How one version got, gets or would get to every cluster of the tenant: reads, and leaves the rest to the pure overview.

import { Injectable } from '@nestjs/common';
import type { VersionSyncDto } from '#contracts';
import { isMember, RefusedError, type Rows, refuse, Store } from '#domain';
import { findModel } from '../models/models.ts';
import { overviewOf } from './overview.ts';
import { summaryOf } from './overview-summary.ts';
import type { Member } from './site-group.ts';
import { WallClock } from './wall-clock.ts';

@Injectable()
export class VersionSync {
  constructor(
    private readonly store: Store,
    private readonly clock: WallClock,
  ) {}

  /** @throws RefusedError not-found for the model or the version, conflict for one without content */
  async show(tenantId: string, modelName: string, number: number): Promise<VersionSyncDto> {
    const { read } = this.store;
    const model = await findModel(read, tenantId, modelName);
    const versions = await read.versions.listOfModel(model.id);
    const version = versions.find((each) => each.number === number);
    if (version === undefined) throw new RefusedError(refuse.notFound(`version of model "${modelName}"`, `${number}`));
    const { digest } = version;
    if (digest === null || version.phase !== 'Published') {
      const reason = `version ${number} is ${version.phase}; only one that is Published goes to clusters`;
      throw new RefusedError(refuse.conflict(reason));
    }
    const [artifacts, members] = await Promise.all([read.artifacts.ofModel(model.id), readMembers(read, tenantId)]);
    const now = this.clock.now();
    const prospects = overviewOf({ version: { ...version, digest }, versions, artifacts, members, now });
    const clusters = prospects.map(({ row }) => row);
    return { model: model.name, version: number, digest, summary: summaryOf(prospects), clusters };
  }
}

/** The tenant's clusters that are members of the fleet, with what they reported last. */
export async function readMembers(rows: Rows, tenantId: string): Promise<Member[]> {
  const [clusters, observations] = await Promise.all([rows.clusters.all(), rows.observations.all()]);
  const byCluster = new Map(observations.map((observation) => [observation.clusterId, observation]));
  return clusters
    .filter((cluster) => cluster.tenantId === tenantId && isMember(cluster.phase))
    .map((cluster) => ({ cluster, observation: byCluster.get(cluster.id) ?? null }));
}
