/**
 * The router's own account of what it dispatched: in flight and smoothed service time per replica.
 * Bounded: replicas that are forgotten (no longer routed) are dropped by `retain`.
 */
interface Account {
  outstanding: number;
  serviceMs: number | null;
  measuredAtMs: number;
}

/** Weight of the newest measurement; small, so that one slow answer does not empty a replica. */
const SMOOTHING = 0.2;
/** A measurement older than this counts as none: a replica that was slow once is tried again (R8). */
const MEASURED_FOR_MS = 10_000;

export class DispatchLedger {
  private readonly accounts = new Map<string, Account>();

  dispatched(replicaId: string): void {
    this.account(replicaId).outstanding += 1;
  }

  /** `serviceMs` null: the request failed or was cancelled, so it says nothing about speed. */
  finished(replicaId: string, serviceMs: number | null, nowMs: number): void {
    const account = this.account(replicaId);
    account.outstanding = Math.max(0, account.outstanding - 1);
    if (serviceMs === null) return;
    const known = nowMs - account.measuredAtMs <= MEASURED_FOR_MS ? account.serviceMs : null;
    account.serviceMs = known === null ? serviceMs : known + SMOOTHING * (serviceMs - known);
    account.measuredAtMs = nowMs;
  }

  outstanding(replicaId: string): number {
    return this.accounts.get(replicaId)?.outstanding ?? 0;
  }

  /** Smoothed milliseconds of one request; null when not measured within the last 10 s. */
  serviceMs(replicaId: string, nowMs: number): number | null {
    const account = this.accounts.get(replicaId);
    return account === undefined || nowMs - account.measuredAtMs > MEASURED_FOR_MS ? null : account.serviceMs;
  }

  /** Forgets idle replicas that are not in `replicaIds`. */
  retain(replicaIds: ReadonlySet<string>): void {
    for (const [replicaId, account] of this.accounts) {
      if (account.outstanding === 0 && !replicaIds.has(replicaId)) this.accounts.delete(replicaId);
    }
  }

  private account(replicaId: string): Account {
    let account = this.accounts.get(replicaId);
    if (account === undefined) {
      account = { outstanding: 0, serviceMs: null, measuredAtMs: Number.NEGATIVE_INFINITY };
      this.accounts.set(replicaId, account);
    }
    return account;
  }
}
