/**
 * The holder's side of leased budgets: what may be spent now, what to ask for, what to give back. Agents and gateways keep
 * one each. It decides nothing about budgets (`libs/domain/src/budgets.ts` does, at the centre), touches no disk and no
 * network, and knows no clock but the monotonic milliseconds that it is given.
 *
 * Invariants: of a lease no more is spent than was granted, but for answers that come out longer than they were estimated;
 * nothing is reserved outside a lease's life; a request is charged to all budgets of its key or to none; a wish keeps its
 * request id until it is answered; a lease that was begun to be given back is never spent from again; of a budget that
 * nobody used here lately nothing is held, but for a standby lease where one is to be had.
 *
 * At a bound: without room `reserve` refuses with the reason and when to come again; at most WISHES_MAX wishes and returns
 * go in one request, the others in the next.
 */
import {
  LEASE_TOKENS_MIN,
  type LeaseAnswer,
  type LeaseGrant,
  type LeaseRefusal,
  type LeaseReturn,
  type LeaseWish,
} from '#domain';
import type { LeaseBookSnapshot } from './lease-book-snapshot.ts';
import { RecentRate } from './recent-rate.ts';

/** A cluster's leases should last for a day at the rate of its last hours, so that it can be cut off for one (R4). */
export const CLUSTER_HORIZON_MS = 24 * 3_600_000;
/** A gateway asks all the time; what it holds nobody else can spend. */
export const GATEWAY_HORIZON_MS = 60_000;
/** What a cluster did not use for so long goes back: who is quiet for a night is not for a working day. */
export const CLUSTER_IDLE_MS = 12 * 3_600_000;
export const GATEWAY_IDLE_MS = 60_000;
/** Of a horizon: the half-life of the rate that wishes are sized by. */
const HALF_LIFE_SHARE = 0.25;
/** Of a lease's life: after it the end is moved. So 42 of a cluster's 48 hours are left when contact is lost. */
const RENEW_AFTER_SHARE = 1 / 8;
const WISHES_MAX = 500;
const ASK_AGAIN_MS = 30_000;
/** For whoever is refused while a wish is on its way. */
const RETRY_SOON_SECONDS = 2;

export interface LeaseBookOptions {
  /** Makes request ids (UUIDs) and ids of reservations. */
  readonly newId: () => string;
  /** How long leases should last at the recent rate of spending. */
  readonly horizonMs: number;
  /** A budget that was not used for so long is idle: its leases go back. */
  readonly idleMs: number;
  /** Whether a small lease is wished for on idle budgets, so that a holder that is cut off can serve. */
  readonly wantsStandby: boolean;
}

export interface ExpectedBudget {
  readonly budgetId: string;
  /** As people name it, for refusals. */
  readonly title: string;
}

export interface Reservation {
  readonly id: string;
  /** Of each lease. */
  readonly tokens: number;
  /** One of each budget; usage names them. Empty: no budget asked for any. */
  readonly leaseIds: readonly string[];
}

export interface NoRoom {
  readonly refused: 'no-budget';
  readonly budgetId: string;
  /** One sentence, for whoever is refused. */
  readonly reason: string;
  readonly retryAfterSeconds: number;
  /** The centre was not asked for it yet, or has not answered: a moment later there may be room. */
  readonly mayHaveMore: boolean;
}

export interface LeaseStanding extends ExpectedBudget {
  readonly leases: number;
  readonly leftTokens: number;
  readonly spentTokens: number;
  /** Null: there is no lease that can be spent from. */
  readonly expiresInSeconds: number | null;
  /** What the centre last said no with; null: it did not. */
  readonly refusal: string | null;
}

export interface HeldLease {
  readonly leaseId: string;
  readonly budgetId: string;
  grantedTokens: number;
  /** Settled; may exceed what was granted. */
  spentTokens: number;
  reservedTokens: number;
  startsAtMs: number;
  expiresAtMs: number;
  renewAtMs: number;
  endsWithPeriod: boolean;
  /** Held though its budget was idle: it does not go back for that. */
  isStandby: boolean;
  /** It is being given back: nothing is spent from it any more. */
  isReturning: boolean;
  /** The centre does not count it any more; it goes once nothing of it is reserved. */
  isEnded: boolean;
}

interface BudgetState {
  readonly budgetId: string;
  title: string;
  /** False: no key here is charged to it any more. */
  isExpected: boolean;
  readonly rate: RecentRate;
  /** The largest request that found no room since the last grant. */
  unmetTokens: number;
  pending: { now: LeaseWish | null; ahead: LeaseWish | null };
  refusal: { readonly reason: string; readonly untilMs: number } | null;
  leftAtGrant: number;
  quietUntilMs: number;
  aheadQuietUntilMs: number;
  standbyQuietUntilMs: number;
  /** When somebody last wanted to spend from it; null: nobody did yet. */
  usedAtMs: number | null;
}

