/**
 * How fast something is spent, exponentially weighted: what is a half-life old counts half. Corrected for the time before
 * the first look, so that the first minutes are not taken for slow ones (the bias correction of Adam, Kingma & Ba 2015).
 */
const LN2 = Math.log(2);

export class RecentRate {
  private sum = 0;
  private atMs: number;

  /** `halfLifeMs` > 0; nothing was spent before `sinceMs`. Less than a tenth of a half-life is no time to judge by. */
  constructor(
    private readonly halfLifeMs: number,
    private readonly sinceMs: number,
  ) {
    this.atMs = sinceMs;
  }

  add(amount: number, nowMs: number): void {
    this.sum = this.decayed(nowMs) + amount;
    this.atMs = Math.max(this.atMs, nowMs);
  }

  perMs(nowMs: number): number {
    const watchedMs = Math.max(nowMs - this.sinceMs, this.halfLifeMs / 10);
    return (this.decayed(nowMs) * LN2) / this.halfLifeMs / (1 - 0.5 ** (watchedMs / this.halfLifeMs));
  }

  private decayed(nowMs: number): number {
    return this.sum * 0.5 ** (Math.max(0, nowMs - this.atMs) / this.halfLifeMs);
  }
}
