/** What the leader counts of jobs, as a port: Prometheus in the process, nothing where nobody asks. */
import type { Metrics } from '#telemetry';
import type { CycleSeconds } from './cycle-times.ts';
import type { SettledJob } from './settle-jobs.ts';

export interface AppliedCounts {
  readonly started: number;
  readonly rejected: number;
  /** Attempts that were asked to make room. */
  readonly stopped: number;
}

/** Of those that are not over. */
const ACTIVE_PHASES = ['Waiting', 'Queued', 'Starting', 'Running', 'Stopping', 'Suspended'] as const;

export class JobMetrics {
  /** How many active jobs are in each phase; phases without any may be left out. */
  jobs(_counts: ReadonlyMap<string, number>): void {}
  /** One cycle of the loop that had something to look at, and where its time went. */
  cycle(_seconds: number, _parts: CycleSeconds): void {}
  applied(_counts: AppliedCounts): void {}
  settled(_jobs: readonly SettledJob[]): void {}
}

export class PrometheusJobs extends JobMetrics {
  constructor(private readonly metrics: Metrics<'control-plane'>) {
    super();
  }

  override jobs(counts: ReadonlyMap<string, number>): void {
    for (const phase of ACTIVE_PHASES) this.metrics.jobs.set({ phase }, counts.get(phase) ?? 0);
  }

  override cycle(seconds: number): void {
    this.metrics.jobCycleSeconds.observe(seconds);
  }

  override applied({ started, rejected, stopped }: AppliedCounts): void {
    if (started > 0) this.metrics.jobDecisionsTotal.inc({ outcome: 'started' }, started);
    if (rejected > 0) this.metrics.jobDecisionsTotal.inc({ outcome: 'rejected' }, rejected);
    if (stopped > 0) this.metrics.jobPreemptionsTotal.inc(stopped);
  }

  override settled(jobs: readonly SettledJob[]): void {
    for (const { facts, step } of jobs) {
      if (step.ended === null) continue;
      this.metrics.jobAttemptsEndedTotal.inc({ outcome: step.attempt?.outcome ?? 'lost' });
      const device = facts.attempt!.claim.deviceType;
      if (step.ended.lostDeviceSeconds > 0)
        this.metrics.jobLostSecondsTotal.inc({ device }, step.ended.lostDeviceSeconds);
    }
  }
}
