/** Grants, settlement and housekeeping of leases on real Postgres: who comes at once, twice, late, or is cut off. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { v7 } from 'uuid';
import {
  type Budget,
  chargeUsage,
  type LeaseAnswer,
  type LeaseDemand,
  type LeaseHolder,
  periodKeyOf,
  type ToldUsage,
} from '#domain';
import { LeaseBook } from '#inference';
import { migrate, openStore, type PostgresStore } from '#store';
import { createTestDatabase, type TestDatabase } from '#testing';
import { Leases } from '../../apps/control-plane/src/budgets/leases.ts';
import { aWish, insertBudget, insertKey, makeSite, type Site, usageOf } from './budgets.fixture.ts';
import { insertCluster } from './store.fixture.ts';

const HOUR_SECONDS = 3_600;
let database: TestDatabase;
let store: PostgresStore;
let leases: Leases;

beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url, poolSize: 10 });
  leases = new Leases(store, { clusterLeaseSeconds: 48 * HOUR_SECONDS } as never);
});
afterAll(async () => {
  await store?.close();
  await database?.drop();
});

const holderOf = (id: string): LeaseHolder => ({ kind: 'cluster', id });
const ask = async (clusterId: string, demand: Partial<LeaseDemand>): Promise<LeaseAnswer> =>
  (await leases.answer(holderOf(clusterId), { wishes: [], returns: [], ...demand }))!;
const standing = async (budget: Budget) => (await store.read.budgets.standings([budget]))[0]!;

async function tell(clusterId: string, entries: readonly ToldUsage[], atMs = Date.now()) {
  return store.transaction(async (rows) => {
    const { nowMs, ledger } = await rows.leases.usageLedger(holderOf(clusterId), entries);
    const charges = chargeUsage(entries, ledger, { atMs, nowMs });
    await rows.leases.charge(charges);
    return charges;
  });
}

/** As the intake of events does it: the inbox row and what is counted are one transaction. */
async function tellOnce(clusterId: string, messageId: string, entries: readonly ToldUsage[]): Promise<void> {
  await store.transaction(async (rows) => {
    if (!(await rows.inbox.accept(messageId, clusterId))) return;
    const { nowMs, ledger } = await rows.leases.usageLedger(holderOf(clusterId), entries);
    await rows.leases.charge(chargeUsage(entries, ledger, { atMs: nowMs, nowMs }));
  });
}

/** Runs a statement outside the library. */
async function sql(statement: string, parameters: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  const { rows } = await client.query(statement, parameters).finally(() => client.end());
  return rows;
}

