// S1, S2, S3, S8, S11: what strangers get, whatever they send.
import { METHODS } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { v7 } from 'uuid';
import { dialLink } from '#messaging';
import { eventually } from '#testing';
import { answering } from '../bench/gateway/behaviours.ts';
import { createKey, identityFor } from '../bench/gateway/installation.ts';
import { errorOf, GatewayWorld, TENANT } from './gateway-world.ts';
import { spoilt } from './spoilt.fixture.ts';

let world: GatewayWorld;

beforeAll(async () => {
  world = await GatewayWorld.start();
  await world.startPair(answering(), {
    bodyBytesMax: 64 * 1024,
    headersSecondsMax: 1,
    requestSecondsMax: 2,
    connectionsMax: 200,
  });
}, 60_000);
afterAll(() => world.stop());

const REFUSED = {
  error: {
    message: 'Incorrect API key provided. Send a valid key as "Authorization: Bearer <key>".',
    type: 'invalid_request_error',
    param: null,
    code: 'invalid_api_key',
  },
};

/** Bytes in, bytes out, until the other side closes. */
async function raw(text: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(world.gateway.url);
  const socket = connect(Number(port), hostname);
  let answer = '';
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1');
  });
  socket.write(text);
  await new Promise((resolve) => socket.once('close', resolve));
  return answer;
}

