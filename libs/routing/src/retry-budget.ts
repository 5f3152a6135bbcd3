/**
 * Retries do not amplify (R13): every request earns a fifth of a retry, and a retry spends a whole one, so over its life
 * a router sends at most 1.2 times the requests that it got, plus a small start so that a quiet gateway may retry at all.
 *
 * What quiet times earned is saved, up to a bound: when a whole cluster dies, all that was waiting there must go
 * elsewhere at once (R15), and that is what the savings are for.
 */
export interface RetryBudgetOptions {
  /** Retries earned by one request; default 0.2. */
  readonly ratio?: number;
  /** Retries there are at the start; default 10. */
  readonly start?: number;
  /** Retries that can be saved up; default 1,000. */
  readonly savedMax?: number;
}

export class RetryBudget {
  private balance: number;
  private readonly ratio: number;
  private readonly savedMax: number;

  constructor({ ratio = 0.2, start = 10, savedMax = 1_000 }: RetryBudgetOptions = {}) {
    this.balance = start;
    this.ratio = ratio;
    this.savedMax = savedMax;
  }

  requested(): void {
    this.balance = Math.min(this.savedMax, this.balance + this.ratio);
  }

  /** True, and one retry is spent; false when the budget is empty. */
  trySpend(): boolean {
    // 1e-9: five fifths must make a whole in floating point.
    if (this.balance + 1e-9 < 1) return false;
    this.balance -= 1;
    return true;
  }
}
