// Who may call what (S1, S3, S4): every route of the running control plane, not of a list somebody keeps.

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually, startStopwatch } from '#testing';
import { callApi, type Installation, secretOf, startInstallation } from './admin.fixture.ts';
import { spoilt } from './spoilt.fixture.ts';

let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation({ ATOLL_LIMITS_FAILED_ATTEMPTS_PER_MINUTE: '10000' });
}, 60_000);
afterAll(() => installation?.stop(), 60_000);

const UNKNOWN = '0'.repeat(64);
const concrete = (path: string) =>
  path
    .replace(':digest', UNKNOWN)
    .replace(':number', '1')
    .replace(':id', '00000000-0000-7000-8000-000000000002')
    .replace(/:[a-z]+/g, 'nobody');

async function makeKey(role: string): Promise<string> {
  const { body } = await installation.call('POST', '/api/v1/api-keys', {
    body: { name: `key-${crypto.randomUUID()}`, role },
  });
  return body.key;
}

describe('S1: every route has a permission', () => {
  it('answers 401 without a key on every route that is not open, before it reads anything', async () => {
    const { routes, url } = installation.controlPlane;
    const judged = [];
    for (const { method, path, access } of routes) {
      const { status } = await callApi(url, method, concrete(path));
      judged.push({ route: `${method} ${path}`, status, access: access?.kind });
    }
    const open = judged.filter(({ status }) => status < 400).map(({ route }) => route);
    expect(open.sort()).toEqual(
      ['GET', 'HEAD']
        .flatMap((method) => ['/healthz', '/readyz', '/api/v1/agent/challenge'].map((path) => `${method} ${path}`))
        .sort(),
    );
    expect(judged.filter(({ access }) => access === undefined)).toEqual([]);
    const rest = judged.filter(({ status, access }) => status >= 400 && access !== 'open');
    expect(rest.length).toBeGreaterThan(25);
    expect(rest.filter(({ status }) => status !== 401)).toEqual([]);
  });

  it.each([
    ['POST', '/api/v1/agent/join'],
    ['POST', '/api/v1/agent/credentials'],
  ])('answers 401 to a wrong proof on %s %s', async (method, path) => {
    const body = {
      publicKey: `U${'A'.repeat(55)}`,
      nonce: 'x'.repeat(40),
      signature: 'x'.repeat(86),
      agentVersion: '1',
    };
    const token = path.endsWith('join') ? { token: 'atolljoin_garbage' } : {};
    const answer = await callApi(installation.controlPlane.url, method, path, { body: { ...body, ...token } });
    expect(answer).toMatchObject({ status: 401, body: { type: 'urn:atoll:problem:unproven' } });
  });

  it('answers 401 on unknown paths without a key and 404 with one', async () => {
    for (const path of ['/', '/nothing', '/api/v1/nothing', '/api/v1/clusters/a/b/c', '/.env']) {
      expect((await installation.call('GET', path, { key: null })).status).toBe(401);
      expect(await installation.call('GET', path)).toMatchObject({
        status: 404,
        body: { type: 'urn:atoll:problem:not-found' },
      });
    }
  });
});

describe('S3: keys', () => {
  const garbage = [
    'Bearer',
    'Bearer ',
    'Bearer x',
    'Basic',
    'Basic !!!',
    'Bearer atoll_',
    'Bearer atoll__',
    "Bearer atoll_' OR 1=1 --_x",
    `Bearer atoll_${'a'.repeat(16)}_${'b'.repeat(43)}`,
    `Bearer ${'a'.repeat(10_000)}`,
    'Digest username="x"',
    'atoll',
    '\u00ff\u00fe',
    'Bearer atoll_\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9_x',
    `Basic ${Buffer.from('owner:atoll_x_y').toString('base64')}`,
  ]; // prettier-ignore
  it.each(garbage)('answers the same 401 to %j', async (authorization) => {
    const answer = await installation.call('GET', '/api/v1/clusters', { key: null, headers: { authorization } });
    const { instance: _, ...body } = answer.body;
    expect({ status: answer.status, body }).toEqual({
      status: 401,
      body: {
        type: 'urn:atoll:problem:unauthenticated',
        title: 'Credentials are missing or wrong',
        status: 401,
        detail: 'Send "Authorization: Bearer atoll_…" with a key that is valid, not expired and not revoked.',
      },
    });
  });

  it('answers 401 to a right public id with a wrong secret', async () => {
    const wrong = spoilt(installation.ownerKey);
    expect((await installation.call('GET', '/api/v1/clusters', { key: wrong })).status).toBe(401);
  });

  it('wrote the owner key to a file that only its owner reads, and showed it nowhere', async () => {
    const path = join(installation.directory, 'owner.key');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const secret = secretOf((await readFile(path, 'utf8')).trim());
    expect(installation.log.join('')).not.toContain(secret);
    expect(installation.log.join('')).toContain(path);
  });

  it('takes the key as HTTP Basic password on the documentation only, and asks browsers for it', async () => {
    const authorization = `Basic ${Buffer.from(`any:${installation.ownerKey}`).toString('base64')}`;
    const docs = await installation.call('GET', '/api/docs', { key: null, headers: { authorization } });
    expect(docs.status).toBe(200);
    expect((await installation.call('GET', '/api/v1/clusters', { key: null, headers: { authorization } })).status).toBe(
      401,
    );
    const asked = await installation.call('GET', '/api/docs', { key: null });
    expect(asked.headers.get('www-authenticate')).toMatch(/^Basic /);
  });

  it('acts on a revocation at once, in another control plane within a second', async () => {
    const other = await installation.startAnother();
    const { body: made } = await installation.call('POST', '/api/v1/api-keys', {
      body: { name: 'short-lived', role: 'viewer' },
    });
    expect((await installation.call('GET', '/api/v1/models', { key: made.key })).status).toBe(200);
    expect((await callApi(other.url, 'GET', '/api/v1/models', { key: made.key })).status).toBe(200);
    expect((await installation.call('DELETE', `/api/v1/api-keys/${made.id}`)).status).toBe(204);
    expect((await installation.call('GET', '/api/v1/models', { key: made.key })).status).toBe(401);
    const passedMs = startStopwatch();
    const atOther = async () => (await callApi(other.url, 'GET', '/api/v1/models', { key: made.key })).status;
    await eventually(async () => expect(await atOther()).toBe(401));
    expect(passedMs()).toBeLessThan(1_000);
  }, 60_000);
});

