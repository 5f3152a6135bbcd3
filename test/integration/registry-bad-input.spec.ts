// Bad input to the registry's routes: every field wrong in every way → a problem that names the field, nothing changed.

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type Installation, startInstallation } from './admin.fixture.ts';
import { publishFiles } from './registry.fixture.ts';

// A busy machine is no failure.
jest.setTimeout(60_000);

let installation: Installation;
let before: unknown;
const AT = '/api/v1/models/tiny';
const state = async () => {
  const paths = [AT, `${AT}/versions`, `${AT}/aliases`, `${AT}/artifacts`];
  const answers = await Promise.all(paths.map((path) => installation.call('GET', path)));
  return answers.map(({ body }) => body);
};
const newestAudit = async () => (await installation.call('GET', '/api/v1/audit?limit=1')).body.items[0]?.id;

beforeAll(async () => {
  installation = await startInstallation();
  // No snapshot is made of it by itself meanwhile.
  await installation.call('POST', '/api/v1/models', { body: { name: 'tiny', policy: { snapshotCron: '0 0 29 2 *' } } });
  await publishFiles(installation, 'tiny', { 'a.txt': Buffer.from('one') });
  await installation.call('POST', `${AT}/versions`, { body: { files: [{ path: 'a.txt', sizeBytes: 4 }] } });
  before = [await state(), await newestAudit()];
}, 60_000);
afterAll(() => installation?.stop(), 60_000);

const huge = 'x'.repeat(5_000);
const number: readonly unknown[] = ['1', 0, -1, 1.5, 1e300, null, {}, []];
const policy: readonly unknown[] = [
  null,
  'daily',
  [],
  { snapshotCron: 1 },
  { snapshotCron: '' },
  { snapshotCron: 'daily' },
  { snapshotCron: '* * * * * *' },
  { snapshotCron: `${'1,'.repeat(100)}1 * * * *` },
  { snapshotCron: '61 * * * *' },
  { snapshotCron: '0 0 30 2 *' },
  { keepVersions: 0 },
  { keepVersions: 1e9 },
  { keepVersions: '3' },
  { keepDays: -1 },
  { keepDays: 1.5 },
  { keepDays: null },
  { other: 1 },
];
const hex = (digits: number) => 'a'.repeat(digits);
const signature: readonly unknown[] = [
  null,
  'signed',
  {},
  { publicKey: hex(64) },
  { signature: hex(128) },
  { publicKey: hex(63), signature: hex(128) },
  { publicKey: hex(64).toUpperCase(), signature: hex(128) },
  { publicKey: hex(64), signature: hex(129) },
  { publicKey: huge, signature: hex(128) },
  { publicKey: hex(64), signature: hex(128), algorithm: 'none' },
];
const metadata: readonly unknown[] = [
  null,
  'x',
  [],
  { run: 1 },
  { '': 'x' },
  { [huge]: 'x' },
  { run: huge },
  Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`key-${index}`, ''])),
];
const files = [{ path: 'a', sizeBytes: 1 }];

const table: readonly [method: string, path: string, good: object, field: string, wrong: readonly unknown[]][] = [
  ['POST', '/api/v1/models', { name: 'other' }, 'policy', policy],
  ['PATCH', AT, {}, 'policy', policy],
  ['PATCH', AT, { policy: {} }, 'surprise', [1]],
  ['PATCH', AT, { policy: {} }, 'name', ['other']],
  ['POST', `${AT}/versions`, { files }, 'parent', [...number, 2, 77]],
  ['POST', `${AT}/versions`, { files }, 'metadata', metadata],
  ['POST', `${AT}/versions`, { files }, 'signature', [1]],
  ['POST', `${AT}/versions/2/publish`, {}, 'signature', signature],
  ['POST', `${AT}/versions/2/publish`, {}, 'surprise', [1]],
  ['PUT', `${AT}/aliases/stable`, {}, 'version', [...number, 2, 77]],
  ['PUT', `${AT}/aliases/stable`, { version: 1 }, 'surprise', [1]],
  ['POST', `${AT}/artifacts`, { base: null }, 'version', [...number, 2, 77]],
  ['POST', `${AT}/artifacts`, { version: 1 }, 'base', ['1', 0, -1, 1.5, {}, [], 1, 2, 77, undefined]],
  ['POST', `${AT}/artifacts`, { version: 1, base: null }, 'profile', [1, null, '', 'snapshot', 'tiny']],
  ['POST', `${AT}/artifacts`, { version: 1, base: null }, 'surprise', [1]],
];

