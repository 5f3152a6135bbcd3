/**
 * How long waves have soaked, by the leader's clock (R22, ADR 25). Where the database moved to another machine meanwhile,
 * that clock may be ten minutes from the one before: a new leader trusts the age it finds except for those. So a soak may
 * take that much longer when the leader changes, and is never shorter.
 */
import type { Rollout } from '#domain';
import type { LeaderClock } from '../leader/leader-clock.ts';

const CLOCKS_APART_MS_MAX = 600_000;

export class SoakClock {
  /** Rollout id → the time in its row, and what it is on this clock. */
  private seen = new Map<string, { rowMs: number; hereMs: number }>();

  constructor(private readonly clock: Pick<LeaderClock, 'nowMs'>) {}

  /** A time that this leader has itself written into the row. */
  wrote(rolloutId: string, at: Date): void {
    this.seen.set(rolloutId, { rowMs: at.getTime(), hereMs: at.getTime() });
  }

  /** The rollout with `waveReadyAt` as it is on this clock; the same at every call. */
  apply(rollout: Rollout): Rollout {
    if (rollout.waveReadyAt === null) return rollout;
    const rowMs = rollout.waveReadyAt.getTime();
    const known = this.seen.get(rollout.id);
    if (known?.rowMs === rowMs) return { ...rollout, waveReadyAt: new Date(known.hereMs) };
    const nowMs = this.clock.nowMs();
    const hereMs = nowMs - Math.max(0, nowMs - rowMs - CLOCKS_APART_MS_MAX);
    this.seen.set(rollout.id, { rowMs, hereMs });
    return { ...rollout, waveReadyAt: new Date(hereMs) };
  }

  retain(rolloutIds: ReadonlySet<string>): void {
    for (const id of this.seen.keys()) if (!rolloutIds.has(id)) this.seen.delete(id);
  }
}
