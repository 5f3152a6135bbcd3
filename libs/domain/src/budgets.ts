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
 *
 * Each period of a budget has an account of its own: what is granted in one is never spent in the next (a holder that is
 * to last past the end of the period gets a lease on the next one ahead of time). The rules below are pure steps of such
 * an account; `libs/store` keeps it, under a lock of the budget's row. With every step
 * `spent + out ≤ limit + overdraft` stays true, whatever comes twice, late or never. Overdraft is what was spent beyond a
 * lease, because an answer was longer than what was left of it; it is counted as spent, so later grants make up for it.
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
  /** Prompt and completion tokens together, 0..BUDGET_TOKENS_MAX. 0: nothing may be spent. */
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
  /** Its holder gave it back: it is never renewed. */
  readonly isReturned: boolean;
}

/** A lease has at least so many tokens, as long as there are so many: a smaller one would not last for one answer. */
export const LEASE_TOKENS_MIN = 4_000;
/** Of a limit, what may be out when one more standby lease is granted: 1/16. So idle holders starve no busy one. */
const STANDBY_SHARE = 1 / 16;
/** Whoever is refused because others hold the rest asks again after so long … */
export const LEASE_RETRY_SECONDS = 30;
/** … and because all is spent, at the end of the period, but after so long at most: the budget may be raised. */
export const LEASE_RETRY_SECONDS_MAX = 600;
/** 48 hours, renewed while there is contact: a cluster that is cut off spends for a day at least (R4). */
export const CLUSTER_LEASE_SECONDS = 48 * 3_600;
/** A gateway asks all the time, and what a dead one holds is soon known to be unspendable. */
export const GATEWAY_LEASE_SECONDS = 300;
/** Sums of it and what is beyond it stay exact. */
export const BUDGET_TOKENS_MAX = 1_000_000_000_000_000;
/** A key of a bundle names at most 16. */
export const BUDGETS_PER_SCOPE_MAX = 8;
export const BUDGETS_PER_TENANT_MAX = 500;

/** What a holder asks for; see `libs/contracts/src/federation/leases.ts`. */
export interface LeaseWish {
  readonly requestId: string;
  readonly budgetId: string;
  /** The lease to renew; null: a new one. */
  readonly leaseId: string | null;
  /** Beside what is left. 0: only a later end. */
  readonly tokens: number;
  /** For the period after the present one. */
  readonly ahead?: boolean | undefined;
  /** Nobody spends from it now: to be granted only where there is plenty. */
  readonly standby?: boolean | undefined;
}

export interface LeaseReturn {
  readonly leaseId: string;
  readonly spentTokens: number;
}

export interface LeaseGrant {
  readonly requestId: string;
  readonly budgetId: string;
  readonly leaseId: string;
  /** In all, over the lease's life. */
  readonly grantedTokens: number;
  /** By the holder's monotonic clock, from the moment at which it asked. */
  readonly expiresInSeconds: number;
  /** A lease on the next period: nothing is spent from it before. */
  readonly startsInSeconds?: number | undefined;
  /** It cannot be made to last longer: its period ends then. */
  readonly endsWithPeriod?: boolean | undefined;
}

export interface LeaseRefusal {
  readonly requestId: string;
  readonly budgetId: string;
  readonly reason: string;
  readonly retryAfterSeconds: number;
}

export interface LeaseAnswer {
  readonly grants: readonly LeaseGrant[];
  readonly refusals: readonly LeaseRefusal[];
  /** Leases that are not counted any more, or from which nothing may be spent any more. */
  readonly ended: readonly string[];
}

/** `2026-11-30`, `2026-11` or `total`. */
export function periodKeyOf(period: BudgetPeriod, ms: number): string {
  if (period === 'total') return 'total';
  return new Date(ms).toISOString().slice(0, period === 'day' ? 10 : 7);
}

/** The first millisecond after the period that `ms` is in; null: it has no end. */
export function periodEndMs(period: BudgetPeriod, ms: number): number | null {
  if (period === 'total') return null;
  const at = new Date(ms);
  const [year, month] = [at.getUTCFullYear(), at.getUTCMonth()];
  return period === 'day' ? Date.UTC(year, month, at.getUTCDate() + 1) : Date.UTC(year, month + 1, 1);
}

/** One period of one budget, as one holder is answered from it. */
export interface BudgetAccount {
  readonly budget: Pick<Budget, 'id' | 'name' | 'limitTokens' | 'period'>;
  readonly periodKey: string;
  readonly spentTokens: number;
  /** Of what is spent, what was beyond leases. */
  readonly overdraftTokens: number;
  /** On all leases of the period. */
  readonly outTokens: number;
  /** Of them, on those of the holder. */
  readonly heldTokens: number;
}

