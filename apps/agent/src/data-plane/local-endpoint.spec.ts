import { afterEach, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { pino } from 'pino';
import type { DesiredState } from '#domain';
import { type ChargedRequest, type Charging, KeyAuthenticator, openAiError, type SpentTokens } from '#inference';
import { eventually } from '#testing';
import { answers, FakeReplica, refuses, shelf, USAGE } from '../../test/engines.fixture.ts';
import { bundleOf, deploymentOf, keyOf, START_MS } from '../../test/offline.builders.ts';
import { silentMetrics } from '../metrics.ts';
import { OfflineView } from '../offline/offline-view.ts';
import { LocalEndpoint } from './local-endpoint.ts';
import { ReplicaRouter } from './replica-router.ts';

const OTHER_TENANT = '01900000-0000-7000-8000-00000000e002';
const mine = keyOf('mineaaaa');
const limited = keyOf('limited1', { models: ['other'] });
const viewer = keyOf('viewer11', { role: 'viewer' });
const foreign = keyOf('foreign1', { tenantId: OTHER_TENANT });
const expired = keyOf('expired1', { expiresAtMs: START_MS - 1 });
const unhashed = keyOf('unhashed', { offlineHash: null });
const keys = [mine, limited, viewer, foreign, expired, unhashed];

class Recorder implements Charging {
  readonly begun: ChargedRequest[] = [];
  readonly ended: (SpentTokens | null)[] = [];
  refusal: ReturnType<typeof openAiError> | null = null;

  begin: Charging['begin'] = async (_key, request) => {
    if (this.refusal !== null) return this.refusal;
    this.begun.push(request);
    let isOpen = true;
    return {
      end: (spent) => {
        if (isOpen) this.ended.push(spent);
        isOpen = false;
      },
    };
  };
}

interface World {
  readonly replicas: readonly FakeReplica[];
  readonly charging: Recorder;
  readonly url: string;
  ask(body: object, headers?: Record<string, string>, path?: string): Promise<Response>;
}

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Change {
  readonly replicas?: readonly FakeReplica[];
  readonly obstacle?: ReturnType<typeof openAiError>;
  readonly isInContact?: boolean;
  readonly desired?: DesiredState;
  readonly inflightMax?: number;
}

async function start(change: Change = {}): Promise<World> {
  const replicas = change.replicas ?? [await FakeReplica.start('one')];
  const view = new OfflineView(
    bundleOf({
      keys: keys.map(({ key }) => key),
      deployments: [deploymentOf({ adapters: [{ name: 'tiny-lora', versionDigest: 'b'.repeat(64) }] })],
    }),
  );
  const charging = new Recorder();
  const source = {
    pepper: view.pepper,
    key: (publicId: string) => view.key(publicId),
    confirm: async () => change.isInContact ?? true,
    obstacle: () => change.obstacle ?? null,
  };
  const endpoint = new LocalEndpoint({
    host: '127.0.0.1',
    port: 0,
    clusterName: 'edge-1',
    inflightMax: change.inflightMax ?? 100,
    bodyBytesMax: 1_000_000,
    firstByteTimeoutMs: 5_000,
    idleTimeoutMs: 5_000,
    keys: new KeyAuthenticator(source, () => START_MS),
    view: () => view,
    versionNumberOf: () => 3,
    router: new ReplicaRouter({ replicas: shelf(replicas), desired: () => change.desired ?? null }),
    charging,
    log: pino({ level: 'silent' }),
    metrics: silentMetrics,
  });
  const url = `http://127.0.0.1:${await endpoint.start()}`;
  closers.push(() => endpoint.stop(0), ...replicas.map((replica) => () => replica.stop()));
  const ask = (body: object, headers = {}, path = '/v1/chat/completions') =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${mine.token}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'hi' }], ...body }),
    });
  return { replicas, charging, url, ask };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