export class LeaseBook {
  private readonly budgets = new Map<string, BudgetState>();
  private readonly leases = new Map<string, HeldLease>();
  private readonly byBudget = new Map<string, HeldLease[]>();
  private readonly reservations = new Map<string, Reservation>();

  constructor(private readonly options: LeaseBookOptions) {}

  /** A book as it was `elapsedMs` before `nowMs`. What was reserved then still is: settle each of `open()`. */
  static restore(snapshot: LeaseBookSnapshot, elapsedMs: number, nowMs: number, options: LeaseBookOptions): LeaseBook {
    const book = new LeaseBook(options);
    for (const { budgetId, title, pendingNow, pendingAhead, usedAgoMs } of snapshot.budgets) {
      const state = book.stateOf(budgetId, nowMs, title);
      state.pending = { now: pendingNow, ahead: pendingAhead };
      state.usedAtMs = usedAgoMs === undefined ? null : nowMs - elapsedMs - usedAgoMs;
    }
    for (const { startsInMs, expiresInMs, renewInMs, ...lease } of snapshot.leases) {
      const at = (inMs: number) => nowMs + inMs - elapsedMs;
      const times = { startsAtMs: at(startsInMs), expiresAtMs: at(expiresInMs), renewAtMs: at(renewInMs) };
      book.keep({ ...lease, ...times });
    }
    for (const reservation of snapshot.reservations) book.reservations.set(reservation.id, reservation);
    return book;
  }

  /** The budgets that keys here are charged to. Leases on others are given back; a new title means a changed budget. */
  expect(budgets: readonly ExpectedBudget[], nowMs: number): void {
    const expected = new Set(budgets.map(({ budgetId }) => budgetId));
    for (const state of this.budgets.values()) state.isExpected = expected.has(state.budgetId);
    for (const { budgetId, title } of budgets) {
      const state = this.stateOf(budgetId, nowMs, title);
      if (state.title !== title) this.hearAnew(state);
      state.title = title;
    }
    for (const { budgetId, isExpected, pending } of [...this.budgets.values()]) {
      const isUsed = isExpected || pending.now !== null || pending.ahead !== null || this.of(budgetId).length > 0;
      if (!isUsed) this.budgets.delete(budgetId);
    }
  }

  /**
   * Room for the estimate in a lease of each budget, or in none of them. A budget that is named twice counts once.
   *
   * @param estimateTokens prompt and answer together; at least 1 is reserved
   */
  reserve(budgetIds: readonly string[], estimateTokens: number, nowMs: number): Reservation | NoRoom {
    const tokens = Math.max(1, Math.ceil(estimateTokens));
    const found: HeldLease[] = [];
    let refusal: NoRoom | null = null;
    for (const budgetId of new Set(budgetIds)) {
      this.stateOf(budgetId, nowMs, 'its budget').usedAtMs = nowMs;
      const lease = this.usable(budgetId, nowMs).find((each) => leftOf(each) >= tokens);
      if (lease !== undefined) found.push(lease);
      else refusal ??= this.refuse(budgetId, tokens, nowMs);
    }
    if (refusal !== null) return refusal;
    for (const lease of found) lease.reservedTokens += tokens;
    const leaseIds = found.map(({ leaseId }) => leaseId);
    const reservation = { id: this.options.newId(), tokens, leaseIds };
    this.reservations.set(reservation.id, reservation);
    return reservation;
  }

  /** What it came to. A second time it changes nothing. @returns whether this was the first time */
  settle({ id }: Pick<Reservation, 'id'>, actualTokens: number, nowMs: number): boolean {
    const reservation = this.reservations.get(id);
    if (reservation === undefined) return false;
    this.reservations.delete(id);
    for (const leaseId of reservation.leaseIds) {
      const lease = this.leases.get(leaseId);
      if (lease !== undefined) lease.reservedTokens -= reservation.tokens;
    }
    this.spend(reservation.leaseIds, actualTokens, nowMs);
    return true;
  }

  /** Spent without a reservation: what a journal knows and a restored book does not. */
  spend(leaseIds: readonly string[], tokens: number, nowMs: number): void {
    for (const leaseId of leaseIds) {
      const lease = this.leases.get(leaseId);
      if (lease === undefined) continue;
      lease.spentTokens += tokens;
      const state = this.budgets.get(lease.budgetId);
      state?.rate.add(tokens, nowMs);
      if (state !== undefined && tokens > 0) state.usedAtMs = Math.max(state.usedAtMs ?? nowMs, nowMs);
      if (lease.isEnded && lease.reservedTokens === 0) this.forget(lease);
    }
  }

