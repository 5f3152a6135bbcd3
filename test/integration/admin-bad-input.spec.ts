// Bad input: every field of every route, wrong in every way → a problem that names the field, and nothing changed.

import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Store } from '#domain';
import { type Installation, startInstallation } from './admin.fixture.ts';

let installation: Installation;
let auditedBefore: string | undefined;
const newestAudit = async () => (await installation.call('GET', '/api/v1/audit?limit=1')).body.items[0]?.id;

beforeAll(async () => {
  installation = await startInstallation();
  await installation.call('POST', '/api/v1/models', { body: { name: 'tiny' } });
  await installation.call('POST', '/api/v1/models/tiny/versions', {
    body: { files: [{ path: 'a.txt', sizeBytes: 4 }] },
  });
  auditedBefore = await newestAudit();
}, 60_000);
afterAll(() => installation?.stop(), 60_000);

type Field = readonly [field: string, wrong: readonly unknown[]];
interface Row {
  readonly method: string;
  readonly path: string;
  readonly good: Record<string, unknown>;
  readonly fields: readonly Field[];
}

const huge = 'x'.repeat(5_000);
const name: readonly unknown[] = [1, null, '', 'Upper', 'a b', '-a', huge, {}, []];
const count: readonly unknown[] = ['1', -1, 1.5, 1e300, null, {}];
const labels: readonly unknown[] = ['x', [], { '': 'a' }, { a: 1 }, { a: huge }, { 'bad key': 'a' }];
const claim: readonly unknown[] = [
  null,
  'cpu',
  {},
  { deviceType: 'gpu', count: 1 },
  { deviceType: 'cpu', count: 0 },
  { deviceType: 'cpu', count: 1, more: 1 },
];
const selector: readonly unknown[] = [
  null,
  'all',
  { kinds: [] },
  { kinds: ['cloud'] },
  { regions: [''] },
  { clusterNames: ['X'] },
  { other: 1 },
];
const spread: readonly unknown[] = [
  'region',
  {},
  { by: 'region' },
  { by: 'rack', minGroups: 2 },
  { by: 'zone', minGroups: 0 },
  { by: 'zone', minGroups: 1_001 },
  { by: 'zone', minGroups: 2, maxSkew: 1 },
];
const disconnect: readonly unknown[] = [
  null,
  1,
  { lostAfterSeconds: -1 },
  { lostAfterSeconds: '1' },
  { reconcile: 'maybe' },
];

const table: readonly Row[] = [
  {
    method: 'POST',
    path: '/api/v1/join-tokens',
    good: { clusterName: 'a', kind: 'edge' },
    fields: [
      ['clusterName', name],
      ['kind', [1, '', 'cloud', null]],
      ['region', [1, 'A B', huge, null]],
      ['zone', [1, huge]],
      ['labels', labels],
      ['preApproved', ['yes', 1, null]],
    ],
  },
  {
    method: 'PATCH',
    path: '/api/v1/clusters/nobody',
    good: {},
    fields: [
      ['cordoned', ['yes', 1, null]],
      ['labels', labels],
    ],
  },
  { method: 'POST', path: '/api/v1/models', good: { name: 'a' }, fields: [['name', name]] },
  {
    method: 'POST',
    path: '/api/v1/models/tiny/versions',
    good: { files: [{ path: 'a', sizeBytes: 1 }] },
    fields: [
      [
        'files',
        [
          null,
          'x',
          {},
          [],
          [1],
          [{}],
          [{ path: 1, sizeBytes: 1 }],
          [{ path: 'a', sizeBytes: -1 }],
          [{ path: 'a', sizeBytes: 2 ** 60 }],
          [{ path: 'a', sizeBytes: 1, digest: 'x' }],
          [{ path: huge, sizeBytes: 1 }],
        ],
      ],
      ['notes', [1, null, huge]],
    ],
  },
  {
    method: 'POST',
    path: '/api/v1/deployments',
    good: { name: 'a', model: 'tiny' },
    fields: [
      ['name', name],
      ['model', name],
      ['version', [...count, 0]],
      ['replicas', [...count, 10_001]],
      ['servedModel', [1, '', ' x', huge, null]],
      ['claim', claim],
      ['selector', selector],
      ['spread', spread],
      ['disconnect', disconnect],
    ],
  },
  {
    method: 'PATCH',
    path: '/api/v1/deployments/nothing',
    good: {},
    fields: [
      ['replicas', count],
      ['version', count],
      ['selector', selector],
      ['spread', spread],
      ['disconnect', disconnect],
    ],
  },
  {
    method: 'POST',
    path: '/api/v1/api-keys',
    good: { name: 'a' },
    fields: [
      ['name', name],
      ['role', [1, '', 'root', null]],
      ['models', ['x', [], [1], [''], [huge]]],
      ['expiresInSeconds', ['60', 1, -1, 1e12, 60.5]],
    ],
  },
  {
    method: 'POST',
    path: '/api/v1/agent/join',
    good: {
      publicKey: `U${'A'.repeat(55)}`,
      nonce: 'x'.repeat(20),
      signature: 'x'.repeat(20),
      token: 'x',
      agentVersion: '1',
    },
    fields: [
      ['publicKey', [1, '', 'A', huge]],
      ['nonce', [1, '', huge]],
      ['signature', [1, '', huge]],
      ['token', [1, '', huge]],
      ['agentVersion', [1, '', huge]],
    ],
  },
  {
    method: 'POST',
    path: '/api/v1/agent/credentials',
    good: { publicKey: `U${'A'.repeat(55)}`, nonce: 'x'.repeat(20), signature: 'x'.repeat(20), agentVersion: '1' },
    fields: [
      ['publicKey', [1, '', huge]],
      ['nonce', [1]],
      ['signature', [1]],
      ['agentVersion', [1, '', huge]],
    ],
  },
]; // prettier-ignore

