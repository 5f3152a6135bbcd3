/**
 * Budgets and the leases on them. Whoever serves (an agent, a gateway) never asks per request: it holds leases, spends
 * from them, and tells what it spent.
 *
 * Invariant (DESIGN §7.8): what was spent and is known, plus what is out on leases, never exceeds the budget; so a
 * holder that is cut off can overspend nothing, and what is uncertain is bounded by what was leased.
 *
 * A lease is granted (its tokens count as out), renewed (more tokens, a later end), returned (what was not spent is free
 * again), or it expires: the holder stops spending by its own monotonic clock, and what it had not told stays counted as
 * out until it tells, for it may have spent it.
 */

export const BUDGET_PERIODS = ['day', 'month', 'total'] as const;
/** UTC days and months; `total` never starts anew. */
export type BudgetPeriod = (typeof BUDGET_PERIODS)[number];

export interface Budget {
  readonly id: string;
  readonly tenantId: string;
  /** DNS label, unique within the tenant. */
  readonly name: string;
  /** Null: every request of the tenant; else requests with this key only. */
  readonly keyPublicId: string | null;
  /** Prompt and completion tokens together, 0..2^53. 0: nothing may be spent. */
  readonly limitTokens: number;
  readonly period: BudgetPeriod;
  readonly createdAt: Date;
  /** Optimistic lock, also the ETag. Starts at 1. */
  readonly revision: number;
}

export type LeaseHolder = { readonly kind: 'cluster' | 'gateway'; readonly id: string };

/** Ended: returned by its holder, or settled after it expired. Nothing of it is out any more. */
export const LEASE_PHASES = ['Active', 'Expired', 'Ended'] as const;
export type LeasePhase = (typeof LEASE_PHASES)[number];

export interface Lease {
  readonly id: string;
  readonly budgetId: string;
  readonly holder: LeaseHolder;
  /** `2026-11-30`, `2026-11` or `total`: spending counts for the period in which it was granted. */
  readonly periodKey: string;
  readonly grantedTokens: number;
  /** What usage that was taken in says; may exceed `grantedTokens` when one answer was longer than was left. */
  readonly spentTokens: number;
  readonly phase: LeasePhase;
  readonly grantedAt: Date;
  /** From here on the holder spends nothing from it. */
  readonly expiresAt: Date;
}