describe('a grant', () => {
  let site: Site;
  let clusterId: string;
  beforeAll(async () => {
    site = await makeSite(store);
    clusterId = site.clusters[0]!.id;
  });

  it('is a lease for 48 hours that counts as out', async () => {
    const budget = await insertBudget(store, { tenantId: site.tenant.id });
    const wish = aWish(budget.id);
    const { grants, refusals, ended } = await ask(clusterId, { wishes: [wish] });
    const { requestId } = wish;
    expect(grants).toEqual([
      {
        ...{ requestId, budgetId: budget.id, leaseId: expect.any(String), grantedTokens: 10_000 },
        expiresInSeconds: 48 * HOUR_SECONDS,
      },
    ]);
    expect([refusals, ended]).toEqual([[], []]);
    expect(await standing(budget)).toEqual({
      ...{ budgetId: budget.id, periodKey: 'total', spentTokens: 0, overdraftTokens: 0 },
      ...{ outTokens: 10_000, freeTokens: 990_000 },
    });
    expect(await store.read.leases.ofBudget(budget.id, 10)).toMatchObject([
      { id: grants[0]!.leaseId, holder: holderOf(clusterId), phase: 'Active', isReturned: false },
    ]);
  });

  it('of a day ends with it, and one on the next day can be had ahead', async () => {
    const budget = await insertBudget(store, { tenantId: site.tenant.id, period: 'day' });
    const { grants } = await ask(clusterId, { wishes: [aWish(budget.id), aWish(budget.id, { ahead: true })] });
    const untilMidnight = (24 * 3_600_000 - (Date.now() % (24 * 3_600_000))) / 1_000;
    const [now, ahead] = grants;
    expect(now).toMatchObject({ endsWithPeriod: true });
    expect(now!.startsInSeconds).toBeUndefined();
    expect(Math.abs(now!.expiresInSeconds - untilMidnight)).toBeLessThan(60);
    expect(ahead!.expiresInSeconds - now!.expiresInSeconds).toBe(24 * HOUR_SECONDS);
    expect(ahead).toMatchObject({ endsWithPeriod: true });
    // Rounded so that it never begins before the first one ends.
    expect([0, 1]).toContain(ahead!.startsInSeconds! - now!.expiresInSeconds);
    expect(await standing(budget)).toMatchObject({ outTokens: 10_000 });
  });

  it('R1: is the same when it is asked for again, one after the other and at once', async () => {
    const budget = await insertBudget(store, { tenantId: site.tenant.id });
    const wish = aWish(budget.id);
    const first = await ask(clusterId, { wishes: [wish] });
    const again = await Promise.all(Array.from({ length: 6 }, () => ask(clusterId, { wishes: [wish] })));
    expect(new Set([first, ...again].map(({ grants }) => grants[0]!.leaseId)).size).toBe(1);
    const other = aWish(budget.id);
    const both = await Promise.all(Array.from({ length: 6 }, () => ask(clusterId, { wishes: [other] })));
    expect(new Set(both.map(({ grants }) => grants[0]!.leaseId)).size).toBe(1);
    expect(await standing(budget)).toMatchObject({ outTokens: 20_000 });
  });

  it('is renewed: more tokens, a later end, the same lease', async () => {
    const budget = await insertBudget(store, { tenantId: site.tenant.id });
    const { leaseId } = (await ask(clusterId, { wishes: [aWish(budget.id)] })).grants[0]!;
    await sql(`UPDATE budget_leases SET expires_at = now() + interval '1 hour' WHERE id = $1`, [leaseId]);
    const renewed = await ask(clusterId, { wishes: [aWish(budget.id, { leaseId, tokens: 5_000 })] });
    expect(renewed.grants).toMatchObject([{ leaseId, grantedTokens: 15_000, expiresInSeconds: 48 * HOUR_SECONDS }]);
    const longer = await ask(clusterId, { wishes: [aWish(budget.id, { leaseId, tokens: 0 })] });
    expect(longer.grants).toMatchObject([{ leaseId, grantedTokens: 15_000 }]);
  });

  it('is refused with the reason when nothing is free', async () => {
    const budget = await insertBudget(store, { tenantId: site.tenant.id, name: 'none', limitTokens: 0 });
    expect(await ask(clusterId, { wishes: [aWish(budget.id)] })).toMatchObject({
      grants: [],
      refusals: [
        {
          reason: 'budget "none" of 0 tokens in all is spent: 0 spent, 0 out on leases',
          retryAfterSeconds: 600,
        },
      ],
    });
  });

  it('S5: is not for a cluster where nothing of the tenant runs, nor of a budget that is not there', async () => {
    const budget = await insertBudget(store, { tenantId: site.tenant.id });
    const stranger = await insertCluster(store);
    for (const [who, id] of [
      [stranger.id, budget.id],
      [clusterId, v7()],
    ] as const) {
      expect(await ask(who, { wishes: [aWish(id)] })).toMatchObject({
        grants: [],
        refusals: [{ reason: 'nothing that runs here is charged to this budget' }],
      });
    }
    expect(await standing(budget)).toMatchObject({ outTokens: 0 });
  });

  it('S5: a lease of another holder can be neither renewed nor given back', async () => {
    const { clusters, tenant } = await makeSite(store, 2);
    const budget = await insertBudget(store, { tenantId: tenant.id });
    const [mine, theirs] = clusters.map(({ id }) => id);
    const { leaseId } = (await ask(mine!, { wishes: [aWish(budget.id)] })).grants[0]!;
    const answer = await ask(theirs!, {
      wishes: [aWish(budget.id, { leaseId })],
      returns: [{ leaseId, spentTokens: 0 }],
    });
    expect(answer).toMatchObject({ ended: [leaseId], grants: [{ leaseId: expect.not.stringMatching(leaseId) }] });
    expect(await store.read.leases.ofBudget(budget.id, 10)).toContainEqual(
      expect.objectContaining({ id: leaseId, phase: 'Active', grantedTokens: 10_000 }),
    );
  });

  it('is for gateways too, for minutes', async () => {
    const budget = await insertBudget(store, { tenantId: site.tenant.id });
    const gateway: LeaseHolder = { kind: 'gateway', id: 'gateway-1' };
    const answer = await leases.answer(gateway, { wishes: [aWish(budget.id)], returns: [] });
    expect(answer).toMatchObject({ grants: [{ expiresInSeconds: 300 }] });
  });

  it('is not for who is no member', async () => {
    const waiting = await insertCluster(store, { phase: 'PendingApproval' });
    const nobody = v7();
    for (const id of [waiting.id, nobody]) {
      expect(await leases.answer(holderOf(id), { wishes: [], returns: [] })).toBeNull();
    }
  });
});

