/**
 * Start deadlines against the true time, whatever the clocks of the database and of the control plane say, and however
 * they jump (R22): none fails a job early, and no job starts for the first time after its own. Nobody is to know the time
 * where the database's clock jumped and its leader ended before it could see that; what waited then is not judged.
 */
import { isFinal, type Job } from '#domain';
import type { Commit } from './database.ts';
import type { Tables } from './tables.ts';
import type { World } from './world.ts';

/** What is written may be so old: a transaction idles for 8 s at most, and a leader notices its own end within 6 s. */
const FORGIVEN_MS = 15_000;
/** A smaller jump is no matter. */
const JUMP_MS_MIN = 1_000;

export class JobTimes {
  /** Job id → true time at which its wait began; null: that is of a clock that nobody knew. */
  private readonly waitingSinceMs = new Map<string, number | null>();
  private isUnnoticed = false;
  private noticedAtMs = Number.NEGATIVE_INFINITY;
  private epoch = 0;

  constructor(
    private readonly world: World,
    private readonly see: (what: string) => void,
  ) {}

  databaseJumped(byMs: number): void {
    if (Math.abs(byMs) >= JUMP_MS_MIN) this.isUnnoticed = true;
  }

  onCommit({ before, after }: Commit): void {
    this.noteLeader(before, after);
    for (const [id, job] of after.jobs) {
      const old = before.jobs.get(id);
      if (old === job) continue;
      if (old !== undefined) this.check(old, job);
      if (job.queuedAt?.getTime() !== old?.queuedAt?.getTime()) this.began(job);
    }
  }

  private noteLeader(before: Tables, { epoch, clockAheadMs }: Tables): void {
    if (this.isUnnoticed && epoch !== this.epoch)
      for (const id of this.waitingSinceMs.keys()) this.waitingSinceMs.set(id, null);
    this.epoch = epoch;
    if (clockAheadMs === before.clockAheadMs) return;
    this.isUnnoticed = false;
    this.noticedAtMs = this.world.nowMs;
  }

  private began({ id }: Job): void {
    const isDoubtful = this.isUnnoticed || this.world.nowMs - this.noticedAtMs < FORGIVEN_MS;
    this.waitingSinceMs.set(id, isDoubtful ? null : this.world.nowMs);
  }

  private check(old: Job, job: Job): void {
    const { startDeadlineSeconds } = job.spec;
    const sinceMs = this.waitingSinceMs.get(job.id) ?? null;
    if (startDeadlineSeconds === null || sinceMs === null) return;
    if (old.startedAt !== null || isFinal(old.phase)) return;
    const lateMs = this.world.nowMs - sinceMs - startDeadlineSeconds * 1_000;
    const isFailed = job.phase === 'Failed' && job.reason.startsWith('it found no room');
    // One whose attempt was ended before it ran may begin another one in the same cycle, before its deadline is judged.
    const begins = old.attempts === 0 && job.attempts > 0;
    if (isFailed) this.see('start deadline over');
    if (begins) this.see('start deadline kept');
    if (isFailed && lateMs < -FORGIVEN_MS)
      this.world.broken(`R22: ${job.name} fails ${-lateMs / 1_000} s before its start deadline`);
    if (begins && lateMs > FORGIVEN_MS)
      this.world.broken(`R22: ${job.name} starts ${lateMs / 1_000} s after its start deadline`);
  }
}
