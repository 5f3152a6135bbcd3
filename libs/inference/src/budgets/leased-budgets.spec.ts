/**
 * Holders and the centre together, on the production rules of both: books that reserve and settle, requests and answers
 * that come late, twice or never, holders that crash and come back, days that end. The centre is `answerLeaseRequest` on
 * rows in memory; that Postgres does the same, its integration specs show.
 */
import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  answerLeaseRequest,
  type Budget,
  type BudgetAccount,
  expireLease,
  type Lease,
  type LeaseAnswer,
  type LeaseDemand,
  outTokens,
  periodEndMs,
  periodKeyOf,
  settleLease,
  standingOf,
} from '#domain';
import { LeaseBook, type Reservation } from './lease-book.ts';

const START = Date.parse('2026-11-30T20:00:00Z');
const MINUTE = 60_000;
const BUDGETS: readonly Budget[] = [
  { limitTokens: 60_000, period: 'day' as const, id: 'day' },
  { limitTokens: 200_000, period: 'total' as const, id: 'total' },
].map((budget) => ({
  ...budget,
  ...{ tenantId: 't', name: budget.id, keyPublicId: null, createdAt: new Date(START), revision: 1 },
}));

class Centre {
  readonly leases = new Map<string, Lease>();
  readonly answered = new Map<string, string>();
  readonly accounts = new Map<string, { spentTokens: number; overdraftTokens: number }>();
  /** Requests that come after those that were sent later; nobody waits for the answers any more. */
  readonly late: { holderId: string; request: LeaseDemand }[] = [];
  private readonly inbox = new Set<string>();
  private made = 0;

  answer(holderId: string, request: LeaseDemand, nowMs: number): LeaseAnswer {
    const holder = { kind: 'cluster' as const, id: holderId };
    const leases = [...this.leases.values()].filter((lease) => lease.holder.id === holderId);
    const ledger = { budgets: BUDGETS, accounts: this.accountsAt(nowMs, holderId), leases, answered: this.answered };
    const terms = { holder, nowMs, lifetimeSeconds: 8 * 3_600 };
    const decision = answerLeaseRequest(request, ledger, terms, () => `lease-${this.made++}`);
    for (const lease of decision.written) this.leases.set(lease.id, lease);
    for (const { requestId, leaseId } of decision.answered) this.answered.set(requestId, leaseId);
    return decision.answer;
  }

  settle(messageId: string, leaseIds: readonly string[], tokens: number): void {
    if (this.inbox.has(messageId)) return;
    this.inbox.add(messageId);
    for (const leaseId of leaseIds) {
      const { lease, overdraftTokens } = settleLease(this.leases.get(leaseId)!, tokens);
      this.leases.set(leaseId, lease);
      const account = this.account(lease.budgetId, lease.periodKey);
      account.spentTokens += tokens;
      account.overdraftTokens += overdraftTokens;
    }
  }

  expire(nowMs: number): void {
    for (const [id, lease] of this.leases) this.leases.set(id, expireLease(lease, nowMs));
  }

  account(budgetId: string, periodKey: string) {
    const key = `${budgetId} ${periodKey}`;
    const known = this.accounts.get(key) ?? { spentTokens: 0, overdraftTokens: 0 };
    this.accounts.set(key, known);
    return known;
  }

  accountsAt(nowMs: number, holderId?: string): BudgetAccount[] {
    const out = (leases: readonly Lease[]) => leases.reduce((sum, lease) => sum + outTokens(lease), 0);
    return BUDGETS.flatMap((budget) => {
      const next = periodEndMs(budget.period, nowMs);
      const keys = [periodKeyOf(budget.period, nowMs), ...(next === null ? [] : [periodKeyOf(budget.period, next)])];
      return keys.map((periodKey) => {
        const leases = [...this.leases.values()].filter(
          (lease) => lease.budgetId === budget.id && lease.periodKey === periodKey,
        );
        const held = leases.filter(({ holder }) => holder.id === holderId);
        const known = this.account(budget.id, periodKey);
        return { budget, periodKey, ...known, outTokens: out(leases), heldTokens: out(held) };
      });
    });
  }
}

interface Usage {
  readonly id: string;
  readonly leaseIds: readonly string[];
  readonly tokens: number;
}

let made = 0;
const newId = () => `id-${made++}`;
const options = { newId, horizonMs: 60 * MINUTE, idleMs: 120 * MINUTE, wantsStandby: true };

class Holder {
  book = new LeaseBook(options);
  readonly running: Reservation[] = [];
  readonly outbox: Usage[] = [];
  private disk = this.book.snapshot(0);
  private savedMs = 0;

  constructor(readonly id: string) {
    this.expect(START);
  }

  expect(nowMs: number): void {
    this.book.expect(
      BUDGETS.map(({ id }) => ({ budgetId: id, title: id })),
      nowMs,
    );
  }

  finish(tokens: number, nowMs: number): number {
    const reservation = this.running.shift();
    if (reservation === undefined) return 0;
    this.book.settle(reservation, tokens, nowMs);
    this.outbox.push({ id: newId(), leaseIds: reservation.leaseIds, tokens });
    this.write(nowMs);
    return Math.max(0, tokens - reservation.tokens);
  }

