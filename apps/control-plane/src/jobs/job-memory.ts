/**
 * What the leader remembers of jobs besides the rows, for better choices only: a new leader does without it. Bounded by
 * the jobs that are there.
 */
import { type Attempt, backoffSeconds, type Job, type ModelVersion, type Nomination, type Rows } from '#domain';
import type { JobWorld } from './job-world.ts';

const AVOIDED_MS = 120_000;
/** Scheduler cycles in which a replica may leave room untaken that is there for it; then jobs have it for a while. */
const UNTAKEN_MAX = 3;
const PASSED_OVER_MS = 60_000;

export class JobMemory {
  /** Job id → cluster id → until when it is avoided, Unix milliseconds. */
  private readonly avoided = new Map<string, Map<string, number>>();
  /** Job id → where its last attempt ran: its checkpoint may still be on that disk. */
  private readonly ranIn = new Map<string, readonly string[]>();
  /** Job id → before what its row says that it is not tried, and by when it is in any case, by this leader's clock. */
  private readonly retries = new Map<string, { readonly retryAtMs: number; readonly latestMs: number }>();
  /** Version id → digest; published versions never change. */
  private readonly digests = new Map<string, string>();
  /** Workload id of a replica that waits → the room that is held for it. */
  readonly servingNominations = new Map<string, Nomination>();
  /** Workload id → how often room was there for a replica that still waits, and after which scheduler cycle last. */
  private readonly untaken = new Map<string, { times: number; cycle: object | null; passedUntilMs: number }>();

  ended(attempt: Attempt, failedToStartIn: readonly string[], nowMs: number): void {
    this.ranIn.set(attempt.jobId, [...new Set(attempt.tasks.map(({ clusterId }) => clusterId))]);
    if (failedToStartIn.length === 0) return;
    const clusters = this.avoided.get(attempt.jobId) ?? new Map<string, number>();
    for (const clusterId of failedToStartIn) clusters.set(clusterId, nowMs + AVOIDED_MS);
    this.avoided.set(attempt.jobId, clusters);
  }

  /**
   * Room was there for these replicas when they were told to wait in `cycle`; of all others nothing is known any more. The
   * deployment planner may have reasons of its own not to take it.
   */
  offered(workloadIds: ReadonlySet<string>, cycle: object, nowMs: number): void {
    for (const id of this.untaken.keys()) {
      if (!workloadIds.has(id) && !this.isPassedOver(id, nowMs)) this.untaken.delete(id);
    }
    for (const id of workloadIds) {
      const known = this.untaken.get(id) ?? { times: 0, cycle: null, passedUntilMs: 0 };
      if (known.cycle === cycle) continue;
      const times = known.times + 1;
      this.untaken.set(id, { times, cycle, passedUntilMs: times >= UNTAKEN_MAX ? nowMs + PASSED_OVER_MS : 0 });
    }
  }

  /** Whether it keeps jobs off nothing for now, because it did not take what it was offered. */
  isPassedOver(workloadId: string, nowMs: number): boolean {
    return (this.untaken.get(workloadId)?.passedUntilMs ?? 0) > nowMs;
  }

  /** Of replicas that do not wait any more. */
  forgetServing(waiting: ReadonlySet<string>): void {
    for (const memory of [this.servingNominations, this.untaken]) {
      for (const id of memory.keys()) if (!waiting.has(id)) memory.delete(id);
    }
  }

  avoidedBy(jobId: string, nowMs: number): string[] {
    return [...(this.avoided.get(jobId) ?? [])].filter(([, untilMs]) => untilMs > nowMs).map(([id]) => id);
  }

  /**
   * Unix milliseconds before which it is not tried again; null: at once. The row's time may be of a database on another
   * machine, before a failover: from this leader's first look on it is waited for no longer than the backoff itself (R22).
   */
  notBeforeMs(
    { id, retryAt, failures, spec }: Pick<Job, 'id' | 'retryAt' | 'failures' | 'spec'>,
    nowMs: number,
  ): number | null {
    if (retryAt === null) return null;
    const retryAtMs = retryAt.getTime();
    const known = this.retries.get(id);
    if (known?.retryAtMs === retryAtMs) return Math.min(retryAtMs, known.latestMs);
    const latestMs = nowMs + backoffSeconds(spec.retry.backoffSeconds, Math.max(1, failures)) * 1_000;
    this.retries.set(id, { retryAtMs, latestMs });
    return Math.min(retryAtMs, latestMs);
  }

  /** Whether there is anything about where it is to run or not. */
  knows(jobId: string): boolean {
    return this.avoided.has(jobId) || this.ranIn.has(jobId);
  }

  lastClustersOf(jobId: string): readonly string[] {
    return this.ranIn.get(jobId) ?? [];
  }

  digestOf(versionId: string): string | undefined {
    return this.digests.get(versionId);
  }

  /** Forgets jobs that are over, and learns the digests of what waiting jobs mount. */
  async refresh(rows: Rows, { jobs }: Pick<JobWorld, 'jobs'>, extra: readonly Job[] = []): Promise<void> {
    for (const memory of [this.avoided, this.ranIn, this.retries]) {
      for (const id of memory.keys()) if (!jobs.has(id)) memory.delete(id);
    }
    const mounted = new Set<string>();
    for (const each of [jobs.values(), extra]) {
      for (const { phase, spec } of each) {
        if (phase === 'Queued' || phase === 'Waiting') for (const { versionId } of spec.mounts) mounted.add(versionId);
      }
    }
    for (const id of this.digests.keys()) if (!mounted.has(id)) this.digests.delete(id);
    const unknown = [...mounted].filter((id) => !this.digests.has(id));
    const versions: ModelVersion[] = unknown.length === 0 ? [] : await rows.versions.findAll(unknown);
    for (const { id, digest } of versions) if (digest !== null) this.digests.set(id, digest);
  }
}
