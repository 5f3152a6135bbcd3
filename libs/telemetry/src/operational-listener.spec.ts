import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  bearerMatches,
  createMetrics,
  HealthRegistry,
  type OperationalListener,
  Registry,
  startOperationalListener,
} from './index.ts';

const health = new HealthRegistry();
const registry = new Registry();
let listener: OperationalListener;

beforeAll(async () => {
  createMetrics('agent', registry);
  listener = await startOperationalListener({
    health,
    registry,
    host: '127.0.0.1',
    port: 0,
    mayReadMetrics: (authorization) => bearerMatches(authorization, 'letmein'),
  });
});
afterAll(() => listener.close());

async function ask(path: string, init: RequestInit = {}) {
  const response = await fetch(`http://127.0.0.1:${listener.port}${path}`, init);
  return { status: response.status, text: await response.text(), headers: response.headers };
}

describe('the listener', () => {
  it.each([
    ['/healthz', {}, 200],
    ['/healthz?x=1', {}, 200],
    ['/readyz', {}, 200],
    ['/readyz', { method: 'POST' }, 405],
    ['/metrics', {}, 401],
    ['/metrics', { method: 'POST' }, 401],
    ['/metrics', { method: 'POST', headers: { authorization: 'Bearer letmein' } }, 405],
    ['/metrics', { headers: { authorization: 'Bearer wrong' } }, 401],
    ['/metrics', { headers: { authorization: 'Basic letmein' } }, 401],
    ['/metrics', { headers: { authorization: 'Bearer letmein' } }, 200],
    ['/', {}, 401],
    ['/healthz/', {}, 401],
    ['/unknown', { headers: { authorization: 'Bearer letmein' } }, 401],
  ])('%s %j → %d', async (path, init, want) => {
    expect((await ask(path, init)).status).toBe(want);
  });

  it('serves metrics as prometheus reads them', async () => {
    const { text, headers } = await ask('/metrics', { headers: { authorization: 'Bearer letmein' } });
    expect([headers.get('content-type'), text.includes('# TYPE atoll_nats_connected gauge')]).toEqual([
      registry.contentType,
      true,
    ]);
  });

  it('answers 503 with the reasons when not ready, and stays live', async () => {
    health.register('nats', () => 'no link');
    const { status, text } = await ask('/readyz');
    expect([status, JSON.parse(text).checks[0].reason, (await ask('/healthz')).status]).toEqual([503, 'no link', 200]);
  });
});

it.each([
  ['Bearer t', 't', true],
  ['bearer t', 't', false],
  ['Bearer tt', 't', false],
  ['Bearer ', '', false],
  ['Bearer ', undefined, false],
  [undefined, 't', false],
  [undefined, undefined, false],
])('bearerMatches(%j, %j) is %j', (authorization, token, want) => {
  expect(bearerMatches(authorization, token)).toBe(want);
});