const cases = table.flatMap(({ method, path, good, fields }) => [
  ...fields.map(([field, wrong]) => ({ method, path, good, field, wrong })),
  { method, path, good, field: 'surprise', wrong: [1] as readonly unknown[] },
]);

describe('every field of every body', () => {
  it.each(cases)('$method $path: $field', async ({ method, path, good, field, wrong }) => {
    for (const value of wrong) {
      const { status, headers, body } = await installation.call(method, path, { body: { ...good, [field]: value } });
      expect({ value, status, type: headers.get('content-type') }).toEqual({
        value,
        status: 422,
        type: expect.stringContaining('application/problem+json'),
      });
      expect(body.errors.map((error: { field: string }) => error.field.split(/[.[]/)[0])).toContain(field);
      expect(body.instance).toBe(headers.get('x-request-id'));
    }
  });

  it.each(table.filter(({ good }) => Object.keys(good).length > 0))('$method $path: missing fields', async (row) => {
    for (const body of [{}, [], 'text', 1, null]) {
      const answer = await installation.call(row.method, row.path, { body });
      expect({ body, status: answer.status }).toEqual({ body, status: 422 });
    }
  });
});

describe('queries and paths', () => {
  it.each([
    ['GET', '/api/v1/clusters?limit=0', 'limit'],
    ['GET', '/api/v1/models?limit=201', 'limit'],
    ['GET', '/api/v1/deployments?limit=x', 'limit'],
    ['GET', '/api/v1/api-keys?after=not-a-cursor', 'after'],
    ['GET', '/api/v1/audit?after=%27%3B--', 'after'],
    ['GET', '/api/v1/clusters?surprise=1', 'surprise'],
    ['GET', '/api/v1/clusters/UPPER', 'name'],
    ['GET', `/api/v1/models/${'x'.repeat(100)}`, 'model'],
    ['GET', '/api/v1/models/tiny/versions/x', 'number'],
    ['GET', '/api/v1/models/tiny/versions/0', 'number'],
    ['GET', '/api/v1/models/tiny/versions/99999999999', 'number'],
    ['DELETE', '/api/v1/api-keys/1', 'id'],
    ['POST', '/api/v1/deployments?dryRun=maybe', 'dryRun'],
    ['PUT', '/api/v1/models/tiny/versions/1/content', 'path'],
    ['PUT', '/api/v1/models/tiny/versions/1/content?path=other', 'path'],
    ['PUT', '/api/v1/models/tiny/versions/1/content?path=a.txt&offset=-1', 'offset'],
    ['PUT', '/api/v1/models/tiny/versions/1/content?path=a.txt&offset=2', 'offset'],
    ['GET', '/api/v1/blobs/nothing', 'digest'],
  ])('%s %s names %s', async (method, path, field) => {
    const raw = method === 'PUT' ? { raw: 'abcd', headers: { 'content-type': 'application/octet-stream' } } : {};
    const body = method === 'POST' ? { body: { name: 'a', model: 'tiny' } } : {};
    const answer = await installation.call(method, path, { ...raw, ...body });
    expect([422, 409]).toContain(answer.status);
    expect(answer.body.errors.map((error: { field: string }) => error.field)).toContain(field);
  });

  it.each([
    ['GET', '/api/v1/clusters/nobody'],
    ['POST', '/api/v1/clusters/nobody/accept'],
    ['DELETE', '/api/v1/clusters/nobody'],
    ['GET', '/api/v1/models/nothing'],
    ['DELETE', '/api/v1/models/nothing'],
    ['GET', '/api/v1/models/nothing/versions'],
    ['GET', '/api/v1/models/tiny/versions/7'],
    ['POST', '/api/v1/models/tiny/versions/7/publish'],
    ['DELETE', '/api/v1/models/tiny/versions/7'],
    ['GET', '/api/v1/deployments/nothing'],
    ['GET', '/api/v1/deployments/nothing/explain'],
    ['DELETE', '/api/v1/deployments/nothing'],
    ['DELETE', '/api/v1/api-keys/00000000-0000-7000-8000-00000000dead'],
    ['GET', '/api/docs/package.json'],
    ['GET', '/api/docs/..%2fpackage.json'],
    ['GET', '/api/docs/constructor'],
  ])('%s %s is 404', async (method, path) => {
    expect(await installation.call(method, path)).toMatchObject({
      status: 404,
      body: { type: 'urn:atoll:problem:not-found' },
    });
  });
});

describe('bodies that cannot be read', () => {
  const post = (raw: string | Uint8Array, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
    installation.call('POST', '/api/v1/models', { raw, headers });

  it.each([
    ['broken JSON', '{"name": ', 'application/json', 400],
    ['nothing', '', 'application/json', 400],
    ['deep JSON', '['.repeat(100_000), 'application/json', 400],
    ['a poisoned prototype', '{"__proto__": {"name": "a"}}', 'application/json', 400],
    ['text', 'name=a', 'text/plain', 415],
    ['a form', 'name=a', 'application/x-www-form-urlencoded', 415],
    ['XML', '<a/>', 'application/xml', 415],
    ['raw bytes', 'abc', 'application/octet-stream', 422],
    ['too much', `{"name":"${'a'.repeat(5_000_000)}"}`, 'application/json', 413],
  ])('%s → %s', async (_name, raw, type, want) => {
    const answer = await post(raw, { 'content-type': type });
    expect(answer).toMatchObject({
      status: want,
      body: { status: want, type: expect.stringMatching(/^urn:atoll:problem:/) },
    });
  }); // prettier-ignore

  it.each<[string, string | Uint8Array, string]>([
    ['UTF-8 that is not whole', Uint8Array.from([...Buffer.from('{"name":"a'), 0xff, ...Buffer.from('"}')]), 'UTF-8'],
    ['a poisoned prototype', '{"__proto__": {"name": "a"}}', '"__proto__"'],
    ['broken JSON', '{"name": ', 'not well-formed JSON'],
  ])('say why: %s', async (_name, raw, why) => {
    expect(await post(raw)).toMatchObject({ status: 400, body: { detail: expect.stringContaining(why) } });
  });

  it('deep JSON that is whole is refused without harm', async () => {
    const answer = await post(`{"name":${'['.repeat(50_000)}${']'.repeat(50_000)}}`);
    expect([400, 422]).toContain(answer.status);
  });

  it.each([
    ['If-Match', 'PATCH', '/api/v1/clusters/nobody', { 'if-match': 'garbage' }, 404],
    ['Idempotency-Key', 'POST', '/api/v1/models', { 'idempotency-key': 'a b' }, 422],
    ['Idempotency-Key', 'POST', '/api/v1/models', { 'idempotency-key': 'x'.repeat(129) }, 422],
  ])('%s of nonsense', async (_name, method, path, headers, want) => {
    const body = method === 'POST' ? { name: 'never-made' } : {};
    expect((await installation.call(method, path, { body, headers: headers as Record<string, string> })).status).toBe(
      want,
    );
  });

  it.each([
    ['a bad escape in the path', 'GET /api/v1/clusters/%zz HTTP/1.1'],
    ['a bad request line', 'GET  /api HTTP/9'],
    ['both lengths', 'POST /api/v1/models HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked'],
    ['endless headers', `GET / HTTP/1.1\r\nx-a: ${'x'.repeat(70_000)}`],
  ])('%s is refused by the server itself, not with 2xx or 500', async (_name, head) => {
    const text = await rawRequest(`${head}\r\nhost: a\r\nconnection: close\r\n\r\n`);
    expect(text).toMatch(/^(HTTP\/1\.1 4\d\d |$)/);
  });
});

it('nothing of all this changed anything', async () => {
  expect(await newestAudit()).toBe(auditedBefore);
  const { read } = installation.controlPlane.app.get(Store, { strict: false });
  expect(await read.clusters.all()).toEqual([]);
  expect(await read.deployments.all()).toEqual([]);
  expect((await installation.call('GET', '/api/v1/models/tiny/versions/1')).body.files[0].receivedBytes).toBe(0);
});

it('challenges and joins are bounded by address', async () => {
  const other = await installation.startAnother({ ATOLL_LIMITS_JOIN_ATTEMPTS_PER_MINUTE: '3' });
  const statuses: number[] = [];
  for (let attempt = 0; attempt < 4; attempt += 1) {
    const answer = await fetch(`${other.url}/api/v1/agent/challenge`);
    statuses.push(answer.status);
    await answer.arrayBuffer();
  }
  expect(statuses).toEqual([200, 200, 200, 429]);
}, 60_000);

it('a refused credential costs its address more and more', async () => {
  const other = await installation.startAnother({ ATOLL_LIMITS_FAILED_ATTEMPTS_PER_MINUTE: '5' });
  const statuses: number[] = [];
  for (let attempt = 0; attempt < 7; attempt += 1) {
    const answer = await fetch(`${other.url}/api/v1/models`, { headers: { authorization: 'Bearer wrong' } });
    statuses.push(answer.status);
    if (answer.status === 429) expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    await answer.arrayBuffer();
  }
  expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429]);
}, 60_000);

function rawRequest(text: string): Promise<string> {
  const { hostname, port } = new URL(installation.controlPlane.url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', () => resolve(answer));
    socket.on('close', () => resolve(answer));
  });
}