it('invariant 8: twenty holders at once get no more than there is', async () => {
  const { tenant, clusters } = await makeSite(store, 20);
  const budgets = [
    await insertBudget(store, { tenantId: tenant.id, limitTokens: 100_000 }),
    await insertBudget(store, { tenantId: tenant.id, limitTokens: 50_001, period: 'day' }),
  ];
  const rounds = Array.from({ length: 3 }, () => clusters).flat();
  const answers = await Promise.all(
    rounds.map(({ id }, index) => {
      // In either order, which must not end in a ring of waits.
      const wishes = budgets.map((budget) => aWish(budget.id, { tokens: 9_000 }));
      return ask(id, { wishes: index % 2 === 0 ? wishes : wishes.reverse() });
    }),
  );
  for (const budget of budgets) {
    const grants = answers.flatMap((answer) => answer.grants).filter(({ budgetId }) => budgetId === budget.id);
    const { outTokens, freeTokens } = await standing(budget);
    expect(grants.reduce((sum, { grantedTokens }) => sum + grantedTokens, 0)).toBe(outTokens);
    expect(outTokens).toBe(budget.limitTokens);
    expect(freeTokens).toBe(0);
  }
});

it('invariant 8: eight books at once, with answers lost and usage told twice: nobody overspends, all is counted once', async () => {
  const site = await makeSite(store, 8);
  const budgets = [
    await insertBudget(store, { tenantId: site.tenant.id, limitTokens: 120_000 }),
    await insertBudget(store, { tenantId: site.tenant.id, limitTokens: 90_000, period: 'month' }),
  ];
  const ids = budgets.map(({ id }) => id);
  let spent = 0;
  const holders = site.clusters.map(({ id }, seed) => {
    const book = new LeaseBook({ newId: () => v7(), horizonMs: 60_000, idleMs: 60_000, wantsStandby: true });
    book.expect(
      ids.map((budgetId) => ({ budgetId, title: budgetId })),
      0,
    );
    let nowMs = 0;
    const exchange = async (isLost: boolean) => {
      const request = book.wishes(nowMs);
      const answer = request === null ? null : await ask(id, request);
      if (answer !== null && !isLost) book.granted(answer, nowMs);
    };
    const round = async (index: number) => {
      nowMs += 5_000;
      await exchange((index + seed) % 5 === 0);
      const reservation = book.reserve(ids, 1_500, nowMs);
      if ('refused' in reservation) return;
      const tokens = 500 + ((index * 131 + seed * 71) % 1_000);
      book.settle(reservation, tokens, nowMs);
      spent += tokens;
      const event = v7();
      const entries = [usageOf(site, { leaseIds: reservation.leaseIds, promptTokens: tokens, completionTokens: 0 })];
      await Promise.all([tellOnce(id, event, entries), tellOnce(id, event, entries)]);
    };
    return { book, exchange, round };
  });
  await Promise.all(
    holders.map(async ({ round }) => {
      for (let index = 0; index < 30; index += 1) await round(index);
    }),
  );
  for (const budget of budgets) {
    const { spentTokens, outTokens, overdraftTokens } = await standing(budget);
    expect({ spentTokens, overdraftTokens }).toEqual({ spentTokens: spent, overdraftTokens: 0 });
    expect(spentTokens + outTokens).toBeLessThanOrEqual(budget.limitTokens);
  }
  for (const { book, exchange } of holders) {
    book.close();
    for (let round = 0; round < 3; round += 1) await exchange(false);
  }
  expect(spent).toBeGreaterThan(60_000);
  for (const budget of budgets) expect(await standing(budget)).toMatchObject({ spentTokens: spent, outTokens: 0 });
});