  /** Reservations that nobody settled yet. */
  open(): readonly Reservation[] {
    return [...this.reservations.values()];
  }

  /**
   * What to ask the centre for now; null: nothing. Ask again with what this gives until an answer comes: wishes that were
   * not answered keep their ids.
   */
  wishes(nowMs: number): { wishes: LeaseWish[]; returns: LeaseReturn[] } | null {
    const returns = this.returns(nowMs);
    const wishes: LeaseWish[] = [];
    for (const state of this.budgets.values()) {
      if (wishes.length > WISHES_MAX - 2) break;
      state.pending.now ??= state.isExpected ? this.wishNow(state, nowMs) : null;
      state.pending.ahead ??= state.isExpected ? this.wishAhead(state, nowMs) : null;
      wishes.push(...[state.pending.now, state.pending.ahead].filter((wish) => wish !== null));
    }
    return wishes.length + returns.length === 0 ? null : { wishes, returns };
  }

  /** @param askedAtMs when the request was sent: leases live from then on, so that they end here before they do there */
  granted({ grants, refusals, ended }: LeaseAnswer, askedAtMs: number): void {
    // A refusal beside a grant says why there was not more, so it comes last.
    for (const grant of grants) this.takeGrant(grant, askedAtMs, new Set(refusals.map(({ requestId }) => requestId)));
    for (const refusal of refusals) this.takeRefusal(refusal, askedAtMs);
    for (const leaseId of ended) {
      const lease = this.leases.get(leaseId);
      if (lease === undefined) continue;
      if (lease.reservedTokens === 0) this.forget(lease);
      else Object.assign(lease, { isEnded: true, isReturning: true });
    }
  }

  /** From now on everything is given back, as far as nothing is reserved. For the end of a process. */
  close(): void {
    for (const state of this.budgets.values()) state.isExpected = false;
  }

  standing(nowMs: number): LeaseStanding[] {
    return [...this.budgets.values()].map(({ budgetId, title, refusal }) => {
      const usable = this.usable(budgetId, nowMs);
      const ends = usable.map(({ expiresAtMs }) => expiresAtMs);
      return {
        ...{ budgetId, title, leases: this.of(budgetId).length },
        leftTokens: sum(usable.map(leftOf)),
        spentTokens: sum(this.of(budgetId).map(({ spentTokens }) => spentTokens)),
        expiresInSeconds: ends.length === 0 ? null : Math.floor((Math.max(...ends) - nowMs) / 1_000),
        refusal: refusal?.reason ?? null,
      };
    });
  }

  snapshot(nowMs: number): LeaseBookSnapshot {
    return {
      version: 1,
      leases: [...this.leases.values()].map(({ startsAtMs, expiresAtMs, renewAtMs, ...lease }) => ({
        ...lease,
        startsInMs: startsAtMs - nowMs,
        expiresInMs: expiresAtMs - nowMs,
        renewInMs: renewAtMs - nowMs,
      })),
      reservations: this.open().map((each) => ({ ...each, leaseIds: [...each.leaseIds] })),
      budgets: [...this.budgets.values()].map(({ budgetId, title, pending, usedAtMs }) => ({
        ...{ budgetId, title, pendingNow: pending.now, pendingAhead: pending.ahead },
        ...(usedAtMs === null ? {} : { usedAgoMs: nowMs - usedAtMs }),
      })),
    };
  }

  private returns(nowMs: number): LeaseReturn[] {
    const due = [...this.leases.values()].filter((lease) => {
      const state = this.budgets.get(lease.budgetId);
      const isOver = lease.expiresAtMs <= nowMs || state?.isExpected !== true;
      const isUnused = !lease.isStandby && state !== undefined && this.isIdle(state, nowMs);
      return (isOver || isUnused || lease.isReturning) && lease.reservedTokens === 0;
    });
    return due.slice(0, WISHES_MAX).map((lease) => {
      lease.isReturning = true;
      return { leaseId: lease.leaseId, spentTokens: lease.spentTokens };
    });
  }