export interface BudgetStanding {
  readonly spentTokens: number;
  readonly outTokens: number;
  /** Below 0 after an overdraft, or when the limit was lowered below what is spent and out. */
  readonly freeTokens: number;
}

/** What its holder may still spend, or may have spent without having told. */
export function outTokens({ phase, grantedTokens, spentTokens }: Lease): number {
  return phase === 'Ended' ? 0 : Math.max(0, grantedTokens - spentTokens);
}

export function emptyAccount(budget: BudgetAccount['budget'], periodKey: string): BudgetAccount {
  return { budget, periodKey, spentTokens: 0, overdraftTokens: 0, outTokens: 0, heldTokens: 0 };
}

export function standingOf({
  budget,
  spentTokens,
  outTokens: out,
}: Pick<BudgetAccount, 'budget' | 'spentTokens' | 'outTokens'>): BudgetStanding {
  return { spentTokens, outTokens: out, freeTokens: budget.limitTokens - spentTokens - out };
}

/** The account after a lease of the holder became another; `before` null: it is new. */
export function accountAfter(account: BudgetAccount, before: Lease | null, after: Lease): BudgetAccount {
  const more = outTokens(after) - (before === null ? 0 : outTokens(before));
  return { ...account, outTokens: account.outTokens + more, heldTokens: account.heldTokens + more };
}

/**
 * How many tokens a wish gets: what it asks for, at least LEASE_TOKENS_MIN, and so many at most that the holder has no
 * more out than is then left to all others. When little is free, a minimal lease or the rest. 0 when nothing is free.
 */
export function grantableTokens(wishTokens: number, freeTokens: number, heldTokens: number): number {
  if (freeTokens <= 0) return 0;
  const fair = Math.floor((freeTokens + heldTokens) / 2) - heldTokens;
  const most = Math.max(Math.min(freeTokens, LEASE_TOKENS_MIN), fair);
  return Math.min(most, Math.max(wishTokens, LEASE_TOKENS_MIN));
}

export interface LeaseTerms {
  readonly holder: LeaseHolder;
  /** The one clock of all leases: the database's. Unix milliseconds. */
  readonly nowMs: number;
  readonly lifetimeSeconds: number;
}

export type WishOutcome =
  /** `refusal` beside it: the end is later, but there were no tokens. */
  | { readonly lease: Lease; readonly refusal: Pick<LeaseRefusal, 'reason' | 'retryAfterSeconds'> | null }
  | { readonly lease: null; readonly refusal: Pick<LeaseRefusal, 'reason' | 'retryAfterSeconds'> };

/**
 * A new lease on the account.
 *
 * @param newId of the lease, if one is made
 * @param startsMs when the account's period begins, if it has not yet; the lease's life counts from then
 */
export function grantLease(
  account: BudgetAccount,
  wishTokens: number,
  terms: LeaseTerms,
  newId: string,
  startsMs: number = terms.nowMs,
): WishOutcome {
  const granted = grantableTokens(wishTokens, standingOf(account).freeTokens, account.heldTokens);
  if (granted === 0) return { lease: null, refusal: refusalOf(account, terms.nowMs) };
  const lease: Lease = {
    ...{ id: newId, budgetId: account.budget.id, holder: terms.holder, periodKey: account.periodKey },
    ...{ grantedTokens: granted, spentTokens: 0, phase: 'Active', grantedAt: new Date(terms.nowMs) },
    ...{ expiresAt: new Date(endMs(account, terms, startsMs)), isReturned: false },
  };
  return { lease, refusal: null };
}

/** A minimal lease for a holder that spends nothing now, as long as little of the budget is out. */
export function grantStandbyLease(
  account: BudgetAccount,
  terms: LeaseTerms,
  newId: string,
  startsMs: number = terms.nowMs,
): WishOutcome {
  if (account.outTokens + LEASE_TOKENS_MIN <= account.budget.limitTokens * STANDBY_SHARE) {
    return grantLease(account, LEASE_TOKENS_MIN, terms, newId, startsMs);
  }
  const reason = `${budgetTitle(account.budget)} has nothing for who does not use it`;
  return { lease: null, refusal: { reason, retryAfterSeconds: LEASE_RETRY_SECONDS_MAX } };
}

/**
 * More tokens on a lease of the account's period, and a later end. One that expired by the centre's clock, and whose
 * holder has not given it back, lives again: what it may spend was out all the time.
 */
