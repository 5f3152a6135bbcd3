/**
 * Many holders of one budget, of whom few spend: what idle ones hold must not be missing to those that do. Books and the
 * centre's rules are the production ones; the centre's rows are in memory.
 */
import { describe, expect, it } from '@jest/globals';
import { answerLeaseRequest, type Lease, type LeaseAnswer, type LeaseDemand, outTokens } from '#domain';
import { LeaseBook, type LeaseBookOptions } from './lease-book.ts';
import { leaseBookSnapshotSchema } from './lease-book-snapshot.ts';

const MINUTE = 60_000;
const START = Date.parse('2026-11-30T08:00:00Z');
const CLUSTER = { horizonMs: 24 * 60 * MINUTE, idleMs: 12 * 60 * MINUTE, wantsStandby: true };
const GATEWAY = { horizonMs: MINUTE, idleMs: MINUTE, wantsStandby: false };

let made = 0;
const newId = () => `id-${made++}`;

class Centre {
  readonly leases = new Map<string, Lease>();
  readonly answered = new Map<string, string>();
  private readonly held = new Map<string, number>();
  outTokens = 0;
  private readonly budget;

  constructor(limitTokens: number) {
    const named = { id: 'b', tenantId: 't', name: 'b', keyPublicId: null, period: 'total' as const };
    this.budget = { ...named, limitTokens, createdAt: new Date(START), revision: 1 };
  }

  answer(id: string, demand: LeaseDemand, nowMs: number): LeaseAnswer {
    const { budget, outTokens: out } = this;
    const account = { budget, periodKey: 'total', spentTokens: 0, overdraftTokens: 0, outTokens: out };
    const accounts = [{ ...account, heldTokens: this.held.get(id) ?? 0 }];
    const named = [...demand.returns, ...demand.wishes].flatMap(({ leaseId }) => this.leases.get(leaseId ?? '') ?? []);
    const ledger = { budgets: [budget], accounts, leases: named, answered: this.answered };
    const terms = { holder: { kind: 'cluster' as const, id }, nowMs: START + nowMs, lifetimeSeconds: 48 * 3_600 };
    const decision = answerLeaseRequest(demand, ledger, terms, newId);
    for (const lease of decision.written) {
      const before = this.leases.get(lease.id);
      const more = outTokens(lease) - (before === undefined ? 0 : outTokens(before));
      this.outTokens += more;
      this.held.set(id, (this.held.get(id) ?? 0) + more);
      this.leases.set(lease.id, lease);
    }
    return decision.answer;
  }
}

class Fleet {
  readonly books: readonly LeaseBook[];

  constructor(
    readonly centre: Centre,
    holders: number,
    options: Omit<LeaseBookOptions, 'newId'>,
  ) {
    this.books = Array.from({ length: holders }, () => new LeaseBook({ newId, ...options }));
    for (const book of this.books) book.expect([{ budgetId: 'b', title: 'budget "b"' }], 0);
  }

  ask(at: number, nowMs: number): void {
    const demand = this.books[at]!.wishes(nowMs);
    if (demand !== null) this.books[at]!.granted(this.centre.answer(`holder-${at}`, demand, nowMs), nowMs);
  }

  askAll(nowMs: number): void {
    for (const at of this.books.keys()) this.ask(at, nowMs);
  }

  /** Spends until it is refused although the centre was asked; gives how much that was. */
  spendAll(at: number, tokens: number, nowMs: number): number {
    const book = this.books[at]!;
    for (let spent = 0; ; spent += tokens) {
      let found = book.reserve(['b'], tokens, nowMs);
      for (let round = 0; round < 20 && 'refused' in found && found.mayHaveMore; round += 1) {
        this.ask(at, nowMs);
        found = book.reserve(['b'], tokens, nowMs);
      }
      if ('refused' in found) return spent;
      book.settle(found, tokens, nowMs);
    }
  }
}

interface Case {
  readonly name: string;
  readonly options: Omit<LeaseBookOptions, 'newId'>;
  readonly holders: number;
  readonly limit: number;
  /** What idle holders hold at most. */
  readonly wantHeldMax: number;
  /** What one busy holder can spend at least, by requests of 500 tokens. */
  readonly wantSpentMin: number;
}

