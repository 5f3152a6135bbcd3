/**
 * What time it is for a leader (ADR 25): the installation's clock, read when the term begins and counted on by this
 * process' monotonic clock. No wall clock has a say, neither this machine's nor that of a leader before (R22): deadlines,
 * ages, retries and what expires are judged alike by whoever leads.
 *
 * Within a term it never goes back, and no jump of any clock moves it. The database's clock is looked at now and then and
 * followed by a second in FOLLOWED_SECONDS at most; what is left until then is kept in the leader's row, so that the times
 * that others read meanwhile, and the next term, are of this clock too. While the database cannot be read it counts on.
 */
import type { Store } from '#domain';
import { type MonotonicClock, ProcessClock } from '../federation/fleet-liveness.ts';

/** Ten times what a computer's clock may drift, and what is adjusted while it is put right; ten minutes take a week. */
export const FOLLOWED_SECONDS = 1_000;
/** Less than this is not worth a write: answers may be so long under way. */
export const AHEAD_MS_MIN = 250;

export class LeaderClock {
  private constructor(
    private readonly store: Store,
    private readonly epoch: number,
    private readonly clock: Pick<MonotonicClock, 'nowMs'>,
    private counted: Counted,
  ) {}

  /** @throws what the store throws: without a time there is no term */
  static async begin(
    store: Store,
    epoch: number,
    clock: Pick<MonotonicClock, 'nowMs'> = new ProcessClock(),
  ): Promise<LeaderClock> {
    const askedMs = clock.nowMs();
    const { at, aheadMs } = await store.read.clock.read();
    const fromMs = clock.nowMs();
    const unixMs = at.getTime() + (fromMs - askedMs) / 2;
    return new LeaderClock(store, epoch, clock, { fromMs, unixMs, behindMs: -aheadMs });
  }

  /** Unix milliseconds, whole ones. */
  readonly nowMs = (): number => Math.floor(this.exactMs(this.clock.nowMs()));

  readonly now = (): Date => new Date(this.nowMs());

  /**
   * One look at the database's clock.
   *
   * @returns by how many milliseconds that has jumped since the look before; about 0 when it has not
   * @throws what the store throws; then it counts on as before
   */
  async follow(): Promise<number> {
    const { clock, store, epoch } = this;
    const askedMs = clock.nowMs();
    const { at, aheadMs } = await store.read.clock.read();
    const fromMs = clock.nowMs();
    const unixMs = this.exactMs(fromMs);
    // Nobody knows where in between the answer was given: what was thought stays, unless that cannot be.
    const leastMs = at.getTime() - aheadMs - unixMs;
    const leftMs = this.leftMs(fromMs);
    const behindMs = Math.min(leastMs + fromMs - askedMs, Math.max(leastMs, leftMs));
    this.counted = { fromMs, unixMs, behindMs };
    const keptMs = Math.abs(behindMs) < AHEAD_MS_MIN ? 0 : Math.round(-behindMs);
    if (isWorthKeeping(keptMs, aheadMs)) await store.transaction((rows) => rows.clock.keepAhead(epoch, keptMs));
    return behindMs - leftMs;
  }

  private exactMs(nowMs: number): number {
    const { fromMs, unixMs, behindMs } = this.counted;
    return unixMs + Math.max(0, nowMs - fromMs) + behindMs - this.leftMs(nowMs);
  }

  /** What is left to be followed. */
  private leftMs(nowMs: number): number {
    const { fromMs, behindMs } = this.counted;
    const followedMs = Math.max(0, nowMs - fromMs) / FOLLOWED_SECONDS;
    return behindMs > 0 ? Math.max(0, behindMs - followedMs) : Math.min(0, behindMs + followedMs);
  }
}

interface Counted {
  /** Of the monotonic clock. */
  readonly fromMs: number;
  /** What it was then. */
  readonly unixMs: number;
  /** How much the database's clock was ahead of that; made up for bit by bit. */
  readonly behindMs: number;
}

function isWorthKeeping(aheadMs: number, keptMs: number): boolean {
  return aheadMs === 0 ? keptMs !== 0 : Math.abs(aheadMs - keptMs) >= AHEAD_MS_MIN;
}
