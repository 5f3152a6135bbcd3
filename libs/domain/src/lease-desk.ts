/**
 * What the centre answers to one request of a holder of leases: a pure step from what is known of the budgets that it may
 * use, under their rows' locks, to what is written and said. The rules of a single lease stand in `budgets.ts`.
 *
 * A wish is granted once: of a repeated request id the lease is told that it led to. Returns come before wishes, so that
 * what is given back can be granted in the same breath.
 */
import {
  accountAfter,
  type Budget,
  type BudgetAccount,
  emptyAccount,
  grantLease,
  grantStandbyLease,
  LEASE_RETRY_SECONDS_MAX,
  type Lease,
  type LeaseAnswer,
  type LeaseGrant,
  type LeaseRefusal,
  type LeaseReturn,
  type LeaseTerms,
  type LeaseWish,
  periodEndMs,
  periodKeyOf,
  renewLease,
  returnLease,
  type WishOutcome,
} from './budgets.ts';

export interface LeaseLedger {
  /** Those of the request that the holder may use. */
  readonly budgets: readonly Budget[];
  /** Of these budgets, the present period's account and the next one's; one without a spent token or lease may lack. */
  readonly accounts: readonly BudgetAccount[];
  /** The holder's own leases that the request names, or that its request ids led to, of any phase. */
  readonly leases: readonly Lease[];
  /** Request id → lease id. */
  readonly answered: ReadonlyMap<string, string>;
}

export interface LeaseDecision {
  readonly answer: LeaseAnswer;
  /** New and changed leases as they are now. */
  readonly written: readonly Lease[];
  readonly answered: readonly { readonly requestId: string; readonly leaseId: string }[];
}

export interface LeaseDemand {
  readonly wishes: readonly LeaseWish[];
  readonly returns: readonly LeaseReturn[];
}

/** @param newId makes ids of new leases */
export function answerLeaseRequest(
  { wishes, returns }: LeaseDemand,
  ledger: LeaseLedger,
  terms: LeaseTerms,
  newId: () => string,
): LeaseDecision {
  const desk = new Desk(ledger, terms, newId);
  for (const each of returns) desk.takeBack(each);
  for (const wish of wishes) desk.hear(wish);
  return desk.decision();
}

type Said = Pick<LeaseRefusal, 'reason' | 'retryAfterSeconds'>;

class Desk {
  private readonly budgets: ReadonlyMap<string, Budget>;
  private readonly accounts: Map<string, BudgetAccount>;
  private readonly leases: Map<string, Lease>;
  private readonly answered: Map<string, string>;
  private readonly written = new Map<string, Lease>();
  private readonly newlyAnswered: { requestId: string; leaseId: string }[] = [];
  private readonly grants: LeaseGrant[] = [];
  private readonly refusals: LeaseRefusal[] = [];
  private readonly ended = new Set<string>();

  constructor(
    ledger: LeaseLedger,
    private readonly terms: LeaseTerms,
    private readonly newId: () => string,
  ) {
    this.budgets = new Map(ledger.budgets.map((budget) => [budget.id, budget]));
    this.accounts = new Map(ledger.accounts.map((each) => [keyOf(each.budget.id, each.periodKey), each]));
    this.leases = new Map(ledger.leases.map((lease) => [lease.id, lease]));
    this.answered = new Map(ledger.answered);
  }

  decision(): LeaseDecision {
    const answer = { grants: this.grants, refusals: this.refusals, ended: [...this.ended] };
    return { answer, written: [...this.written.values()], answered: this.newlyAnswered };
  }

  takeBack({ leaseId, spentTokens }: LeaseReturn): void {
    const lease = this.leases.get(leaseId);
    if (lease !== undefined) this.write(returnLease(lease, spentTokens));
    this.ended.add(leaseId);
  }

  hear(wish: LeaseWish): void {
    const before = this.answered.get(wish.requestId);
    if (before === undefined) this.answer(wish, this.judge(wish));
    else this.repeat(wish, before);
  }

  private judge(wish: LeaseWish): WishOutcome {
    const budget = this.budgets.get(wish.budgetId);
    if (budget === undefined) return noLease('nothing that runs here is charged to this budget');
    const { nowMs } = this.terms;
    const startsMs = wish.ahead === true ? periodEndMs(budget.period, nowMs) : nowMs;
    if (startsMs === null) return noLease('a budget without a period has no next one');
    return this.judgeOn(this.accountOf(budget, startsMs), wish, startsMs);
  }