describe('every field of every body', () => {
  it.each(table)('%s %s %j: %s', async (method, path, good, field, wrong) => {
    for (const value of wrong) {
      const { status, headers, body } = await installation.call(method, path, { body: { ...good, [field]: value } });
      expect({ value, status, type: headers.get('content-type') }).toEqual({
        value,
        status: 422,
        type: expect.stringContaining('application/problem+json'),
      });
      expect(body.errors.map((error: { field: string }) => error.field.split(/[.[]/)[0])).toContain(field);
    }
  });

  it.each([
    ['PATCH', AT],
    ['PUT', `${AT}/aliases/stable`],
    ['POST', `${AT}/artifacts`],
  ])('%s %s: missing fields', async (method, path) => {
    for (const body of [{}, [], 'text', 1, null]) {
      expect({ body, status: (await installation.call(method, path, { body })).status }).toEqual({ body, status: 422 });
    }
  });

  it('publish takes no body, or an object', async () => {
    for (const body of [[], 'text', 1]) {
      const answer = await installation.call('POST', `${AT}/versions/2/publish`, { body });
      expect({ body, status: answer.status }).toEqual({ body, status: 422 });
    }
    const broken = { raw: '{"signature": ', headers: { 'content-type': 'application/json' } };
    expect((await installation.call('POST', `${AT}/versions/2/publish`, broken)).status).toBe(400);
  });
});

describe('paths and headers', () => {
  it.each([
    ['GET', `${AT}/aliases/Stable`, 'alias'],
    ['PUT', `${AT}/aliases/a_b`, 'alias'],
    ['PUT', `${AT}/aliases/..%2f..%2fx`, 'alias'],
    ['DELETE', `${AT}/aliases/${'x'.repeat(100)}`, 'alias'],
    ['GET', '/api/v1/models/UPPER/aliases', 'model'],
    ['GET', '/api/v1/models/UPPER/artifacts', 'model'],
    ['PATCH', '/api/v1/models/UPPER', 'model'],
  ])('%s %s names %s', async (method, path, field) => {
    const bodies: Record<string, object> = { PUT: { body: { version: 1 } }, PATCH: { body: { policy: {} } } };
    const answer = await installation.call(method, path, bodies[method] ?? {});
    expect(answer.status).toBe(422);
    expect(answer.body.errors.map((error: { field: string }) => error.field)).toContain(field);
  });

  it.each([
    ['GET', `${AT}/aliases/nothing`],
    ['DELETE', `${AT}/aliases/nothing`],
    ['GET', '/api/v1/models/nothing/aliases'],
    ['GET', '/api/v1/models/nothing/artifacts'],
    ['POST', '/api/v1/models/nothing/artifacts'],
    ['PUT', '/api/v1/models/nothing/aliases/stable'],
    ['PATCH', '/api/v1/models/nothing'],
  ])('%s %s is 404', async (method, path) => {
    const bodies: Record<string, object> = {
      PUT: { body: { version: 1 } },
      PATCH: { body: { policy: {} } },
      POST: { body: { version: 1, base: null } },
    };
    expect(await installation.call(method, path, bodies[method] ?? {})).toMatchObject({
      status: 404,
      body: { type: 'urn:atoll:problem:not-found' },
    });
  });

  it('If-Match of another revision changes nothing', async () => {
    const headers = { 'if-match': '"99"' };
    expect((await installation.call('PATCH', AT, { body: { policy: { keepDays: 1 } }, headers })).status).toBe(412);
  });
});

it('nothing of all this changed anything', async () => {
  expect([await state(), await newestAudit()]).toEqual(before);
  expect((await installation.call('GET', '/api/v1/models/other')).status).toBe(404);
});
