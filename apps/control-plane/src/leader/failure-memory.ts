/**
 * Where versions lately failed too often, so that a replica that was moved away does not come straight back.
 * In memory: a new leader learns it again from the reports.
 */
import { versionForCluster } from '#domain';
import type { FleetSnapshot } from '#scheduling';
import { FAILURES_BEFORE_MOVE } from '#scheduling';

const REMEMBERED_MS = 600_000;

export class FailureMemory {
  /** Deployment id → cluster id → the version that failed there, and until when that counts. */
  private readonly failures = new Map<string, Map<string, { versionId: string; untilMs: number }>>();

  /** Takes note of the failures in a snapshot, and forgets what is old or of a version that its cluster should not run. */
  update(snapshot: FleetSnapshot): ReadonlyMap<string, ReadonlySet<string>> {
    const deployments = new Map(snapshot.deployments.map((deployment) => [deployment.id, deployment]));
    const isWanted = (deploymentId: string, clusterId: string, versionId: string): boolean => {
      const goal = deployments.get(deploymentId)?.versionId;
      const rollout = snapshot.rollouts.get(deploymentId);
      return goal !== undefined && versionForCluster(goal, rollout, clusterId) === versionId;
    };
    for (const [id, clusters] of this.failures) {
      for (const [clusterId, { versionId, untilMs }] of clusters)
        if (untilMs <= snapshot.nowMs || !isWanted(id, clusterId, versionId)) clusters.delete(clusterId);
      if (clusters.size === 0) this.failures.delete(id);
    }
    const failed = new Set(
      snapshot.clusters.flatMap(({ report }) =>
        (report?.replicas ?? [])
          .filter(({ phase, restarts }) => phase === 'Failed' && restarts >= FAILURES_BEFORE_MOVE)
          .map(({ replicaId }) => replicaId),
      ),
    );
    for (const { id, deploymentId, clusterId, versionId } of snapshot.placements) {
      if (!failed.has(id) || !isWanted(deploymentId, clusterId, versionId)) continue;
      const clusters = this.failures.get(deploymentId) ?? new Map<string, { versionId: string; untilMs: number }>();
      clusters.set(clusterId, { versionId, untilMs: snapshot.nowMs + REMEMBERED_MS });
      this.failures.set(deploymentId, clusters);
    }
    return new Map([...this.failures].map(([id, clusters]) => [id, new Set(clusters.keys())]));
  }
}
