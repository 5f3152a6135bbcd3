/** Which jobs something has become known of: their rows or attempts were written, or a cluster of theirs reported. */
import type { Attempt, Job } from '#domain';

export class Touched {
  private readonly jobIds = new Set<string>();
  private readonly clusterIds = new Set<string>();
  /** What concerns all of them, or cannot be told. */
  private isAll = false;

  addAll(): void {
    this.isAll = true;
  }

  addJob(id: string | undefined): void {
    if (id !== undefined) this.jobIds.add(id);
  }

  addClusters(ids: Iterable<string>): void {
    for (const id of ids) this.clusterIds.add(id);
  }

  /** Ids of the jobs among these, those that wait for a touched one too; null: any of them. */
  among(jobs: ReadonlyMap<string, Job>, attempts: ReadonlyMap<string, Attempt>): Set<string> | null {
    if (this.isAll) return null;
    const ids = new Set<string>();
    for (const id of this.jobIds) if (jobs.has(id)) ids.add(id);
    if (this.clusterIds.size > 0) {
      for (const { jobId, tasks } of attempts.values()) {
        if (tasks.some(({ clusterId }) => this.clusterIds.has(clusterId))) ids.add(jobId);
      }
    }
    if (this.jobIds.size > 0) {
      for (const { id, queuedAt, dependsOn } of jobs.values()) {
        if (queuedAt === null && dependsOn.some(({ jobId }) => this.jobIds.has(jobId))) ids.add(id);
      }
    }
    return ids;
  }
}