const cases: Case[] = [
  {
    name: '1,000 clusters and a small budget: nearly all is for the one that is busy',
    ...{ options: CLUSTER, holders: 1_000, limit: 100_000, wantHeldMax: 4_000, wantSpentMin: 96_000 },
  },
  {
    name: '1,000 gateways: an idle one holds nothing',
    ...{ options: GATEWAY, holders: 1_000, limit: 100_000, wantHeldMax: 0, wantSpentMin: 100_000 },
  },
  {
    name: 'a budget below one lease is all for the first who asks',
    ...{ options: CLUSTER, holders: 100, limit: 2_000, wantHeldMax: 0, wantSpentMin: 2_000 },
  },
  {
    name: 'R4: a large budget has something for each idle cluster, in case that it is cut off',
    ...{ options: CLUSTER, holders: 10, limit: 1_000_000, wantHeldMax: 40_000, wantSpentMin: 960_000 },
  },
];

describe('holders that do not spend leave a budget to those that do', () => {
  it.each(cases)('$name', ({ options, holders, limit, wantHeldMax, wantSpentMin }) => {
    const fleet = new Fleet(new Centre(limit), holders, options);
    for (let minute = 0; minute < 3; minute += 1) fleet.askAll(minute * MINUTE);
    expect(fleet.centre.outTokens).toBe(wantHeldMax);
    expect(fleet.spendAll(holders - 1, 500, 3 * MINUTE)).toBeGreaterThanOrEqual(wantSpentMin);
  });

  it.each<[string, Omit<LeaseBookOptions, 'newId'>, number]>([
    ['a gateway', GATEWAY, 0],
    ['a cluster, but for its standby lease', CLUSTER, 4_000],
  ])('what was not used for a while goes back: %s', (_name, options, wantHeld) => {
    const fleet = new Fleet(new Centre(1_000_000), 1, options);
    const [book] = fleet.books as [LeaseBook];
    const large = book.reserve(['b'], 50_000, 0);
    expect(large).toMatchObject({ refused: 'no-budget', mayHaveMore: true });
    fleet.ask(0, 0);
    const reservation = book.reserve(['b'], 50_000, 0);
    if ('refused' in reservation) throw new Error(reservation.reason);
    // However long it runs, a request keeps what it reserved.
    fleet.ask(0, options.idleMs * 2);
    expect(book.standing(options.idleMs * 2)[0]!.leases).toBe(1);
    book.settle(reservation, 0, options.idleMs * 2);
    fleet.ask(0, options.idleMs * 2);
    fleet.ask(0, options.idleMs * 3);
    fleet.ask(0, options.idleMs * 3);
    expect(fleet.centre.outTokens).toBe(wantHeld);
  });

  it('whoever was refused a standby lease is not kept from a real one', () => {
    const fleet = new Fleet(new Centre(10_000), 1, CLUSTER);
    fleet.ask(0, 0);
    expect([fleet.centre.outTokens, fleet.books[0]!.wishes(1)]).toEqual([0, null]);
    expect(fleet.spendAll(0, 1_000, 1)).toBe(10_000);
  });

  it('many that come at once get room within few rounds', () => {
    const fleet = new Fleet(new Centre(10_000_000), 1, GATEWAY);
    const [book] = fleet.books as [LeaseBook];
    let waiting = 500;
    let rounds = 0;
    for (; waiting > 0 && rounds < 50; rounds += 1) {
      while (waiting > 0 && !('refused' in book.reserve(['b'], 1_034, 0))) waiting -= 1;
      if (waiting > 0) fleet.ask(0, 0);
    }
    expect({ waiting, isFew: rounds <= 12 }).toEqual({ waiting: 0, isFew: true });
  });

  it('a book of before there were idle budgets can be read, and one that was in use stays so', () => {
    const fleet = new Fleet(new Centre(1_000_000), 1, CLUSTER);
    fleet.spendAll(0, 1_000_000, 0);
    const snapshot = JSON.parse(JSON.stringify(fleet.books[0]!.snapshot(MINUTE)));
    expect(leaseBookSnapshotSchema.parse(snapshot)).toEqual(snapshot);
    expect(snapshot.budgets).toMatchObject([{ usedAgoMs: MINUTE }]);
    for (const lease of snapshot.leases) delete lease.isStandby;
    delete snapshot.budgets[0].usedAgoMs;
    expect(leaseBookSnapshotSchema.safeParse(snapshot)).toMatchObject({ success: true });
  });
});