  /** A lease that cannot be renewed is told as ended, and there is a new one in its place. */
  private judgeOn(account: BudgetAccount, { leaseId, tokens, standby }: LeaseWish, startsMs: number): WishOutcome {
    const held = leaseId === null ? undefined : this.leases.get(leaseId);
    const isRenewable = held !== undefined && held.phase !== 'Ended' && !held.isReturned;
    if (isRenewable && held.budgetId === account.budget.id && held.periodKey === account.periodKey) {
      return renewLease(account, held, tokens, this.terms);
    }
    if (leaseId !== null && !isRenewable) this.ended.add(leaseId);
    if (standby === true) return grantStandbyLease(account, this.terms, this.newId(), startsMs);
    return grantLease(account, tokens, this.terms, this.newId(), startsMs);
  }

  private answer(wish: LeaseWish, { lease, refusal }: WishOutcome): void {
    if (refusal !== null) this.refuse(wish, refusal);
    if (lease === null) return;
    this.write(lease);
    this.answered.set(wish.requestId, lease.id);
    this.newlyAnswered.push({ requestId: wish.requestId, leaseId: lease.id });
    this.grants.push(this.grantOf(wish, lease));
  }

  /** Of a lease that is over it is told too, if its holder has not given it back: it may not know of it yet. */
  private repeat(wish: LeaseWish, leaseId: string): void {
    const lease = this.leases.get(leaseId);
    if (lease !== undefined && lease.phase !== 'Ended' && !lease.isReturned) {
      this.grants.push(this.grantOf(wish, lease));
      return;
    }
    this.ended.add(leaseId);
    this.refuse(wish, { reason: 'the lease that was granted has ended', retryAfterSeconds: 1 });
  }

  private grantOf({ requestId }: LeaseWish, lease: Lease): LeaseGrant {
    const { nowMs } = this.terms;
    const { period } = this.budgets.get(lease.budgetId) ?? { period: 'total' as const };
    const [thisEndsMs, expiresMs] = [periodEndMs(period, nowMs), lease.expiresAt.getTime()];
    const isAhead = thisEndsMs !== null && lease.periodKey === periodKeyOf(period, thisEndsMs);
    const endsMs = isAhead ? periodEndMs(period, thisEndsMs) : thisEndsMs;
    return {
      ...{ requestId, budgetId: lease.budgetId, leaseId: lease.id, grantedTokens: lease.grantedTokens },
      expiresInSeconds: Math.max(0, Math.floor((expiresMs - nowMs) / 1_000)),
      ...(isAhead ? { startsInSeconds: Math.ceil((thisEndsMs - nowMs) / 1_000) } : {}),
      ...(endsMs === expiresMs ? { endsWithPeriod: true } : {}),
    };
  }

  private refuse({ requestId, budgetId }: LeaseWish, said: Said): void {
    const retryAfterSeconds = Math.max(said.retryAfterSeconds, 1);
    this.refusals.push({ requestId, budgetId, reason: said.reason, retryAfterSeconds });
  }

  private accountOf(budget: Budget, atMs: number): BudgetAccount {
    const periodKey = periodKeyOf(budget.period, atMs);
    return this.accounts.get(keyOf(budget.id, periodKey)) ?? emptyAccount(budget, periodKey);
  }

  /** The ledger goes on as it will be once this is written. */
  private write(lease: Lease): void {
    const budget = this.budgets.get(lease.budgetId);
    if (budget !== undefined) {
      const key = keyOf(lease.budgetId, lease.periodKey);
      const account = this.accounts.get(key) ?? emptyAccount(budget, lease.periodKey);
      this.accounts.set(key, accountAfter(account, this.leases.get(lease.id) ?? null, lease));
    }
    this.leases.set(lease.id, lease);
    this.written.set(lease.id, lease);
  }
}

/** Asked again after long: what is wrong is not a matter of tokens. */
function noLease(reason: string): WishOutcome {
  return { lease: null, refusal: { reason, retryAfterSeconds: LEASE_RETRY_SECONDS_MAX } };
}

function keyOf(budgetId: string, periodKey: string): string {
  return `${budgetId} ${periodKey}`;
}