describe('usage', () => {
  let site: Site;
  let clusterId: string;
  let budget: Budget;
  let leaseId: string;
  beforeAll(async () => {
    site = await makeSite(store);
    clusterId = site.clusters[0]!.id;
    budget = await insertBudget(store, { tenantId: site.tenant.id });
    leaseId = (await ask(clusterId, { wishes: [aWish(budget.id)] })).grants[0]!.leaseId;
  });

  it('is spent from its lease, and the day’s account has it', async () => {
    await tell(clusterId, [usageOf(site, { leaseIds: [leaseId] }), usageOf(site, { leaseIds: [leaseId] })]);
    expect(await standing(budget)).toMatchObject({ spentTokens: 300, outTokens: 9_700, freeTokens: 990_000 });
    const since = periodKeyOf('day', Date.now());
    expect(await store.read.tokenUsage.since({ tenantId: site.tenant.id, since }, 10)).toEqual([
      {
        ...{ day: since, keyPublicId: site.key.publicId, servedModel: 'tiny', deployment: site.deployment.name },
        ...{ requests: 2, promptTokens: 200, completionTokens: 100, estimatedRequests: 0 },
      },
    ]);
  });

  it('beyond its lease is overdraft, which later grants make up for', async () => {
    await tell(clusterId, [usageOf(site, { leaseIds: [leaseId], promptTokens: 12_000, completionTokens: 0 })]);
    expect(await standing(budget)).toMatchObject({
      ...{ spentTokens: 12_300, overdraftTokens: 2_300, outTokens: 0, freeTokens: 987_700 },
    });
  });

  it('of a lease that ended, that is gone, or that is another’s still counts', async () => {
    await ask(clusterId, { returns: [{ leaseId, spentTokens: 12_300 }] });
    expect(await store.read.leases.ofBudget(budget.id, 10)).toEqual([]);
    const { spentTokens } = await standing(budget);
    const other = await makeSite(store);
    const theirs = await insertBudget(store, { tenantId: other.tenant.id });
    const foreign = (await ask(other.clusters[0]!.id, { wishes: [aWish(theirs.id)] })).grants[0]!.leaseId;
    for (const id of [leaseId, v7(), foreign]) await tell(clusterId, [usageOf(site, { leaseIds: [id] })]);
    expect(await standing(budget)).toMatchObject({ spentTokens: spentTokens + 3 * 150 });
    expect(await standing(theirs)).toMatchObject({ spentTokens: 0, outTokens: 10_000 });
  });

  it('of an unknown lease is charged to the budgets of its own key alone', async () => {
    const otherKey = await insertKey(store, { tenantId: site.tenant.id });
    const mine = await insertBudget(store, { tenantId: site.tenant.id, keyPublicId: site.key.publicId });
    const others = await insertBudget(store, { tenantId: site.tenant.id, keyPublicId: otherKey.publicId });
    await tell(clusterId, [usageOf(site, { leaseIds: [v7()] })]);
    expect([(await standing(mine)).spentTokens, (await standing(others)).spentTokens]).toEqual([150, 0]);
  });

  it('without a lease asks no budget', async () => {
    const { spentTokens } = await standing(budget);
    await tell(clusterId, [usageOf(site)]);
    expect((await standing(budget)).spentTokens).toBe(spentTokens);
  });

  it('S5: of a key of somebody else, or of a tenant that is not served there, is refused', async () => {
    const other = await makeSite(store);
    const entries = [usageOf(site, { keyPublicId: other.key.publicId }), usageOf(other)];
    const { refused, usage } = await tell(clusterId, entries);
    expect([refused, usage]).toEqual([entries, []]);
  });

  it('R20: is taken of a key that a restored database has forgotten, on the budgets of its tenant', async () => {
    const { spentTokens } = await standing(budget);
    const entries = [usageOf(site, { keyPublicId: 'nobody00', leaseIds: [v7()] })];
    expect(await tell(clusterId, entries)).toMatchObject({ refused: [], usage: [{ keyPublicId: 'nobody00' }] });
    expect((await standing(budget)).spentTokens).toBe(spentTokens + 150);
  });

  it('R20: is taken of what is served there, though a restored database knows of no bundle', async () => {
    const restored = await makeSite(store);
    const { id } = restored.clusters[0]!;
    await sql('DELETE FROM offline_bundles WHERE cluster_id = $1', [id]);
    expect(await tell(id, [usageOf(restored)])).toMatchObject({ refused: [], usage: [{ requests: 1 }] });
  });

  it('of a day that cannot be counts for today', async () => {
    const fresh = await makeSite(store);
    const id = fresh.clusters[0]!.id;
    for (const atMs of [0, Date.now() + 3 * 86_400_000]) await tell(id, [usageOf(fresh)], atMs);
    const found = await store.read.tokenUsage.since({ tenantId: fresh.tenant.id, since: '1970-01-01' }, 10);
    expect(found).toMatchObject([{ day: periodKeyOf('day', Date.now()), requests: 2 }]);
  });
});