describe('R4: the local endpoint', () => {
  it('answers, and says who, by which path and which version', async () => {
    const { ask, replicas, charging } = await start();
    const answer = await ask({ max_tokens: 50 }, { 'x-request-id': 'r-1', 'x-atoll-session': 's', cookie: 'c' });
    expect(answer.status).toBe(200);
    expect(Object.fromEntries([...answer.headers].filter(([name]) => /^x-/.test(name)))).toEqual({
      'x-request-id': 'r-1',
      'x-atoll-cluster': 'edge-1',
      'x-atoll-path': 'local',
      'x-atoll-replica': 'one',
      'x-atoll-choice': 'predicted-first-token',
      'x-atoll-version': 'a'.repeat(64),
      'x-atoll-version-number': '3',
      'x-atoll-attempts': '1',
    });
    const { headers } = replicas[0]!.heads[0]!;
    expect([headers.authorization, headers.cookie, headers['x-atoll-session']]).toEqual([
      'Bearer engine-token',
      undefined,
      undefined,
    ]);
    expect(await answer.json()).toMatchObject({ usage: USAGE });
    expect(charging.begun).toMatchObject([{ servedModel: 'tiny', reservedTokens: 53 }]);
    expect(charging.ended).toEqual([{ promptTokens: 7, completionTokens: 5, isEstimated: false }]);
  });

  it.each([
    { name: 'asked for by the client', body: { stream_options: { include_usage: true } }, wantEvents: 4 },
    { name: 'not asked for, and kept here', body: {}, wantEvents: 3 },
  ])('the usage of a stream counts, $name', async ({ body, wantEvents }) => {
    const { ask, charging, replicas } = await start();
    const text = await (await ask({ stream: true, ...body })).text();
    expect(text.split('\n\n').filter((event) => event !== '')).toHaveLength(wantEvents);
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(JSON.parse(replicas[0]!.bodies[0]!.toString())).toMatchObject({ stream_options: { include_usage: true } });
    expect(charging.ended).toEqual([{ promptTokens: 7, completionTokens: 5, isEstimated: false }]);
  });

  it('counts by events where the engine does not say', async () => {
    const silent = await FakeReplica.start('one', (request, response, body) => {
      const { stream_options: _dropped, ...rest } = JSON.parse(body.toString());
      answers(request, response, Buffer.from(JSON.stringify(rest)));
    });
    const { ask, charging } = await start({ replicas: [silent] });
    await (await ask({ stream: true })).text();
    expect(charging.ended).toEqual([{ promptTokens: expect.any(Number), completionTokens: 2, isEstimated: true }]);
  });

  it('R14: a stream that breaks is an error event without [DONE], and is counted as far as it came', async () => {
    const broken = await FakeReplica.start('one', (_request, response) => {
      response.setHeader('content-type', 'text/event-stream');
      response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n', () => response.destroy());
    });
    const { ask, charging } = await start({ replicas: [broken] });
    const text = await (await ask({ stream: true })).text();
    expect([text.includes('"error"'), text.includes('[DONE]')]).toEqual([true, false]);
    expect(charging.ended).toMatchObject([{ completionTokens: 1, isEstimated: true }]);
  });

  it('R13: a failure before the first byte goes to one other replica, and no further', async () => {
    const replicas = await Promise.all(['one', 'two', 'three'].map((id) => FakeReplica.start(id, refuses(503))));
    const { ask, charging } = await start({ replicas });
    const answer = await ask({});
    expect([answer.status, answer.headers.get('x-atoll-attempts')]).toEqual([503, '2']);
    expect(replicas.flatMap(({ bodies }) => bodies)).toHaveLength(2);
    expect(charging.ended).toEqual([null]);
    for (const replica of replicas) replica.behave = answers;
    expect((await ask({})).status).toBe(200);
  });

  it('R13: with every replica failing, upstreams are hit at most 1.2 times as often, and a small start', async () => {
    const replicas = await Promise.all(['one', 'two'].map((id) => FakeReplica.start(id, refuses(503))));
    const { ask } = await start({ replicas });
    for (let count = 0; count < 100; count += 1) await (await ask({})).text();
    expect(replicas.flatMap(({ bodies }) => bodies).length).toBeLessThanOrEqual(100 * 1.2 + 10);
  });

  it('what is wrong with the request is not tried elsewhere', async () => {
    const replicas = await Promise.all(['one', 'two'].map((id) => FakeReplica.start(id, refuses(400))));
    const { ask, charging } = await start({ replicas });
    expect((await ask({})).status).toBe(400);
    expect(replicas.flatMap(({ bodies }) => bodies)).toHaveLength(1);
    expect(charging.ended).toEqual([null]);
  });

  it.each<[string, string | undefined]>([
    ['that speaks plain OpenAI', undefined],
    ['of a dialect', 'vllm'],
  ])('A01: a request that is wrong does not make a session leave its replica, %s', async (_name, dialect) => {
    const replicas = await Promise.all(['one', 'two'].map((id) => FakeReplica.start(id)));
    for (const { replica } of replicas) replica.endpoint = { ...replica.endpoint!, dialect };
    const { ask } = await start({ replicas });
    const session = { 'x-atoll-session': 's' };
    const first = (await ask({}, session)).headers.get('x-atoll-replica');
    for (const replica of replicas) replica.behave = refuses(400);
    expect((await ask({}, session)).status).toBe(400);
    for (const replica of replicas) replica.behave = answers;
    expect((await ask({}, session)).headers.get('x-atoll-replica')).toBe(first);
  });

  it('an adapter is a model too, and its name goes to the engine', async () => {
    const { ask, replicas } = await start();
    expect((await ask({ model: 'tiny-lora' })).status).toBe(200);
    expect(JSON.parse(replicas[0]!.bodies[0]!.toString()).model).toBe('tiny-lora');
  });

  it('lists the models that the key may use', async () => {
    const { url } = await start();
    const list = async (token: string, path = '') => {
      const answer = await fetch(`${url}/v1/models${path}`, { headers: bearer(token) });
      return [answer.status, await answer.json()];
    };
    const model = { id: 'tiny', object: 'model', created: START_MS / 1_000, owned_by: 'atoll' };
    const lora = { ...model, id: 'tiny-lora' };
    expect(await list(mine.token)).toEqual([200, { object: 'list', data: [model, lora] }]);
    expect(await list(foreign.token)).toEqual([200, { object: 'list', data: [] }]);
    expect(await list(mine.token, '/tiny')).toEqual([200, model]);
    expect(await list(limited.token, '/tiny')).toMatchObject([404, { error: { code: 'model_not_found' } }]);
    expect(await list(mine.token, '/%E0%A4%A')).toMatchObject([404, { error: { code: 'model_not_found' } }]);
  });

  it.each([
    { name: 'no replica that is ready', phase: 'Starting', min: undefined, want: 'no_ready_replica' },
    { name: 'no version that is new enough', phase: 'Ready', min: '4', want: 'version_not_available' },
  ] as const)('$name is 503', async ({ phase, min, want }) => {
    const { ask } = await start({ replicas: [await FakeReplica.start('one', answers, { phase })] });
    const answer = await ask({}, min === undefined ? {} : { 'x-atoll-min-version': min });
    expect([answer.status, await answer.json()]).toMatchObject([503, { error: { code: want } }]);
  });

  it('A08: a replica that drains gets nothing new', async () => {
    const replicas = await Promise.all(['one', 'two'].map((id) => FakeReplica.start(id)));
    const desired = { replicas: [{ replicaId: 'one', draining: true, deploymentId: 'd' }] } as unknown as DesiredState;
    const { ask } = await start({ replicas, desired });
    for (let count = 0; count < 10; count += 1) await (await ask({})).text();
    expect(replicas.map(({ bodies }) => bodies.length)).toEqual([0, 10]);
  });

  it('A01: a session stays with its replica', async () => {
    const replicas = await Promise.all(['one', 'two', 'three'].map((id) => FakeReplica.start(id)));
    const { ask } = await start({ replicas });
    const first = (await ask({}, { 'x-atoll-session': 's' })).headers.get('x-atoll-replica');
    for (const body of [{ user: 's' }, { prompt_cache_key: 's' }, { user: 'other', prompt_cache_key: 's' }]) {
      const { headers } = await ask(body);
      expect([headers.get('x-atoll-replica'), headers.get('x-atoll-choice')]).toEqual([first, 'session']);
    }
  });

  it('U5: the official SDK works unchanged', async () => {
    const { url } = await start();
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: mine.token, maxRetries: 0 });
    const request = { model: 'tiny', messages: [{ role: 'user' as const, content: 'hi' }] };
    expect((await client.chat.completions.create(request)).choices[0]?.message.content).toBe('hello');
    const pieces: string[] = [];
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      pieces.push(chunk.choices[0]!.delta.content ?? '');
    }
    expect(pieces.join('')).toBe('hello');
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['tiny', 'tiny-lora']);
    await expect(client.chat.completions.create({ ...request, model: 'none' })).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });

  it('a budget that refuses costs no engine anything', async () => {
    const { ask, charging, replicas } = await start();
    charging.refusal = openAiError('insufficient_quota', { message: 'tenant acme is spent', retryAfterSeconds: 30 });
    const answer = await ask({});
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '30']);
    expect(await answer.json()).toMatchObject({ error: { message: 'tenant acme is spent' } });
    expect(replicas[0]!.bodies).toHaveLength(0);
  });

  it('R16: beyond its bound of requests in flight it sheds', async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const slow = await FakeReplica.start('one', (request, response, body) => {
      void held.then(() => answers(request, response, body));
    });
    const { ask } = await start({ replicas: [slow], inflightMax: 1 });
    const first = ask({});
    const second = await eventually(async () => {
      const answer = slow.bodies.length === 0 ? undefined : await ask({});
      if (answer === undefined) throw new Error('the first has not arrived');
      return answer;
    });
    expect([second.status, second.headers.get('retry-after')]).toEqual([503, '1']);
    release();
    expect((await first).status).toBe(200);
  });
});