  /** More tokens from half of what is wanted on, a later end after a part of the life, a first lease at its first use. */
  private wishNow(state: BudgetState, nowMs: number): LeaseWish | null {
    const usable = this.usable(state.budgetId, nowMs);
    const main = usable.at(-1);
    const isIdle = this.isIdle(state, nowMs);
    if (isIdle && main === undefined) return this.wishStandby(state, nowMs);
    const missing = isIdle ? 0 : this.missingTokens(state, nowMs);
    if (main === undefined) return missing > 0 ? this.wish(state, null, missing) : null;
    if (missing > 0) return this.wish(state, main.leaseId, missing);
    return !main.endsWithPeriod && nowMs >= main.renewAtMs ? this.wish(state, main.leaseId, 0) : null;
  }

  private wishStandby(state: BudgetState, nowMs: number): LeaseWish | null {
    if (!this.options.wantsStandby || nowMs < state.standbyQuietUntilMs) return null;
    return { ...this.wish(state, null, LEASE_TOKENS_MIN), standby: true };
  }

  /** 0: there is more than half of what is wanted, or it is not the time to ask. */
  private missingTokens(state: BudgetState, nowMs: number): number {
    const left = sum(this.usable(state.budgetId, nowMs).map(leftOf));
    const target = this.targetTokens(state, nowMs);
    const isQuiet = nowMs < state.quietUntilMs && (state.refusal !== null || left * 2 >= state.leftAtGrant);
    return left * 2 < target && !isQuiet ? target - left : 0;
  }

  private isIdle({ usedAtMs, budgetId }: BudgetState, nowMs: number): boolean {
    if (this.of(budgetId).some(({ reservedTokens }) => reservedTokens > 0)) return false;
    return usedAtMs === null || nowMs - usedAtMs >= this.options.idleMs;
  }

  /** A lease that its period ends is followed by one on the next period. */
  private wishAhead(state: BudgetState, nowMs: number): LeaseWish | null {
    const isCut = this.usable(state.budgetId, nowMs).at(-1)?.endsWithPeriod === true;
    const hasNext = this.of(state.budgetId).some(({ startsAtMs }) => startsAtMs > nowMs);
    if (!isCut || hasNext || nowMs < state.aheadQuietUntilMs) return null;
    if (!this.isIdle(state, nowMs)) return { ...this.wish(state, null, this.targetTokens(state, nowMs)), ahead: true };
    return this.options.wantsStandby
      ? { ...this.wish(state, null, LEASE_TOKENS_MIN), ahead: true, standby: true }
      : null;
  }

  private wish({ budgetId }: BudgetState, leaseId: string | null, tokens: number): LeaseWish {
    return { requestId: this.options.newId(), budgetId, leaseId, tokens };
  }

  /** At the recent rate, with room for what was refused; while a refused one waits, for as much again as runs now. */
  private targetTokens({ budgetId, rate, unmetTokens }: BudgetState, nowMs: number): number {
    const horizon = Math.ceil(rate.perMs(nowMs) * this.options.horizonMs);
    const running = unmetTokens === 0 ? 0 : sum(this.of(budgetId).map(({ reservedTokens }) => reservedTokens));
    return Math.min(Number.MAX_SAFE_INTEGER, Math.max(LEASE_TOKENS_MIN, horizon + unmetTokens + running));
  }

  private takeGrant(grant: LeaseGrant, askedAtMs: number, refused: ReadonlySet<string>): void {
    const { requestId, leaseId, budgetId, grantedTokens, expiresInSeconds, startsInSeconds, endsWithPeriod } = grant;
    const state = this.budgets.get(budgetId);
    const asked = [state?.pending.now, state?.pending.ahead].find((wish) => wish?.requestId === requestId);
    if (state === undefined || asked == null) return; // an answer to nothing that was asked gives nothing
    const before = this.leases.get(leaseId);
    const expiresAtMs = Math.max(askedAtMs + expiresInSeconds * 1_000, before?.expiresAtMs ?? 0);
    const startsAtMs = before?.startsAtMs ?? askedAtMs + (startsInSeconds ?? 0) * 1_000;
    // One that was given back and forgotten here is given back again.
    const isReturning = before?.isReturning ?? asked.leaseId === leaseId;
    this.keep({
      ...{ leaseId, budgetId, grantedTokens, spentTokens: before?.spentTokens ?? 0 },
      ...{ reservedTokens: before?.reservedTokens ?? 0, startsAtMs, expiresAtMs },
      renewAtMs: renewAtMs(Math.max(askedAtMs, startsAtMs), expiresAtMs),
      isStandby: asked.standby ?? (asked.tokens === 0 && before?.isStandby === true),
      ...{ endsWithPeriod: endsWithPeriod ?? false, isReturning, isEnded: before?.isEnded ?? false },
    });
    const more = grantedTokens - (before?.grantedTokens ?? 0);
    if (more < asked.tokens) state.quietUntilMs = askedAtMs + ASK_AGAIN_MS;
    if (state.pending.ahead?.requestId === requestId) state.pending.ahead = null;
    else this.settleWish(state, asked, askedAtMs, refused);
  }