describe('S4: roles', () => {
  it.each([
    ['viewer', 'GET', '/api/v1/clusters', 200],
    ['viewer', 'POST', '/api/v1/models', 403],
    ['viewer', 'GET', '/api/v1/api-keys', 403],
    ['inference', 'GET', '/api/v1/models', 403],
    ['operator', 'POST', '/api/v1/join-tokens', 403],
    ['operator', 'GET', '/api/v1/audit', 403],
  ])('%s: %s %s is %i', async (role, method, path, want) => {
    const key = await makeKey(role);
    const body = method === 'POST' ? { name: 'x' } : undefined;
    expect((await installation.call(method, path, { key, body })).status).toBe(want);
  });

  it('lets nobody make or revoke a key that may do more than theirs', async () => {
    const admin = await makeKey('admin');
    const made = await installation.call('POST', '/api/v1/api-keys', {
      key: admin,
      body: { name: 'mine', role: 'owner' },
    });
    expect(made).toMatchObject({ status: 403, body: { type: 'urn:atoll:problem:forbidden' } });
    const { body: keys } = await installation.call('GET', '/api/v1/api-keys?limit=200');
    const owner = keys.items.find(({ name }: { name: string }) => name === 'owner');
    expect((await installation.call('DELETE', `/api/v1/api-keys/${owner.id}`, { key: admin })).status).toBe(403);
  });
});

describe('U6: the document', () => {
  it('lists exactly the routes that there are', async () => {
    const { body: document } = await installation.call('GET', '/api/openapi.json');
    expect(document.openapi).toBe('3.1.0');
    const documented = Object.entries(document.paths as Record<string, object>).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const routed = installation.controlPlane.routes
      .filter(({ method }) => method !== 'HEAD')
      .map(({ method, path }) => `${method} ${path.replace(/:([a-z]+)/g, '{$1}').replace(/\*$/, '{path}')}`);
    expect(documented.sort()).toEqual(routed.sort());
  });

  it('gives every operation with a body its schema, and every success its own', async () => {
    const { body: document } = await installation.call('GET', '/api/openapi.json');
    const text = JSON.stringify(document.paths['/api/v1/deployments'].post);
    expect(text).toContain('servedModel');
    expect(text).toContain('application/problem+json');
    expect(text).toContain('Idempotency-Key');
  });

  it('serves the page and its parts from here', async () => {
    const page = await installation.call('GET', '/api/docs');
    expect(page.body).not.toMatch(/https?:\/\//);
    const parts = [...String(page.body).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path!);
    expect(parts.length).toBe(4);
    for (const path of parts) expect((await installation.call('GET', path)).status).toBe(200);
  });
});

describe('operation', () => {
  it('is ready, and shows metrics to those who may read them', async () => {
    expect((await installation.call('GET', '/readyz', { key: null })).body).toMatchObject({ status: 'ready' });
    expect((await installation.call('GET', '/metrics')).body).toContain('atoll_http_requests_total');
  });

  it('keeps a sane request id and replaces another', async () => {
    const kept = await installation.call('GET', '/healthz', { headers: { 'x-request-id': 'abc-1' } });
    expect(kept.headers.get('x-request-id')).toBe('abc-1');
    const replaced = await installation.call('GET', '/healthz', { headers: { 'x-request-id': 'a b'.repeat(50) } });
    expect(replaced.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });
});