export function renewLease(account: BudgetAccount, lease: Lease, wishTokens: number, terms: LeaseTerms): WishOutcome {
  const { freeTokens } = standingOf(account);
  const more = wishTokens === 0 ? 0 : grantableTokens(wishTokens, freeTokens, account.heldTokens);
  const renewed: Lease = {
    ...lease,
    grantedTokens: lease.grantedTokens + more,
    phase: 'Active',
    expiresAt: new Date(Math.max(lease.expiresAt.getTime(), endMs(account, terms, terms.nowMs))),
  };
  return { lease: renewed, refusal: wishTokens > 0 && more === 0 ? refusalOf(account, terms.nowMs) : null };
}

/**
 * What its holder will not spend is free again. What it says that it spent and has not told yet stays out until it is
 * told: then the lease ends.
 */
export function returnLease(lease: Lease, spentTokens: number): Lease {
  if (lease.phase === 'Ended') return lease;
  const kept = Math.min(lease.grantedTokens, Math.max(spentTokens, lease.spentTokens));
  return endedWhenTold({ ...lease, grantedTokens: kept, phase: 'Expired', isReturned: true });
}

/** Its holder has stopped spending by its own clock, which started before ours. What it has not told stays out. */
export function expireLease(lease: Lease, nowMs: number): Lease {
  if (lease.phase !== 'Active' || lease.expiresAt.getTime() > nowMs) return lease;
  return endedWhenTold({ ...lease, phase: 'Expired' });
}

/** Usage that was told, at any time: what is beyond the lease is overdraft. Of an ended lease all of it is. */
export function settleLease(lease: Lease, tokens: number): { readonly lease: Lease; readonly overdraftTokens: number } {
  const overdraftTokens = tokens - Math.min(tokens, outTokens(lease));
  return { lease: endedWhenTold({ ...lease, spentTokens: lease.spentTokens + tokens }), overdraftTokens };
}

/** Nothing can be spent from it and nothing is left untold. */
function endedWhenTold(lease: Lease): Lease {
  return lease.phase === 'Expired' && lease.spentTokens >= lease.grantedTokens ? { ...lease, phase: 'Ended' } : lease;
}

function endMs({ budget }: BudgetAccount, { lifetimeSeconds }: LeaseTerms, fromMs: number): number {
  return Math.min(fromMs + lifetimeSeconds * 1_000, periodEndMs(budget.period, fromMs) ?? Number.POSITIVE_INFINITY);
}

function refusalOf(account: BudgetAccount, nowMs: number): Pick<LeaseRefusal, 'reason' | 'retryAfterSeconds'> {
  const { spentTokens, outTokens: out } = standingOf(account);
  const isSpent = spentTokens >= account.budget.limitTokens;
  const endsMs = periodEndMs(account.budget.period, nowMs);
  const untilEnd = endsMs === null ? LEASE_RETRY_SECONDS_MAX : Math.ceil((endsMs - nowMs) / 1_000);
  const rest = isSpent ? 'is spent' : 'has nothing free';
  return {
    reason: `${budgetTitle(account.budget)} ${rest}: ${count(spentTokens)} spent, ${count(out)} out on leases`,
    retryAfterSeconds: isSpent ? Math.max(1, Math.min(untilEnd, LEASE_RETRY_SECONDS_MAX)) : LEASE_RETRY_SECONDS,
  };
}

const PERIOD_WORDS: Readonly<Record<BudgetPeriod, string>> = { day: 'a day', month: 'a month', total: 'in all' };

/** `budget "chat" of 1,000,000 tokens a day` */
export function budgetTitle({ name, limitTokens, period }: Pick<Budget, 'name' | 'limitTokens' | 'period'>): string {
  return `budget "${name}" of ${count(limitTokens)} tokens ${PERIOD_WORDS[period]}`;
}

function count(tokens: number): string {
  return String(tokens).replace(/\B(?=(\d{3})+$)/g, ',');
}

/**
 * Why this change gives somebody more to spend, or null when it does not (S4). Without any budget a tenant spends without
 * a limit, so taking one away gives more as well.
 *
 * @param limitTokens null: the budget goes
 */
export function budgetRaiseProblem(
  before: Pick<Budget, 'name' | 'limitTokens' | 'period'>,
  limitTokens: number | null,
): string | null {
  if (limitTokens === null) return `${budgetTitle(before)} would be gone`;
  return limitTokens > before.limitTokens ? `${budgetTitle(before)} would be raised` : null;
}
