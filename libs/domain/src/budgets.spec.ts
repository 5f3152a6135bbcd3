import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type Budget,
  type BudgetAccount,
  type BudgetPeriod,
  budgetRaiseProblem,
  budgetTitle,
  emptyAccount,
  expireLease,
  grantableTokens,
  grantLease,
  LEASE_TOKENS_MIN,
  type Lease,
  outTokens,
  periodEndMs,
  periodKeyOf,
  renewLease,
  returnLease,
  settleLease,
  standingOf,
} from './budgets.ts';

const NOW = Date.parse('2026-11-30T13:00:00Z');
const HOUR = 3_600_000;
const HOLDER = { kind: 'cluster', id: 'c1' } as const;
const OTHER = { kind: 'gateway', id: 'g1' } as const;
const terms = { holder: HOLDER, nowMs: NOW, lifetimeSeconds: 48 * 3_600 };

function aBudget(change: Partial<Budget> = {}): Budget {
  return {
    ...{ id: 'b1', tenantId: 't1', name: 'chat', keyPublicId: null, limitTokens: 100_000, period: 'total' },
    ...{ createdAt: new Date(NOW), revision: 1, ...change },
  } as Budget;
}

function aLease(change: Partial<Lease> = {}): Lease {
  return {
    ...{ id: 'l1', budgetId: 'b1', holder: HOLDER, periodKey: 'total', grantedTokens: 10_000, spentTokens: 0 },
    ...{ phase: 'Active', grantedAt: new Date(NOW), expiresAt: new Date(NOW + HOUR), isReturned: false, ...change },
  } as Lease;
}

function anAccount(change: Partial<BudgetAccount> = {}): BudgetAccount {
  return { ...emptyAccount(aBudget(), 'total'), ...change };
}

it.each<[BudgetPeriod, string, string, string | null]>([
  ['day', '2026-11-30T23:59:59.999Z', '2026-11-30', '2026-12-01T00:00:00.000Z'],
  ['day', '2028-02-29T00:00:00.000Z', '2028-02-29', '2028-03-01T00:00:00.000Z'],
  ['month', '2026-12-31T12:00:00.000Z', '2026-12', '2027-01-01T00:00:00.000Z'],
  ['total', '2026-12-31T12:00:00.000Z', 'total', null],
])('a period of a %s at %s is %s and ends at %s', (period, at, wantKey, wantEnd) => {
  const end = periodEndMs(period, Date.parse(at));
  expect([periodKeyOf(period, Date.parse(at)), end && new Date(end).toISOString()]).toEqual([wantKey, wantEnd]);
});

it.each([
  ['what it asks for', { wish: 10_000, free: 100_000, held: 0 }, 10_000],
  ['a minimal lease when it asks for less', { wish: 1, free: 100_000, held: 0 }, LEASE_TOKENS_MIN],
  ['half of what is free at most', { wish: 90_000, free: 100_000, held: 0 }, 50_000],
  ['no more than is left to others, with what it holds', { wish: 90_000, free: 100_000, held: 60_000 }, 20_000],
  ['a minimal lease although it holds most', { wish: 90_000, free: 10_000, held: 90_000 }, LEASE_TOKENS_MIN],
  ['all of it when little is left', { wish: 90_000, free: 300, held: 0 }, 300],
  ['nothing of nothing', { wish: 1, free: 0, held: 0 }, 0],
  ['nothing below nothing', { wish: 1, free: -5, held: 0 }, 0],
])('a wish gets %s', (_name, { wish, free, held }, want) => {
  expect(grantableTokens(wish, free, held)).toBe(want);
});