describe('a lease that is given back', () => {
  it('is free again but for what is not told yet, and ends when it is', async () => {
    const site = await makeSite(store);
    const clusterId = site.clusters[0]!.id;
    const budget = await insertBudget(store, { tenantId: site.tenant.id });
    const { leaseId } = (await ask(clusterId, { wishes: [aWish(budget.id)] })).grants[0]!;
    const give = () => ask(clusterId, { returns: [{ leaseId, spentTokens: 150 }] });
    expect([(await give()).ended, (await give()).ended]).toEqual([[leaseId], [leaseId]]);
    expect(await standing(budget)).toMatchObject({ spentTokens: 0, outTokens: 150 });
    await tell(clusterId, [usageOf(site, { leaseIds: [leaseId] })]);
    expect(await standing(budget)).toMatchObject({ spentTokens: 150, outTokens: 0, overdraftTokens: 0 });
    expect(await store.read.leases.ofBudget(budget.id, 10)).toEqual([]);
  });
});

describe('faults', () => {
  it('R1: a connection that dies in the middle leaves nothing half', async () => {
    const site = await makeSite(store);
    const clusterId = site.clusters[0]!.id;
    const budget = await insertBudget(store, { tenantId: site.tenant.id });
    const [pool, demand] = [
      await openStore({ url: database.url, poolSize: 1 }),
      { wishes: [aWish(budget.id)], returns: [] },
    ];
    const [{ pid }] = (await sql(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'atoll-store'
       ORDER BY backend_start DESC LIMIT 1`,
    )) as [{ pid: number }];
    const cut = pool.transaction(async (rows) => {
      const { ledger } = await rows.leases.ledger(holderOf(clusterId), demand);
      expect(ledger.budgets).toHaveLength(1);
      await rows.inbox.accept('an event', clusterId);
      await rows.leases.charge(
        chargeUsage([usageOf(site, { leaseIds: [v7()] })], await usageLedger(rows, clusterId, site), {
          atMs: Date.now(),
          nowMs: Date.now(),
        }),
      );
      await sql('SELECT pg_terminate_backend($1)', [pid]);
      return rows.budgets.remove(budget.id);
    });
    await expect(cut).rejects.toThrow();
    await pool.close();
    expect(await standing(budget)).toMatchObject({ spentTokens: 0, outTokens: 0 });
    expect(await store.transaction((rows) => rows.inbox.accept('an event', clusterId))).toBe(true);
    expect((await ask(clusterId, demand)).grants).toHaveLength(1);
  });

  const usageLedger = async (
    rows: Parameters<Parameters<PostgresStore['transaction']>[0]>[0],
    id: string,
    site: Site,
  ) => (await rows.leases.usageLedger(holderOf(id), [usageOf(site)])).ledger;
});

describe('housekeeping', () => {
  it('expires leases whose end is past: they stay out, unless all of them was told', async () => {
    const site = await makeSite(store);
    const clusterId = site.clusters[0]!.id;
    const budget = await insertBudget(store, { tenantId: site.tenant.id });
    const { grants } = await ask(clusterId, { wishes: [aWish(budget.id), aWish(budget.id)] });
    const [one, other] = grants.map(({ leaseId }) => leaseId);
    await tell(clusterId, [usageOf(site, { leaseIds: [other!], promptTokens: 10_000, completionTokens: 0 })]);
    await sql(`UPDATE budget_leases SET expires_at = now() - interval '1 s' WHERE budget_id = $1`, [budget.id]);
    expect(await store.transaction((rows) => rows.leases.expire(1_000))).toBe(2);
    expect(await store.transaction((rows) => rows.leases.expire(1_000))).toBe(0);
    expect(await store.read.leases.ofBudget(budget.id, 10)).toMatchObject([{ id: one, phase: 'Expired' }]);
    expect(await standing(budget)).toMatchObject({ spentTokens: 10_000, outTokens: 10_000 });
    const back = await ask(clusterId, { wishes: [aWish(budget.id, { leaseId: one!, tokens: 0 })] });
    expect(back.grants).toMatchObject([{ leaseId: one, grantedTokens: 10_000 }]);
  });

  it('removes request ids, ended leases and accounts of old periods; what may still be out stays', async () => {
    const site = await makeSite(store);
    const clusterId = site.clusters[0]!.id;
    const total = await insertBudget(store, { tenantId: site.tenant.id });
    const day = await insertBudget(store, { tenantId: site.tenant.id, period: 'day' });
    const { grants } = await ask(clusterId, { wishes: [aWish(total.id), aWish(total.id), aWish(day.id)] });
    await tell(
      clusterId,
      grants.map(({ leaseId }) => usageOf(site, { leaseIds: [leaseId] })),
    );
    await ask(clusterId, { returns: [{ leaseId: grants[0]!.leaseId, spentTokens: 150 }] });
    const ids = [[total.id, day.id]];
    const old = `now() - interval '100 days'`;
    await sql(`UPDATE lease_requests SET created_at = ${old}`);
    await sql(`UPDATE budget_leases SET expires_at = ${old} WHERE budget_id = ANY ($1)`, ids);
    await sql(`UPDATE budget_accounts SET period_key = '2026-01-01' WHERE budget_id = $1`, [day.id]);
    await store.transaction((rows) => rows.leases.removeOlderThan(new Date(Date.now() - 35 * 86_400_000)));
    const left = await sql('SELECT id FROM budget_leases WHERE budget_id = ANY ($1)', ids);
    expect(left).toEqual([{ id: grants[1]!.leaseId }]);
    expect(await sql('SELECT budget_id FROM budget_accounts WHERE budget_id = ANY ($1)', ids)).toEqual([
      { budget_id: total.id },
    ]);
    expect(await sql('SELECT 1 FROM lease_requests')).toEqual([]);
  });
});