describe('S1: without a key everything is 401', () => {
  const paths = ['/', '/v1/models', '/v1/models/tiny', '/v1/chat/completions', '/v1/completions', '/v1/embeddings'];
  const stranger = [
    '/admin',
    '/api/v1/clusters',
    '/link',
    '/atoll/ping',
    '//',
    '/%00',
    '/v1/../etc/passwd',
    '/favicon.ico',
  ];
  const methods = METHODS.filter((method) => method !== 'CONNECT');

  it.each([...paths, ...stranger])('every method on %s', async (path) => {
    for (const method of methods) {
      const answer = await world.send(method, path, null, { token: null });
      const body = method === 'HEAD' ? null : JSON.parse(answer.text);
      expect([method, answer.status, body]).toEqual([method, 401, method === 'HEAD' ? null : REFUSED]);
      expect(answer.headers['www-authenticate']).toBe('Bearer');
    }
  });

  it('CONNECT, expectations and upgrades too', async () => {
    const head = 'HTTP/1.1\r\nHost: a\r\nConnection: close\r\n';
    expect(await raw(`CONNECT example.com:443 ${head}\r\n`)).toMatch(/^HTTP\/1.1 401 /);
    expect(await raw(`POST /v1/completions ${head}Expect: tea\r\nContent-Length: 0\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 401 /,
    );
    const upgrade = 'HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n';
    expect(await raw(`GET /v1/models ${upgrade}\r\n`)).toMatch(/^HTTP\/1.1 401 /);
  });

  it('metrics need a key that may read them; probes are open', async () => {
    expect((await world.get('/metrics', null)).status).toBe(401);
    expect((await world.get('/metrics')).status).toBe(401);
    const operator = createKey({ tenantId: TENANT, role: 'operator' });
    world.centre.change({ keys: [...world.centre.view.keys, operator.key] });
    await world.untilRouted();
    const metrics = await world.get('/metrics', operator.token);
    expect(metrics.status).toBe(200);
    expect(metrics.text).toContain('atoll_routes_sequence');
    expect((await world.get('/healthz', null)).status).toBe(200);
    expect((await world.get('/readyz', null)).status).toBe(200);
  });

  it('a client with a key that offers h2c is served in HTTP/1.1', async () => {
    const headers = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' };
    expect((await world.chat({}, { headers })).status).toBe(200);
  });
});

describe('S3: garbage in Authorization has one answer', () => {
  const secret = 'x'.repeat(32);
  const garbage: [string, string][] = [
    ['nothing', ''],
    ['no scheme', 'atoll_aaaaaaaaaaaaaaaa_'.concat(secret)],
    ['another scheme', 'Basic YTpi'],
    ['an unknown key', `Bearer atoll_aaaaaaaaaaaaaaaa_${secret}`],
    ['another product', `Bearer sk-${secret}`],
    ['SQL', "Bearer atoll_' OR 1=1; --_x"],
    ['a prototype', `Bearer atoll___proto__xx_${secret}`],
    ['unicode', `Bearer ${Buffer.from('atoll_ключ_секрет').toString('latin1')}`],
    ['binary', `Bearer ${Array.from({ length: 128 }, (_, code) => String.fromCharCode(code + 128)).join('')}`],
    ['8 KB', `Bearer ${'a'.repeat(8_000)}`],
    ['30 KB', `Bearer ${'a'.repeat(30_000)}`],
    ['half a megabyte', `Bearer ${'a'.repeat(500_000)}`],
  ];
  it.each(garbage)('%s', async (_name, authorization) => {
    for (const path of ['/v1/models', '/v1/chat/completions']) {
      const answer = await raw(
        Buffer.from(
          `POST ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: ${authorization}\r\nContent-Length: 0\r\n\r\n`,
          'latin1',
        ),
      );
      expect(answer.slice(0, 12)).toBe('HTTP/1.1 401');
      expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toEqual(REFUSED);
    }
  });

  it('the right public id with another secret, and a key that expired', async () => {
    const expired = createKey({ tenantId: TENANT, expiresAtMs: 1 });
    world.centre.change({ keys: [...world.centre.view.keys, expired.key] });
    await world.untilRouted();
    for (const token of [spoilt(world.token), expired.token]) {
      const answer = await world.get('/v1/models', token);
      expect([answer.status, JSON.parse(answer.text)]).toEqual([401, REFUSED]);
    }
  });

  it('five hundred Authorization headers, and a head that never ends', async () => {
    const many = `Authorization: Bearer ${secret}\r\n`.repeat(500);
    expect(await raw(`GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${many}\r\n`)).toMatch(
      /^HTTP\/1.1 401 /,
    );
    expect(await raw(`GET /v1/models HTTP/1.1\r\nHost: a\r\n${'X-A: b\r\n'.repeat(20_000)}`)).toMatch(
      /^HTTP\/1.1 401 /,
    );
  });
});

describe('S11: hostile requests are refused or bounded', () => {
  it.each([
    ['declared', true],
    ['undeclared', false],
  ])('a body beyond the bound (%s) is 413 and says the bound', async (_name, isDeclared) => {
    const body = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'x'.repeat(300_000) }] });
    const headers: Record<string, string> = isDeclared ? {} : { 'transfer-encoding': 'chunked' };
    const answer = await world.send('POST', '/v1/chat/completions', body, { headers });
    expect([answer.status, errorOf(answer).code]).toEqual([413, 'body_too_large']);
    expect(errorOf(answer).message).toContain('65536');
  });

  it('JSON nested 10,000 deep is 400', async () => {
    const answer = await world.send(
      'POST',
      '/v1/chat/completions',
      `{"model":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
    );
    expect(answer.status).toBe(400);
  });

  it('a head that comes too slowly is cut', async () => {
    const answer = await raw('POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthor');
    expect(answer).toMatch(/^HTTP\/1.1 408 /);
  }, 60_000);

  it('a body that comes too slowly is cut', async () => {
    const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${world.token}\r\nContent-Length: 1000\r\n\r\n{`;
    expect(await raw(head)).toMatch(/^HTTP\/1.1 408 |^$/);
  }, 60_000);

  it('smuggling is refused: two lengths, or a length beside chunks', async () => {
    const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${world.token}\r\n`;
    const hits = () => world.clusters.reduce((sum, cluster) => sum + cluster.hits, 0);
    const before = hits();
    expect(await raw(`${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef`)).toMatch(/^HTTP\/1.1 400 /);
    expect(await raw(`${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 400 /,
    );
    expect(hits()).toBe(before);
  });
});

describe('S2: links', () => {
  it('only the routed key of a cluster may hold a link, and losing its place cuts it at once', async () => {
    const { operator } = world.nats;
    const { port, hostname } = new URL(world.gateway.url);
    const dial = async (name: string) => {
      const identity = await identityFor(operator, 'agent', name);
      const own = { identity, trustedAccount: operator.atollAccount.publicKey };
      return dialLink({ host: hostname, port: Number(port), ...own, allowedRoles: ['gateway'] });
    };
    await expect(dial(v7())).rejects.toThrow('revoked');
    await expect(dial(world.clusters[1]!.id)).rejects.toThrow('revoked');

    const [, two] = world.clusters;
    await eventually(() => expect(two!.openSockets).toBeGreaterThan(0));
    const { clusters } = world.centre.view;
    world.centre.change({
      clusters: clusters.map((route) => (route.id === two!.id ? { ...route, phase: 'Left' } : route)),
    });
    await eventually(() => expect(two!.openSockets).toBe(0));
    world.centre.change({ clusters });
    await eventually(() => expect(two!.openSockets).toBeGreaterThan(0));
  }, 60_000);
});

it('S8: prompts and keys are in no log line', async () => {
  await world.chat({ messages: [{ role: 'user', content: 'my-secret-prompt' }] });
  await world.chat({ model: 'unknown', messages: [{ role: 'user', content: 'my-secret-prompt' }] });
  expect(world.log).not.toContain('my-secret-prompt');
  expect(world.log).not.toContain(world.token.slice(-32));
});