describe('S3: keys at the local endpoint', () => {
  it.each([
    { name: 'none', token: undefined, want: 401 },
    { name: 'garbage', token: 'Bearer x', want: 401 },
    { name: 'a wrong secret', token: mine.token.replace(/s+$/, 't'.repeat(24)), want: 401 },
    { name: 'an unknown one, in contact', token: keyOf('unknown1').token, want: 401 },
    { name: 'R12: an unknown one, out of contact', token: keyOf('unknown1').token, isInContact: false, want: 503 },
    { name: 'an expired one', token: expired.token, want: 401 },
    { name: 'one that cannot be checked offline', token: unhashed.token, want: 503 },
    { name: 'one without the right to infer', token: viewer.token, want: 403 },
    { name: 'one for other models', token: limited.token, want: 404 },
    { name: 'S5: one of another tenant', token: foreign.token, want: 404 },
  ])('$name: $want', async ({ token, isInContact, want }) => {
    const { ask } = await start({ isInContact });
    const answer = await ask({}, { authorization: token === undefined ? '' : `Bearer ${token}` });
    const { error } = (await answer.json()) as { error: object };
    expect([answer.status, Object.keys(error)]).toEqual([want, ['message', 'type', 'param', 'code']]);
  });

  it.each(['/', '/v1/models', '/v1/chat/completions', '/healthz', '/metrics', '/v1/embeddings'])(
    'S1: without a key %s is 401, also while nothing can be judged',
    async (path) => {
      const { url } = await start({ obstacle: openAiError('offline_permission') });
      expect((await fetch(`${url}${path}`)).status).toBe(401);
    },
  );

  it('without a permission that holds, a key is 503 with the reason', async () => {
    const { ask } = await start({ obstacle: openAiError('offline_permission', { message: 'ended 2 h ago' }) });
    const answer = await ask({});
    expect([answer.status, await answer.json()]).toMatchObject([503, { error: { message: 'ended 2 h ago' } }]);
  });

  it.each([
    { name: 'another path', path: '/v1/embeddings', body: {}, want: 404 },
    { name: 'no model', path: undefined, body: { model: 7 }, want: 400 },
    { name: 'a body beyond its bound', path: undefined, body: { pad: 'x'.repeat(1_000_001) }, want: 413 },
  ])('S11: $name: $want', async ({ path, body, want }) => {
    const { ask } = await start();
    expect((await ask(body, {}, path)).status).toBe(want);
  });
});
