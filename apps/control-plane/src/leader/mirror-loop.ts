/**
 * Brings new versions to the clusters that mirror them: when one is published or retired, when a policy or a cordon
 * changes, and when a `snapshot` cluster's cron fires. What each cluster should mirror is computed for all at once; only
 * where it is not what this term wrote last is a document built, in a transaction of its own.
 */
import { type Rows, StaleEpochError, type Store } from '#domain';
import { mirroredVersions } from './mirror.ts';
import { readVersionsServed, writeDesired } from './write-desired.ts';

export class MirrorLoop {
  /** Cluster id → the versions that were written, in one string. */
  private readonly written = new Map<string, string>();

  constructor(
    private readonly store: Store,
    private readonly epoch: number,
    private readonly now: () => Date,
  ) {}

  /** One look at all clusters. One that cannot be written keeps none of the others from it. */
  async run(signal: AbortSignal): Promise<void> {
    const now = this.now();
    const wanted = await readWanted(this.store.read, now);
    for (const id of this.written.keys()) if (!wanted.has(id)) this.written.delete(id);
    const failed: unknown[] = [];
    for (const [clusterId, mirrored] of wanted) {
      if (signal.aborted) return;
      if (this.written.get(clusterId) === mirrored) continue;
      try {
        await this.store.transaction((rows) => writeDesired(rows, this.epoch, [clusterId], now), { epoch: this.epoch });
        this.written.set(clusterId, mirrored);
      } catch (error) {
        if (error instanceof StaleEpochError) throw error;
        failed.push(error);
      }
    }
    if (failed.length > 0) throw failed[0];
  }
}

/** Cluster id → what it should mirror. Clusters that serve nothing have nothing to mirror, and none to take away. */
async function readWanted(rows: Rows, now: Date): Promise<Map<string, string>> {
  const [clusters, placements] = await Promise.all([rows.clusters.all(), rows.placements.live()]);
  const versions = await readVersionsServed(rows, placements);
  const byCluster = Map.groupBy(placements, ({ clusterId }) => clusterId);
  const serving = clusters.filter(({ id }) => byCluster.has(id));
  return new Map(
    serving.map((cluster) => [cluster.id, mirroredVersions(cluster, byCluster.get(cluster.id)!, versions, now).join()]),
  );
}
