/** Budgets and usage in tokens over HTTP: what is shown, what is refused, and who may give more to whom. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { DEFAULT_TENANT_ID, type LeaseGrant, StaleEpochError, Store } from '#domain';
import { expireLeases, removeOld } from '../../apps/control-plane/src/budgets/budget-loops.ts';
import { Leases } from '../../apps/control-plane/src/budgets/leases.ts';
import { LeaderService } from '../../apps/control-plane/src/leader/leader.service.ts';
import { callApi, type Installation, startInstallation } from './admin.fixture.ts';
import { aWish, insertTenant, makeSite, type Site } from './budgets.fixture.ts';
import { DIGEST } from './store.fixture.ts';

let installation: Installation;
let store: Store;
let leases: Leases;
let site: Site;
let guestKey: string;

beforeAll(async () => {
  installation = await startInstallation();
  store = installation.controlPlane.app.get(Store, { strict: false });
  leases = installation.controlPlane.app.get(Leases, { strict: false });
  site = await makeSite(store);
  guestKey = (await installation.call('POST', '/api/v1/tenants', { body: { name: 'guests' } })).body.token;
}, 60_000);
afterAll(() => installation?.stop(), 60_000);

const api = (method: string, path: string, body?: object, headers: Record<string, string> = {}) =>
  installation.call(method, `/api/v1${path}`, { headers, ...(body === undefined ? {} : { body }) });
const guest = (method: string, path: string, body?: object) =>
  callApi(installation.controlPlane.url, method, `/api/v1${path}`, {
    key: guestKey,
    ...(body === undefined ? {} : { body }),
  });
const publicIdOf = (key: string) => key.split('_')[1]!;
const day = () => new Date().toISOString().slice(0, 10);

async function lease(budgetId: string): Promise<LeaseGrant> {
  const holder = { kind: 'cluster', id: site.clusters[0]!.id } as const;
  return (await leases.answer(holder, { wishes: [aWish(budgetId)], returns: [] }))!.grants[0]!;
}

describe('a budget', () => {
  it('is made with what is said of it, and shown with its account', async () => {
    const made = await api('POST', '/budgets', { name: 'chat', tokens: 1_000_000, period: 'day' });
    expect(made).toMatchObject({
      status: 201,
      body: {
        ...{ name: 'chat', tenant: 'default', key: null, tokens: 1_000_000, period: 'day', periodKey: day() },
        ...{ spentTokens: 0, overdraftTokens: 0, outTokens: 0, freeTokens: 1_000_000, revision: 1 },
      },
    });
    expect(made.headers.get('etag')).toBe('"1"');
    expect((await api('GET', '/budgets/chat')).body).toEqual({ ...made.body, leases: [] });
    expect((await api('GET', '/budgets')).body).toEqual({ items: [made.body], next: null });
    expect((await api('POST', '/budgets', { name: 'chat', tokens: 1, period: 'day' })).status).toBe(409);
  });

  it('U6: is made once for a repeated Idempotency-Key', async () => {
    const make = () =>
      api('POST', '/budgets', { name: 'once', tokens: 1, period: 'total' }, { 'idempotency-key': 'k1' });
    const [first, second] = [await make(), await make()];
    expect(second).toMatchObject({ status: 201, body: first.body });
  });

  it.each<[string, object, string]>([
    ['a negative limit', { tokens: -1 }, 'tokens'],
    ['parts of tokens', { tokens: 1.5 }, 'tokens'],
    ['more than can be counted', { tokens: 2e15 }, 'tokens'],
    ['an unknown period', { period: 'hour' }, 'period'],
    ['no period', { period: undefined }, 'period'],
    ['a name of another form', { name: 'Chat!' }, 'name'],
    ['a key of nobody', { key: 'nobody00' }, 'key'],
    ['a word of nobody', { colour: 'red' }, 'colour'],
  ])('is refused with %s', async (_name, change, field) => {
    const body = { name: 'bad', tokens: 1, period: 'day', ...change };
    expect(await api('POST', '/budgets', body)).toMatchObject({ status: 422, body: { errors: [{ field }] } });
  });

  it('is changed at the revision that was read; a limit below what is out is taken with a warning', async () => {
    const at = `/budgets/shared?tenant=${site.tenant.name}`;
    const { body } = await api('POST', `/budgets?tenant=${site.tenant.name}`, {
      name: 'shared',
      tokens: 50_000,
      period: 'total',
    });
    const { leaseId } = await lease(body.id);
    expect((await api('PATCH', at, { tokens: 9 }, { 'if-match': '"7"' })).status).toBe(412);
    const changed = await api('PATCH', at, { tokens: 4_000 }, { 'if-match': '"1"' });
    expect(changed).toMatchObject({
      status: 200,
      body: {
        tokens: 4_000,
        outTokens: 10_000,
        freeTokens: -6_000,
        revision: 2,
        warning: expect.stringMatching(/6000 tokens/),
      },
    });
    const { body: shown } = await api('GET', at);
    const { id, name } = site.clusters[0]!;
    expect(shown.leases).toMatchObject([
      { id: leaseId, holder: { kind: 'cluster', id, name }, phase: 'Active', grantedTokens: 10_000, outTokens: 10_000 },
    ]);
  });

  it('has leases that can be written off once they expired, and not before', async () => {
    const query = `?tenant=${site.tenant.name}`;
    const { body } = await api('POST', `/budgets${query}`, { name: 'lost', tokens: 50_000, period: 'total' });
    const { leaseId } = await lease(body.id);
    const writeOff = () => api('DELETE', `/budgets/lost/leases/${leaseId}${query}`);
    expect((await writeOff()).status).toBe(409);
    const [held] = await store.read.leases.ofBudget(body.id, 1);
    const expired = { ...held!, phase: 'Expired' as const, expiresAt: new Date(0) };
    await store.transaction((rows) => rows.leases.write(held!.holder, { written: [expired], answered: [] }));
    expect((await writeOff()).status).toBe(204);
    expect((await api('GET', `/budgets/lost${query}`)).body).toMatchObject({
      outTokens: 0,
      freeTokens: 50_000,
      leases: [],
    });
    expect((await api('DELETE', `/budgets/lost/leases/${v7()}${query}`)).status).toBe(404);
  });

  it('goes with its leases', async () => {
    const query = `?tenant=${site.tenant.name}`;
    await api('POST', `/budgets${query}`, { name: 'goes', tokens: 1, period: 'month' });
    expect((await api('DELETE', `/budgets/goes${query}`, undefined, { 'if-match': '"2"' })).status).toBe(412);
    expect((await api('DELETE', `/budgets/goes${query}`)).status).toBe(204);
    expect((await api('GET', `/budgets/goes${query}`)).status).toBe(404);
  });

  it('is one of at most eight for a whole tenant', async () => {
    const { name } = await insertTenant(store);
    const make = (index: number) =>
      api('POST', `/budgets?tenant=${name}`, { name: `b${index}`, tokens: 1, period: 'day' });
    const made = await Promise.all(Array.from({ length: 9 }, (_, index) => make(index)));
    expect(made.map(({ status }) => status).sort()).toEqual([...Array.from({ length: 8 }, () => 201), 409]);
  });

  it('leaves its changes in the audit log', async () => {
    const entries = await store.read.audit.list({ tenantId: DEFAULT_TENANT_ID, after: null, limit: 200 });
    const actions = entries.map(({ action }) => action).filter((action) => action.startsWith('budgets.'));
    expect(new Set(actions)).toEqual(
      new Set(['budgets.create', 'budgets.update', 'budgets.delete', 'budgets.write-off']),
    );
  });
});

describe('S4: nobody gives itself more', () => {
  it('a tenant neither makes, raises nor removes a budget of the whole of it; it may lower it', async () => {
    await api('POST', '/budgets?tenant=guests', { name: 'all', tokens: 100, period: 'month' });
    expect((await guest('POST', '/budgets', { name: 'mine', tokens: 1, period: 'day' })).status).toBe(403);
    expect(await guest('PATCH', '/budgets/all', { tokens: 101 })).toMatchObject({
      status: 403,
      body: { detail: expect.stringMatching(/installation’s own tenant gives tenants more/) },
    });
    expect((await guest('DELETE', '/budgets/all')).status).toBe(403);
    expect(await guest('PATCH', '/budgets/all', { tokens: 50 })).toMatchObject({ status: 200, body: { tokens: 50 } });
    expect((await api('PATCH', '/budgets/all?tenant=guests', { tokens: 200 })).status).toBe(200);
  });

  it('a tenant has budgets for its keys; a key neither raises nor removes one of its own', async () => {
    const made = await guest('POST', '/budgets', { name: 'own', tokens: 10, period: 'day', key: publicIdOf(guestKey) });
    expect(made.status).toBe(201);
    expect((await guest('PATCH', '/budgets/own', { tokens: 11 })).status).toBe(403);
    expect((await guest('DELETE', '/budgets/own')).status).toBe(403);
    const { body: other } = await guest('POST', '/api-keys', { name: 'app' });
    await guest('POST', '/budgets', { name: 'app', tokens: 10, period: 'day', key: other.publicId });
    expect((await guest('PATCH', '/budgets/app', { tokens: 11 })).status).toBe(200);
  });

  it.each(['viewer', 'operator', 'inference'] as const)('the role %s writes none', async (role) => {
    const { body } = await api('POST', '/api-keys', { name: `a-${role}`, role });
    const { url } = installation.controlPlane;
    const budget = { name: 'theirs', tokens: 1, period: 'day' };
    expect((await callApi(url, 'POST', '/api/v1/budgets', { key: body.key, body: budget })).status).toBe(403);
    expect((await callApi(url, 'GET', '/api/v1/budgets', { key: body.key })).status).toBe(
      role === 'inference' ? 403 : 200,
    );
  });
});

describe('S5: tenants do not see each other', () => {
  it.each([
    ['GET', '/budgets?tenant=default', undefined],
    ['GET', '/budgets/chat', undefined],
    ['GET', '/budgets/chat?tenant=default', undefined],
    ['PATCH', '/budgets/chat?tenant=default', { tokens: 1 }],
    ['DELETE', '/budgets/chat?tenant=default', undefined],
    ['POST', '/budgets?tenant=default', { name: 'x', tokens: 1, period: 'day' }],
    ['GET', '/usage/tokens?tenant=default', undefined],
  ])('%s %s', async (method, path, body) => {
    expect((await guest(method, path, body)).status).toBe(404);
  });

  it('a key of another tenant cannot be given a budget', async () => {
    const key = publicIdOf(installation.ownerKey);
    expect(await guest('POST', '/budgets', { name: 'x', tokens: 1, period: 'day', key })).toMatchObject({
      status: 422,
      body: { errors: [{ field: 'key' }] },
    });
  });
});

describe('usage in tokens', () => {
  it('is shown by day, key, model and deployment', async () => {
    const used = { tenantId: site.tenant.id, day: day(), keyPublicId: site.key.publicId, servedModel: 'tiny' };
    const sums = { requests: 2, promptTokens: 30, completionTokens: 12, estimatedRequests: 1 };
    const [gone, versionDigest] = [v7(), DIGEST];
    const usage = [
      { ...used, deploymentId: site.deployment.id, versionDigest, ...sums },
      { ...used, deploymentId: site.deployment.id, versionDigest: 'b'.repeat(64), ...sums },
      { ...used, deploymentId: gone, versionDigest, day: '2020-01-01', ...sums },
    ];
    await store.transaction((rows) => rows.leases.charge({ leases: [], accounts: [], usage, refused: [] }));
    const entry = { day: day(), key: site.key.publicId, model: 'tiny', deployment: site.deployment.name };
    const { body } = await api('GET', `/usage/tokens?tenant=${site.tenant.name}`);
    const twice = { requests: 4, promptTokens: 60, completionTokens: 24, estimatedRequests: 2 };
    expect(body).toMatchObject({
      tenant: site.tenant.name,
      entries: [{ ...entry, ...twice }],
      total: twice,
      isCut: false,
    });
    const { body: all } = await api('GET', `/usage/tokens?tenant=${site.tenant.name}&since=2020-01-01`);
    expect(all.entries).toEqual([
      { ...entry, ...twice },
      { ...entry, day: '2020-01-01', deployment: gone, ...sums },
    ]);
    expect((await api('GET', '/usage/tokens?since=yesterday')).status).toBe(422);
    expect((await guest('GET', '/usage/tokens')).body).toMatchObject({ tenant: 'guests', entries: [] });
  });
});

describe('the leader', () => {
  it('ends leases whose time is over and drops old usage, under its own epoch alone', async () => {
    const epoch = installation.controlPlane.app.get(LeaderService, { strict: false }).epoch()!;
    const query = `?tenant=${site.tenant.name}`;
    const { body } = await api('POST', `/budgets${query}`, { name: 'ends', tokens: 50_000, period: 'total' });
    await lease(body.id);
    const [held] = await store.read.leases.ofBudget(body.id, 1);
    const written = [{ ...held!, expiresAt: new Date(0) }];
    await store.transaction((rows) => rows.leases.write(held!.holder, { written, answered: [] }));
    await expect(expireLeases(store, epoch - 1)).rejects.toThrow(StaleEpochError);
    await expireLeases(store, epoch);
    await removeOld(store, epoch, Date.now());
    expect((await api('GET', `/budgets/ends${query}`)).body.leases).toMatchObject([{ phase: 'Expired' }]);
    const { body: usage } = await api('GET', `/usage/tokens${query}&since=2020-01-01`);
    expect(usage.entries.map((entry: { day: string }) => entry.day)).toEqual([day()]);
  });

  it('has had no trouble with it', () => {
    expect(installation.log.filter((line) => /"level":("error"|50)/.test(line))).toEqual([]);
  });
});
