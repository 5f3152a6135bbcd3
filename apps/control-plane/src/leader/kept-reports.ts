/** What of each cluster's newest report deployments are planned by, kept; what is as it was stays the same objects. */
import type { ClusterReport, Observation } from '#domain';
import { sameIfEqual, sameNodes } from './same-rows.ts';

export type PlannedReport = Pick<ClusterReport, 'revision' | 'nodes' | 'replicas' | 'versions'>;

export class KeptReports {
  private readonly reports = new Map<string, PlannedReport>();

  of(clusterId: string): PlannedReport | undefined {
    return this.reports.get(clusterId);
  }

  /**
   * @param clusterIds whose reports were looked for
   * @param found those of them that there are
   */
  keep(clusterIds: Iterable<string>, found: readonly Observation[]): void {
    const present = new Map(found.map(({ clusterId, report }) => [clusterId, report]));
    for (const id of clusterIds) {
      const report = present.get(id);
      if (report === undefined) this.reports.delete(id);
      else this.reports.set(id, sameReport(this.reports.get(id), report));
    }
  }

  /** Forgets those of clusters that are not among these. */
  retain(clusterIds: ReadonlySet<string>): void {
    for (const id of this.reports.keys()) if (!clusterIds.has(id)) this.reports.delete(id);
  }
}

function sameReport(known: PlannedReport | undefined, { revision, nodes, replicas, versions }: ClusterReport) {
  return {
    revision,
    nodes: sameNodes(known?.nodes, nodes),
    replicas: sameIfEqual(known?.replicas, replicas),
    versions: sameIfEqual(known?.versions, versions),
  };
}