describe('a lease', () => {
  it('ends after its life, or with its period', () => {
    const end = (period: BudgetPeriod) => grantLease(anAccount({ budget: aBudget({ period }) }), 1, terms, 'x');
    const ends = (['total', 'day', 'month'] as const).map((period) => end(period).lease?.expiresAt.toISOString());
    expect(ends).toEqual(['2026-12-02T13:00:00.000Z', '2026-12-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z']);
  });

  it('ahead of its period lives from its beginning on', () => {
    const startsMs = Date.parse('2026-12-01T00:00:00Z');
    const next = anAccount({ budget: aBudget({ period: 'day' }), periodKey: '2026-12-01' });
    const { lease } = grantLease(next, 1, terms, 'x', startsMs);
    expect(lease).toMatchObject({ periodKey: '2026-12-01', expiresAt: new Date('2026-12-02T00:00:00Z') });
  });

  it('is refused with what is spent, what is out, and when to ask again', () => {
    const spent = anAccount({ budget: aBudget({ period: 'day' }), periodKey: '2026-11-30', spentTokens: 100_000 });
    const out = anAccount({ spentTokens: 40_000, outTokens: 60_000 });
    expect([spent, out].map((account) => grantLease(account, 1, terms, 'x'))).toEqual([
      {
        lease: null,
        refusal: {
          reason: 'budget "chat" of 100,000 tokens a day is spent: 100,000 spent, 0 out on leases',
          retryAfterSeconds: 600,
        },
      },
      {
        lease: null,
        refusal: {
          reason: 'budget "chat" of 100,000 tokens in all has nothing free: 40,000 spent, 60,000 out on leases',
          retryAfterSeconds: 30,
        },
      },
    ]);
  });

  it('lives on when nothing is free, and says so', () => {
    const lease = aLease({ grantedTokens: 100_000 });
    const { lease: renewed, refusal } = renewLease(anAccount({ outTokens: 100_000 }), lease, 500, terms);
    expect(renewed).toMatchObject({ grantedTokens: 100_000, expiresAt: new Date(NOW + 48 * HOUR) });
    expect(refusal?.reason).toMatch(/nothing free/);
  });

  it('lives again when its holder is back and has not returned it', () => {
    const lease = expireLease(aLease({ expiresAt: new Date(NOW) }), NOW);
    expect(lease.phase).toBe('Expired');
    expect(renewLease(anAccount({ outTokens: 10_000 }), lease, 0, terms).lease).toMatchObject({ phase: 'Active' });
  });

  it('that expired stays out until it is told', () => {
    const expired = expireLease(aLease({ spentTokens: 2_000 }), NOW + HOUR);
    const account = anAccount({ spentTokens: 2_000, outTokens: outTokens(expired) });
    expect(standingOf(account)).toEqual({ spentTokens: 2_000, outTokens: 8_000, freeTokens: 90_000 });
    const told = settleLease(expired, 8_000);
    expect(told).toMatchObject({ overdraftTokens: 0, lease: { phase: 'Ended', spentTokens: 10_000 } });
  });

  it('that is returned is free but for what is not told yet', () => {
    const returned = returnLease(aLease({ spentTokens: 2_000 }), 5_000);
    expect(returned).toMatchObject({ phase: 'Expired', grantedTokens: 5_000, isReturned: true });
    expect(settleLease(returned, 3_000).lease.phase).toBe('Ended');
    expect(returnLease(aLease({ spentTokens: 5_000 }), 5_000).phase).toBe('Ended');
  });

  it('never returns more than it was, nor less than it told', () => {
    expect(returnLease(aLease(), 99_000).grantedTokens).toBe(10_000);
    expect(returnLease(aLease({ spentTokens: 700 }), 0)).toMatchObject({ grantedTokens: 700, phase: 'Ended' });
    const ended = returnLease(aLease({ spentTokens: 700 }), 700);
    expect(returnLease(ended, 0)).toEqual(ended);
  });

  it('counts what is beyond it as overdraft', () => {
    expect(settleLease(aLease({ spentTokens: 9_900 }), 350)).toMatchObject({
      overdraftTokens: 250,
      lease: { spentTokens: 10_250, phase: 'Active' },
    });
    expect(settleLease(aLease({ phase: 'Ended', grantedTokens: 500, spentTokens: 400 }), 50).overdraftTokens).toBe(50);
  });
});

it.each([
  ['a higher limit', 100_001, /raised/],
  ['the same limit', 100_000, null],
  ['a lower limit', 0, null],
  ['none', null, /gone/],
])('S4: %s is judged', (_name, limitTokens, want) => {
  const problem = budgetRaiseProblem(aBudget(), limitTokens);
  if (want === null) expect(problem).toBeNull();
  else expect(problem).toMatch(want);
});

it('a budget is named with its limit', () => {
  expect(budgetTitle(aBudget({ limitTokens: 1_234_567, period: 'month' }))).toBe(
    'budget "chat" of 1,234,567 tokens a month',
  );
});

const step = fc.oneof(
  fc.record({ do: fc.constant('grant' as const), holder: fc.constantFrom(HOLDER, OTHER), tokens: fc.nat(150_000) }),
  fc.record({ do: fc.constantFrom('renew', 'return', 'settle'), at: fc.nat(9), tokens: fc.nat(20_000) }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.nat(60 * HOUR) }),
);

/** What is out in all, and on leases of whoever acts. */
function outOf(leases: readonly Lease[], acting: object) {
  const holder = 'holder' in acting ? (acting.holder as Lease['holder']) : undefined;
  const sum = (some: readonly Lease[]) => some.reduce((total, lease) => total + outTokens(lease), 0);
  return { outTokens: sum(leases), heldTokens: sum(leases.filter((lease) => lease.holder.id === holder?.id)) };
}

it('invariant 8: spent + out never exceed limit + overdraft, whatever comes in whatever order', () => {
  const property = fc.property(fc.array(step, { maxLength: 60 }), fc.nat(200_000), (steps, limitTokens) => {
    const leases: Lease[] = [];
    let [nowMs, spentTokens, overdraftTokens] = [NOW, 0, 0];
    for (const each of steps) {
      const account = anAccount({
        budget: aBudget({ limitTokens }),
        spentTokens,
        overdraftTokens,
        ...outOf(leases, each),
      });
      const at = 'at' in each ? each.at % Math.max(1, leases.length) : 0;
      if (each.do === 'wait') {
        nowMs += each.ms;
        leases.splice(0, leases.length, ...leases.map((lease) => expireLease(lease, nowMs)));
      } else if (each.do === 'grant') {
        const { lease } = grantLease(
          account,
          each.tokens,
          { ...terms, holder: each.holder, nowMs },
          `${leases.length}`,
        );
        if (lease !== null) leases.push(lease);
      } else if (leases[at] !== undefined) {
        const lease = leases[at];
        const isRenewable = lease.phase !== 'Ended' && !lease.isReturned;
        const own = { ...terms, holder: lease.holder, nowMs };
        if (each.do === 'renew' && isRenewable) leases[at] = renewLease(account, lease, each.tokens, own).lease!;
        else if (each.do === 'return') leases[at] = returnLease(lease, each.tokens);
        else if (each.do === 'settle') {
          const settled = settleLease(lease, each.tokens);
          leases[at] = settled.lease;
          spentTokens += each.tokens;
          overdraftTokens += settled.overdraftTokens;
        }
      }
      const after = standingOf({ ...account, spentTokens, ...outOf(leases, each) });
      expect(after.spentTokens + after.outTokens).toBeLessThanOrEqual(limitTokens + overdraftTokens);
    }
  });
  fc.assert(property, { numRuns: 400 });
});
