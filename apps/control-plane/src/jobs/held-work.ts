/**
 * What live attempts hold, summed up and kept up to date attempt by attempt: with tens of thousands of them it is not
 * worked out anew in every cycle. Pure; sums are of whole numbers, so that taking away gives back exactly what was added.
 */
import type { Attempt, HeldDevices, Job } from '#domain';
import type { RunningWorkload } from '#scheduling';
import { memberBytesOf } from '../leader/desired-tasks.ts';
import { runningOf } from './running-workload.ts';

const DAY_MS = 86_400_000;

/** Attempts of one queue and device type that began on the same UTC day. */
interface Together {
  readonly of: Pick<HeldDevices, 'tenantId' | 'queueId' | 'deviceType'>;
  readonly dayMs: number;
  devices: number;
  /** Devices × milliseconds of the day after which they began. */
  deviceMs: number;
}

interface Entry {
  readonly attempt: Attempt;
  readonly job: Job;
  readonly key: string;
}

export class HeldWork {
  private readonly entries = new Map<string, Entry>();
  private readonly together = new Map<string, Together>();
  private readonly bytes = new Map<string, number>();
  private readonly workloads = new Map<string, RunningWorkload>();
  private readonly byJob = new Map<string, Attempt>();

  static of(jobs: ReadonlyMap<string, Job>, attempts: ReadonlyMap<string, Attempt>): HeldWork {
    const held = new HeldWork();
    for (const [id, attempt] of attempts) held.put(id, attempt, jobs.get(attempt.jobId));
    return held;
  }

  /** Cluster id → bytes that its tasks take of its document. */
  get documentBytes(): ReadonlyMap<string, number> {
    return this.bytes;
  }

  /** As the planner sees them; the same objects while their rows are. */
  get running(): IterableIterator<RunningWorkload> {
    return this.workloads.values();
  }

  attemptOf(jobId: string): Attempt | null {
    return this.byJob.get(jobId) ?? null;
  }

  /** What the attempt is now; undefined: it is over. One whose job is not there (yet) holds nothing. */
  put(id: string, attempt: Attempt | undefined, job: Job | undefined): void {
    const before = this.entries.get(id);
    if (before !== undefined && before.attempt === attempt && before.job === job) return;
    if (before !== undefined) this.take(before);
    if (attempt === undefined || job === undefined) return;
    this.add({ attempt, job, key: keyOf(attempt, job) });
  }

  /**
   * Those that began on the same day are one holder that began at their mean time, weighted by devices: the sum of what
   * they have used is the same.
   */
  heldUntil(nowMs: number): HeldDevices[] {
    return [...this.together.values()].map(({ of, dayMs, devices, deviceMs }) => {
      return { ...of, count: devices, fromMs: dayMs + deviceMs / devices, toMs: nowMs };
    });
  }

  private add(entry: Entry): void {
    const { attempt, job } = entry;
    this.entries.set(attempt.id, entry);
    this.workloads.set(attempt.id, runningOf(attempt, job));
    this.byJob.set(job.id, attempt);
    this.count(entry, 1);
  }

  private take(entry: Entry): void {
    const { attempt, job } = entry;
    this.entries.delete(attempt.id);
    this.workloads.delete(attempt.id);
    if (this.byJob.get(job.id)?.id === attempt.id) this.byJob.delete(job.id);
    this.count(entry, -1);
  }

  private count({ attempt, job, key }: Entry, sign: 1 | -1): void {
    const { tenantId, queueId } = job;
    const each = sign * memberBytesOf(job);
    for (const { clusterId } of attempt.tasks) this.bytes.set(clusterId, (this.bytes.get(clusterId) ?? 0) + each);
    const { deviceType, count } = attempt.claim;
    const dayMs = dayOf(attempt);
    const sum = this.together.get(key) ?? { of: { tenantId, queueId, deviceType }, dayMs, devices: 0, deviceMs: 0 };
    const devices = sign * count * attempt.tasks.length;
    sum.devices += devices;
    sum.deviceMs += devices * (attempt.createdAt.getTime() - dayMs);
    if (sum.devices === 0) this.together.delete(key);
    else this.together.set(key, sum);
  }
}

function dayOf({ createdAt }: Attempt): number {
  return Math.floor(createdAt.getTime() / DAY_MS) * DAY_MS;
}

function keyOf(attempt: Attempt, { tenantId, queueId }: Job): string {
  return `${tenantId} ${queueId} ${attempt.claim.deviceType} ${dayOf(attempt)}`;
}
