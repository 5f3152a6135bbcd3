/**
 * Where versions lately failed too often, so that a replica that was moved away does not come straight back.
 * In memory: a new leader learns it again from the reports.
 */
import type { FleetSnapshot } from '#scheduling';
import { FAILURES_BEFORE_MOVE } from '#scheduling';

const REMEMBERED_MS = 600_000;

export class FailureMemory {
  /** Deployment id → version it speaks of and cluster id → until when. */
  private readonly failures = new Map<string, { versionId: string; untilMs: Map<string, number> }>();

  /** Takes note of the failures in a snapshot, and forgets what is old or of another version. */
  update(snapshot: FleetSnapshot): ReadonlyMap<string, ReadonlySet<string>> {
    const deployments = new Map(snapshot.deployments.map((deployment) => [deployment.id, deployment]));
    for (const [id, { versionId, untilMs }] of this.failures) {
      if (deployments.get(id)?.versionId !== versionId) this.failures.delete(id);
      for (const [clusterId, until] of untilMs) if (until <= snapshot.nowMs) untilMs.delete(clusterId);
    }
    const failed = new Set(
      snapshot.clusters.flatMap(({ report }) =>
        (report?.replicas ?? [])
          .filter(({ phase, restarts }) => phase === 'Failed' && restarts >= FAILURES_BEFORE_MOVE)
          .map(({ replicaId }) => replicaId),
      ),
    );
    for (const { id, deploymentId, clusterId, versionId } of snapshot.placements) {
      if (!failed.has(id) || deployments.get(deploymentId)?.versionId !== versionId) continue;
      const entry = this.failures.get(deploymentId) ?? { versionId, untilMs: new Map<string, number>() };
      entry.untilMs.set(clusterId, snapshot.nowMs + REMEMBERED_MS);
      this.failures.set(deploymentId, entry);
    }
    return new Map([...this.failures].map(([id, { untilMs }]) => [id, new Set(untilMs.keys())]));
  }
}
