// What the commands of budgets and of usage in tokens send and show.
import { expect, it } from '@jest/globals';
import type { BudgetDetailDto } from '#contracts';
import { ID } from '../../test/builders.fixture.ts';
import { adminServer, page } from '../../test/cli.fixture.ts';

const { server, atoll } = adminServer();

function aBudget(change: Partial<BudgetDetailDto> = {}): BudgetDetailDto {
  return {
    ...{ id: ID, name: 'chat', tenant: 'default', key: null, tokens: 1_000_000, period: 'day' },
    ...{ periodKey: '2030-01-01', spentTokens: 250_000, overdraftTokens: 0, outTokens: 10_000, freeTokens: 740_000 },
    ...{ createdAt: '2030-01-01T11:00:00.000Z', revision: 1, leases: [], ...change },
  };
}

it.each<[string, Record<string, object>, object]>([
  [
    'budget create chat --tokens 1000000 --period day --key abc12345',
    { 'POST /budgets': { status: 201, body: aBudget() } },
    { body: { name: 'chat', tokens: 1_000_000, period: 'day', key: 'abc12345' } },
  ],
  [
    'budget create chat --tokens 0 --period total --tenant guests',
    { 'POST /budgets': { status: 201, body: aBudget() } },
    { call: 'POST /budgets?tenant=guests', body: { name: 'chat', tokens: 0, period: 'total' } },
  ],
  ['budget update chat --tokens 5', { 'PATCH /budgets/chat': { body: aBudget() } }, { body: { tokens: 5 } }],
  [
    'budgets delete chat --tenant guests',
    { 'DELETE /budgets/chat': { status: 204 } },
    { call: 'DELETE /budgets/chat?tenant=guests' },
  ],
  [
    `budget write-off chat ${ID}`,
    { [`DELETE /budgets/chat/leases/${ID}`]: { status: 204 } },
    { call: `DELETE /budgets/chat/leases/${ID}` },
  ],
])('atoll %s', async (command, answers, want) => {
  for (const [call, answer] of Object.entries(answers)) server.on(call, answer);
  expect(await atoll(command)).toMatchObject({ exitCode: 0, err: '' });
  expect(server.seen[0]).toMatchObject(want);
});

it.each([
  ['budget create chat --period day', "required option '--tokens <number>' not specified"],
  ['budget create chat --tokens 1', "required option '--period <period>' not specified"],
  ['budget create chat --tokens 1 --period hour', 'Allowed choices are day, month, total'],
  ['budget create chat --tokens many --period day', 'a whole number from 0'],
  ['budget create Bad --tokens 1 --period day', 'must be a DNS label'],
  ['budget update chat', "required option '--tokens <number>' not specified"],
  ['budget write-off chat lease', 'a lease is named by its id'],
  ['usage tokens --since yesterday', 'must be a date such as'],
])('a wrong command exits 2 and calls nobody: %s', async (command, want) => {
  const { exitCode, err } = await atoll(command);
  expect({ exitCode, calls: server.seen }).toEqual({ exitCode: 2, calls: [] });
  expect(err).toContain(want);
});

it('budgets show what is spent, out and free', async () => {
  server.on('GET /budgets', page(aBudget()));
  expect((await atoll('budget list', { columns: 160 })).out).toMatch(
    /chat +all of the tenant +1,000,000 a day +2030-01-01 +250,000 +10,000 +740,000/,
  );
});

it('a budget shows who holds leases on it, and since when', async () => {
  const lease: BudgetDetailDto['leases'][number] = {
    id: ID,
    holder: { kind: 'cluster', id: ID, name: 'edge-shanghai' },
    phase: 'Active',
    ...{ periodKey: '2030-01-01', grantedTokens: 12_000, spentTokens: 2_000, outTokens: 10_000 },
    ...{ grantedAt: '2030-01-01T11:00:00.000Z', expiresAt: '2030-01-02T00:00:00.000Z' },
  };
  server.on('GET /budgets/chat', { body: aBudget({ key: 'abc12345', overdraftTokens: 1_234, leases: [lease] }) });
  expect((await atoll('budget show chat', { columns: 200 })).out).toBe(
    [
      'Name:      chat',
      'Tenant:    default',
      'For:       the key abc12345',
      'Limit:     1,000,000 tokens a day',
      'Period:    2030-01-01',
      'Spent:     250,000',
      'Overdraft: 1,234, of answers longer than expected',
      'Out:       10,000 on leases',
      'Free:      740,000',
      '',
      'HOLDER         PHASE   PERIOD      GRANTED  SPENT  OUT     SINCE    ENDS     LEASE',
      `edge-shanghai  Active  2030-01-01  12,000   2,000  10,000  1 h ago  in 12 h  ${ID}`,
      '',
    ].join('\n'),
  );
});

it('a limit below what is out is warned of', async () => {
  server.on('PATCH /budgets/chat', { body: aBudget({ warning: 'more is out' }) });
  expect(await atoll('budget update chat --tokens 1')).toMatchObject({ exitCode: 0, err: 'warning: more is out\n' });
});

it('usage in tokens is shown by day, key and model; usage alone is still that of devices', async () => {
  const sums = { requests: 12_000, promptTokens: 3_400_000, completionTokens: 56_000, estimatedRequests: 7 };
  const entries = [{ day: '2030-01-01', key: 'abc12345', model: 'tiny', deployment: 'chat', ...sums }];
  const body = { tenant: 'guests', since: '2030-01-01', entries, total: sums, isCut: true };
  server.on('GET /usage/tokens', { body });
  const { out, err } = await atoll('usage tokens --tenant guests --since 2030-01-01', { columns: 160 });
  expect(server.seen[0]?.call).toBe('GET /usage/tokens?tenant=guests&since=2030-01-01');
  expect(out).toMatch(/2030-01-01 +abc12345 +tiny +chat +12,000 +3,400,000 +56,000 +7\n/);
  expect(err).toContain('there is more');
  const seconds = { jobDeviceSeconds: 0, servingDeviceSeconds: 0, lostDeviceSeconds: 0 };
  server.on('GET /usage', { body: { tenant: 'default', since: '2030-01-01', queues: [], total: seconds } });
  expect((await atoll('usage')).out).toContain('Accelerator-seconds of default');
});