  private settleWish(state: BudgetState, asked: LeaseWish, askedAtMs: number, refused: ReadonlySet<string>): void {
    state.pending.now = refused.has(asked.requestId) ? asked : null; // its refusal is read next
    state.refusal = null;
    if (asked.tokens > 0 && asked.standby !== true) state.unmetTokens = 0;
    state.leftAtGrant = sum(this.usable(state.budgetId, askedAtMs).map(leftOf));
  }

  private takeRefusal({ requestId, budgetId, reason, retryAfterSeconds }: LeaseRefusal, askedAtMs: number): void {
    const state = this.budgets.get(budgetId);
    const untilMs = askedAtMs + retryAfterSeconds * 1_000;
    if (state?.pending.ahead?.requestId === requestId) {
      state.pending.ahead = null;
      state.aheadQuietUntilMs = untilMs;
    } else if (state?.pending.now?.requestId === requestId) {
      const { standby } = state.pending.now;
      state.pending.now = null;
      if (standby === true) {
        state.standbyQuietUntilMs = untilMs;
        return;
      }
      state.refusal = { reason, untilMs };
      state.quietUntilMs = untilMs;
      state.unmetTokens = 0;
    }
  }

  private refuse(budgetId: string, estimateTokens: number, nowMs: number): NoRoom {
    const state = this.stateOf(budgetId, nowMs, 'its budget');
    state.unmetTokens = Math.max(state.unmetTokens, estimateTokens);
    const left = sum(this.usable(budgetId, nowMs).map(leftOf));
    const short = `${state.title}: ${left} tokens are left here, and this request may need ${estimateTokens}`;
    const { refusal } = state;
    const isRefused = refusal !== null && refusal.untilMs > nowMs;
    return {
      ...{ refused: 'no-budget', budgetId, reason: isRefused ? `${short}; ${refusal.reason}` : short },
      retryAfterSeconds: isRefused ? Math.ceil((refusal.untilMs - nowMs) / 1_000) : RETRY_SOON_SECONDS,
      mayHaveMore: state.isExpected && (state.pending.now !== null || this.missingTokens(state, nowMs) > 0),
    };
  }

  /** Those that can be spent from now, the one that ends first in front. */
  private usable(budgetId: string, nowMs: number): HeldLease[] {
    return this.of(budgetId)
      .filter((lease) => !lease.isReturning && lease.startsAtMs <= nowMs && nowMs < lease.expiresAtMs)
      .sort((left, right) => left.expiresAtMs - right.expiresAtMs);
  }

  private of(budgetId: string): readonly HeldLease[] {
    return this.byBudget.get(budgetId) ?? [];
  }

  private keep(lease: HeldLease): void {
    const others = this.of(lease.budgetId).filter(({ leaseId }) => leaseId !== lease.leaseId);
    this.leases.set(lease.leaseId, lease);
    this.byBudget.set(lease.budgetId, [...others, lease]);
  }

  private forget({ leaseId, budgetId }: HeldLease): void {
    const others = this.of(budgetId).filter((lease) => lease.leaseId !== leaseId);
    this.leases.delete(leaseId);
    if (others.length > 0) this.byBudget.set(budgetId, others);
    else this.byBudget.delete(budgetId);
  }

  private hearAnew(state: BudgetState): void {
    state.refusal = null;
    state.quietUntilMs = 0;
    state.aheadQuietUntilMs = 0;
    state.standbyQuietUntilMs = 0;
  }

  private stateOf(budgetId: string, nowMs: number, title: string): BudgetState {
    const known = this.budgets.get(budgetId);
    if (known !== undefined) return known;
    const made: BudgetState = {
      ...{ budgetId, title, isExpected: true, unmetTokens: 0, pending: { now: null, ahead: null }, refusal: null },
      ...{ leftAtGrant: 0, quietUntilMs: 0, aheadQuietUntilMs: 0, standbyQuietUntilMs: 0, usedAtMs: null },
      rate: new RecentRate(this.options.horizonMs * HALF_LIFE_SHARE, nowMs),
    };
    this.budgets.set(budgetId, made);
    return made;
  }
}

function renewAtMs(fromMs: number, expiresAtMs: number): number {
  return fromMs + Math.max(ASK_AGAIN_MS, RENEW_AFTER_SHARE * (expiresAtMs - fromMs));
}

function leftOf({ grantedTokens, spentTokens, reservedTokens }: HeldLease): number {
  return Math.max(0, grantedTokens - spentTokens - reservedTokens);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