  write(nowMs: number): void {
    this.disk = JSON.parse(JSON.stringify(this.book.snapshot(nowMs)));
    this.savedMs = nowMs;
  }

  /** What ran is settled as it was estimated: its end was not seen. */
  crash(nowMs: number): void {
    this.book = LeaseBook.restore(this.disk, nowMs - this.savedMs, nowMs, options);
    this.running.length = 0;
    for (const reservation of this.book.open()) {
      this.book.settle(reservation, reservation.tokens, nowMs);
      this.outbox.push({ id: newId(), leaseIds: reservation.leaseIds, tokens: reservation.tokens });
    }
    this.expect(nowMs);
    this.write(nowMs);
  }
}

const who = fc.nat(2);
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('reserve' as const), who, tokens: fc.integer({ min: 1, max: 6_000 }) }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('finish' as const), who, tokens: fc.nat(8_000) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('ask' as const),
      who,
      fate: fc.constantFrom('answered', 'answered', 'asked twice', 'answer lost', 'lost', 'late'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('tell' as const), who, times: fc.integer({ min: 1, max: 2 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), minutes: fc.nat(300) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), who }) },
);

function ask(centre: Centre, holder: Holder, fate: string, nowMs: number): void {
  const request = holder.book.wishes(nowMs);
  holder.write(nowMs);
  if (request === null || fate === 'lost') return;
  if (fate === 'late') {
    centre.late.push({ holderId: holder.id, request });
    return;
  }
  const answer = centre.answer(holder.id, request, nowMs);
  if (fate === 'asked twice') centre.answer(holder.id, request, nowMs);
  if (fate !== 'answer lost') holder.book.granted(answer, nowMs);
  holder.write(nowMs);
}

function tell(centre: Centre, { outbox }: Holder, times: number): void {
  for (let time = 0; time < times; time += 1)
    for (const { id, leaseIds, tokens } of outbox) centre.settle(id, leaseIds, tokens);
  outbox.length = 0;
}

it('R12, invariant 8: nobody overspends, and in the end all that was spent is known, exactly once', () => {
  const property = fc.property(fc.array(step, { minLength: 20, maxLength: 200 }), (steps) => {
    const centre = new Centre();
    const holders = [new Holder('a'), new Holder('b'), new Holder('c')];
    const spent = new Map<string, number>();
    let [nowMs, excess] = [START, 0];
    const finish = (holder: Holder, tokens: number) => {
      for (const leaseId of holder.running[0]?.leaseIds ?? []) spent.set(leaseId, (spent.get(leaseId) ?? 0) + tokens);
      excess += holder.finish(tokens, nowMs);
    };
    for (const each of steps) {
      const holder = holders['who' in each ? each.who : 0]!;
      if (each.do === 'wait') {
        nowMs += each.minutes * MINUTE;
        centre.expire(nowMs);
        for (const { holderId, request } of centre.late.splice(0)) centre.answer(holderId, request, nowMs);
      } else if (each.do === 'reserve') {
        const reserved = holder.book.reserve(['day', 'total'], each.tokens, nowMs);
        if (!('refused' in reserved)) {
          const periods = reserved.leaseIds.map((id) => centre.leases.get(id)!.periodKey);
          expect(periods).toEqual([periodKeyOf('day', nowMs), 'total']);
          holder.running.push(reserved);
          holder.write(nowMs);
        }
      } else if (each.do === 'finish') finish(holder, each.tokens);
      else if (each.do === 'ask') ask(centre, holder, each.fate, nowMs);
      else if (each.do === 'tell') tell(centre, holder, each.times);
      else {
        for (const { leaseIds, tokens } of holder.running) {
          for (const leaseId of leaseIds) spent.set(leaseId, (spent.get(leaseId) ?? 0) + tokens);
        }
        holder.crash(nowMs);
      }
      for (const account of centre.accountsAt(nowMs)) {
        const standing = standingOf(account);
        expect(standing.spentTokens + standing.outTokens).toBeLessThanOrEqual(
          account.budget.limitTokens + account.overdraftTokens,
        );
      }
    }
    // All ends, all is told, all is given back: what is known is what was, and nothing is out.
    for (const holder of holders) {
      while (holder.running.length > 0) finish(holder, 100);
      holder.book.close();
      for (let round = 0; round < 3; round += 1) ask(centre, holder, 'answered', nowMs);
      tell(centre, holder, 2);
    }
    expect([...centre.leases.values()].filter(({ phase }) => phase !== 'Ended')).toEqual([]);
    const perPeriod = new Map<string, number>();
    for (const [leaseId, tokens] of spent) {
      const { budgetId, periodKey } = centre.leases.get(leaseId)!;
      perPeriod.set(`${budgetId} ${periodKey}`, (perPeriod.get(`${budgetId} ${periodKey}`) ?? 0) + tokens);
    }
    for (const [key, { spentTokens, overdraftTokens }] of centre.accounts) {
      const limit = BUDGETS.find(({ id }) => key.startsWith(`${id} `))!.limitTokens;
      expect(spentTokens).toBe(perPeriod.get(key) ?? 0);
      expect(spentTokens).toBeLessThanOrEqual(limit + excess);
      expect(overdraftTokens).toBeLessThanOrEqual(excess);
    }
  });
  fc.assert(property, { numRuns: 300 });
});
