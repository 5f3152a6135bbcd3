import { describe, expect, it } from '@jest/globals';
import type { Budget, Lease } from './budgets.ts';
import { chargeUsage, type ToldUsage, type UsageLedger } from './token-usage.ts';

const NOW = Date.parse('2026-11-30T10:00:00Z');
const DAY_MS = 86_400_000;
const budget = (id: string, change: Partial<Budget> = {}): Budget => ({
  ...{ id, tenantId: 't', name: id, keyPublicId: null, limitTokens: 100_000, period: 'day' },
  ...{ createdAt: new Date(0), revision: 1, ...change },
});
const lease = (id: string, budgetId: string, change: Partial<Lease> = {}): Lease => ({
  ...{ id, budgetId, holder: { kind: 'cluster', id: 'c' }, periodKey: '2026-11-29', grantedTokens: 1_000 },
  ...{ spentTokens: 0, phase: 'Active', grantedAt: new Date(0), expiresAt: new Date(NOW), isReturned: false },
  ...change,
});
/** 150 tokens. */
const told = (leaseIds: string[], change: Partial<ToldUsage> = {}): ToldUsage => ({
  ...{ tenantId: 't', keyPublicId: 'k', deploymentId: 'd', servedModel: 'm', versionDigest: 'v', leaseIds },
  ...{ requests: 1, promptTokens: 100, completionTokens: 50, estimatedRequests: 0, ...change },
});
const ledgerOf = (change: Partial<UsageLedger> = {}): UsageLedger => ({
  budgets: [budget('all'), budget('key', { keyPublicId: 'k', period: 'total' })],
  leases: [lease('of-all', 'all'), lease('of-key', 'key', { periodKey: 'total' })],
  tenantOfKey: new Map([
    ['k', 't'],
    ['k2', 't'],
    ['theirs', 'u'],
  ]),
  tenantsServed: new Set(['t']),
  ...change,
});

interface Case {
  readonly name: string;
  readonly entries: ToldUsage[];
  readonly ledger?: Partial<UsageLedger>;
  /** `<budget> <period>: <spent>`, with what of it is overdraft where there is any. */
  readonly accounts: string[];
  /** `<lease>: <spent>`, and its phase where it is over. */
  readonly leases?: string[];
}

const cases: Case[] = [
  {
    name: 'it counts on each of its leases, and for their periods',
    entries: [told(['of-all', 'of-key'])],
    accounts: ['all 2026-11-29: 150', 'key total: 150'],
    leases: ['of-all: 150', 'of-key: 150'],
  },
  {
    name: 'entries on one lease add up',
    entries: [told(['of-all']), told(['of-all'], { servedModel: 'other' })],
    accounts: ['all 2026-11-29: 300'],
    leases: ['of-all: 300'],
  },
  {
    name: 'a lease that is named twice counts once',
    entries: [told(['of-all', 'of-all'])],
    accounts: ['all 2026-11-29: 150'],
    leases: ['of-all: 150'],
  },
  {
    name: 'what is beyond a lease is overdraft, once',
    entries: [told(['of-all'], { promptTokens: 1_200 }), told(['of-all'])],
    accounts: ['all 2026-11-29: 1400 (400)'],
    leases: ['of-all: 1400'],
  },
  {
    name: 'of a lease that ended all of it is overdraft',
    entries: [told(['of-all'])],
    ledger: { leases: [lease('of-all', 'all', { phase: 'Ended', grantedTokens: 0 })] },
    accounts: ['all 2026-11-29: 150 (150)'],
    leases: ['of-all: 150 Ended'],
  },
  {
    name: 'one that expired ends with what was not told of it yet',
    entries: [told(['of-all'])],
    ledger: { leases: [lease('of-all', 'all', { phase: 'Expired', grantedTokens: 150 })] },
    accounts: ['all 2026-11-29: 150'],
    leases: ['of-all: 150 Ended'],
  },
  {
    name: 'an unknown lease: the present period of what no known one covers',
    entries: [told(['of-all', 'gone'])],
    accounts: ['all 2026-11-29: 150', 'key total: 150 (150)'],
    leases: ['of-all: 150'],
  },
  {
    name: 'no known lease: every budget of the key, and of no other key',
    entries: [told(['gone'], { keyPublicId: 'k2' })],
    accounts: ['all 2026-11-30: 150 (150)'],
  },
  {
    name: 'S5: a lease on a budget of another tenant is unknown',
    entries: [told(['foreign'])],
    ledger: { budgets: [budget('theirs', { tenantId: 'u' })], leases: [lease('foreign', 'theirs')] },
    accounts: [],
  },
  {
    name: 'R20: a key that was forgotten with its leases: the budgets of its tenant',
    entries: [told(['gone'], { keyPublicId: 'made-since' })],
    accounts: ['all 2026-11-30: 150 (150)'],
  },
  { name: 'without leases nothing asked for any', entries: [told([])], accounts: [] },
];

describe('what told usage does to budgets', () => {
  it.each(cases)('$name', ({ entries, ledger, accounts, leases = [] }) => {
    const charges = chargeUsage(entries, ledgerOf(ledger), { atMs: NOW, nowMs: NOW });
    const ofAccounts = charges.accounts.map(({ budgetId, periodKey, spentTokens, overdraftTokens }) => {
      return `${budgetId} ${periodKey}: ${spentTokens}${overdraftTokens === 0 ? '' : ` (${overdraftTokens})`}`;
    });
    const ofLeases = charges.leases.map(({ id, spentTokens, phase }) => {
      return `${id}: ${spentTokens}${phase === 'Active' ? '' : ` ${phase}`}`;
    });
    expect({ accounts: ofAccounts, leases: ofLeases }).toEqual({ accounts, leases });
    expect([charges.usage.length, charges.refused]).toEqual([entries.length, []]);
  });

  it.each<[string, Partial<ToldUsage>]>([
    ['a key of another tenant', { keyPublicId: 'theirs' }],
    ['a tenant that nobody knows', { tenantId: 'forgotten', keyPublicId: 'made-since' }],
    ['a tenant that is not served there', { tenantId: 'u', keyPublicId: 'theirs' }],
  ])('S5: nothing is counted of %s', (_case, change) => {
    const entry = told(['of-all'], change);
    const nothing = { leases: [], accounts: [], usage: [], refused: [entry] };
    expect(chargeUsage([entry], ledgerOf(), { atMs: NOW, nowMs: NOW })).toEqual(nothing);
  });

  it.each<[string, number, string]>([
    ['the day before', NOW - DAY_MS, '2026-11-29'],
    ['59 days ago', NOW - 59 * DAY_MS, '2026-10-02'],
    ['R22: too long ago', NOW - 60 * DAY_MS, '2026-11-30'],
    ['R22: tomorrow, by a clock that is ahead', NOW + DAY_MS - 1, '2026-12-01'],
    ['R22: further ahead than any clock may be', NOW + DAY_MS, '2026-11-30'],
  ])('%s', (_case, atMs, day) => {
    expect(chargeUsage([told([])], ledgerOf(), { atMs, nowMs: NOW }).usage.map((each) => each.day)).toEqual([day]);
  });
});
