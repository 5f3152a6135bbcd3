// What gateways get over their links: the named replica, or one that stands in for it.
import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { DesiredState } from '#domain';
import { answers, FakeReplica, refuses, shelf } from '../../test/engines.fixture.ts';
import { DEPLOYMENT_ID, DIGEST } from '../../test/offline.builders.ts';
import { silentMetrics } from '../metrics.ts';
import { InferenceServer } from './inference-server.ts';
import { ReplicaRouter } from './replica-router.ts';

const OTHER = 'b'.repeat(64);
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}
type Ask = (replicaId: string, body?: object, headers?: Record<string, string>) => Promise<Answer>;

/** A gateway's end of a link, and the agent's. */
async function serve(replicas: readonly FakeReplica[], desired: DesiredState | null = null): Promise<Ask> {
  const router = new ReplicaRouter({ replicas: shelf(replicas), desired: () => desired });
  const bounds = { bodyBytesMax: 100_000, firstByteTimeoutMs: 5_000, idleTimeoutMs: 5_000 };
  const server = new InferenceServer({ router, ...bounds, metrics: silentMetrics });
  const links = createServer((socket) => server.take(socket)).listen(0, '127.0.0.1');
  await once(links, 'listening');
  closers.push(
    () => links.close(),
    () => server.stop(0),
    ...replicas.map((replica) => () => replica.stop()),
  );
  const { port } = links.address() as AddressInfo;
  return async (replicaId, body = {}, headers = {}) => {
    const outgoing = request({
      createConnection: () => connect(port, '127.0.0.1'),
      method: 'POST',
      path: '/v1/chat/completions',
      headers: { 'x-atoll-replica': replicaId, ...headers },
    });
    outgoing.end(JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'hi' }], ...body }));
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    const text = (await response.setEncoding('utf8').toArray()).join('');
    return { status: response.statusCode!, headers: response.headers, text };
  };
}

const wanted = (replicaId: string, change: object = {}) =>
  ({ replicaId, deploymentId: DEPLOYMENT_ID, versionDigest: DIGEST, draining: false, ...change }) as never;

describe('what a gateway gets', () => {
  it('the only replica there is, with the body untouched and unread', async () => {
    const one = await FakeReplica.start('one');
    const ask = await serve([one]);
    const { status, headers } = await ask('one', { n: 1 }, { 'x-atoll-session': 's', authorization: 'Bearer link' });
    expect([status, headers['x-atoll-replica'], headers['x-atoll-version']]).toEqual([200, 'one', DIGEST]);
    expect(one.bodies[0]!.toString()).toBe('{"model":"tiny","messages":[{"role":"user","content":"hi"}],"n":1}');
    expect(one.heads[0]!.headers).toMatchObject({ authorization: 'Bearer engine-token' });
  });

  it('a stream with its usage, where the gateway asks for it, which is passed on', async () => {
    const one = await FakeReplica.start('one');
    const ask = await serve([one]);
    const { text } = await ask('one', { stream: true }, { 'x-atoll-usage': 'true' });
    expect(JSON.parse(one.bodies[0]!.toString())).toMatchObject({ stream_options: { include_usage: true } });
    expect([text.includes('"usage"'), one.heads[0]!.headers['x-atoll-usage']]).toEqual([true, undefined]);
  });

  it('S11: headers as large as any that a gateway lets in', async () => {
    const one = await FakeReplica.start('one');
    const ask = await serve([one]);
    expect((await ask('one', {}, { 'x-large': 'x'.repeat(31_000) })).status).toBe(200);
  });

  it('A01: one that stands in for it, where the session is known', async () => {
    const replicas = await Promise.all(['one', 'two', 'three'].map((id) => FakeReplica.start(id)));
    const ask = await serve(replicas);
    const session = { 'x-atoll-session': 's' };
    const first = (await ask('one', {}, session)).headers['x-atoll-replica'];
    for (const named of ['one', 'two', 'three']) {
      const { headers } = await ask(named, {}, session);
      expect([headers['x-atoll-replica'], headers['x-atoll-choice']]).toEqual([first, 'session']);
    }
  });

  it('A08: another of the same version while the named one drains or starts; never one of another version', async () => {
    const one = await FakeReplica.start('one', answers, { phase: 'Starting' });
    const two = await FakeReplica.start('two');
    const old = await FakeReplica.start('old', answers, { versionDigest: OTHER });
    const desired = {
      replicas: [wanted('one'), wanted('gone'), wanted('two'), wanted('old', { versionDigest: OTHER, draining: true })],
    } as never;
    const ask = await serve([one, two, old], desired);
    for (const named of ['one', 'gone', 'two']) expect((await ask(named)).headers['x-atoll-replica']).toBe('two');
    const refused = await Promise.all([ask('old'), ask('unknown')]);
    expect(refused.map(({ status, headers }) => [status, headers['x-atoll-retryable']])).toEqual([
      [503, 'true'],
      [503, 'true'],
    ]);
  });

  it('R13: one try and no more: the gateway has the budget of retries', async () => {
    const replicas = await Promise.all(['one', 'two'].map((id) => FakeReplica.start(id, refuses(503))));
    const ask = await serve(replicas);
    const { status, headers } = await ask('one');
    expect([status, headers['x-atoll-retryable'], headers['x-atoll-version']]).toEqual([503, 'true', DIGEST]);
    expect(replicas.flatMap(({ bodies }) => bodies)).toHaveLength(1);
  });

  it('the policy of the deployment: the document says which', async () => {
    const replicas = await Promise.all(['one', 'two'].map((id) => FakeReplica.start(id)));
    const routing = { pick: 'power-of-two', spillMs: 0, spillRatio: 0, prefixHitMin: 1, explorationShare: 0 };
    const ask = await serve(replicas, { replicas: [wanted('one', { routing }), wanted('two', { routing })] } as never);
    expect((await ask('one')).headers['x-atoll-choice']).toBe('power-of-two');
  });

  it('A05: an adapter is served where it is loaded', async () => {
    const one = await FakeReplica.start('one');
    const two = await FakeReplica.start('two', answers, { adapters: new Set(['lora']) });
    const ask = await serve([one, two]);
    const asked = await Promise.all(Array.from({ length: 20 }, () => ask('one', { model: 'lora' })));
    expect(asked.map(({ headers }) => headers['x-atoll-replica'])).toEqual(asked.map(() => 'two'));
    expect((await ask('one', { model: 'nobody-has-it' })).status).toBe(200);
  });

  it('an engine that started anew has forgotten the session', async () => {
    const replicas = await Promise.all(['one', 'two'].map((id) => FakeReplica.start(id)));
    const ask = await serve(replicas);
    const session = { 'x-atoll-session': 's' };
    const first = (await ask('one', {}, session)).headers['x-atoll-replica'];
    const { replica } = replicas.find((each) => each.replica.replicaId === first)!;
    Object.assign(replica, { instance: { instanceId: 'another' } });
    expect((await ask('one', {}, session)).headers['x-atoll-choice']).not.toBe('session');
  });

  it.each([
    { name: 'too large', body: { pad: 'x'.repeat(100_001) }, want: 413 },
    { name: 'without messages, which the engine is to judge', body: { messages: undefined }, want: 200 },
  ])('S11: a body that is $name: $want', async ({ body, want }) => {
    const replicas = await Promise.all(['one', 'two'].map((id) => FakeReplica.start(id)));
    expect((await (await serve(replicas))('one', body)).status).toBe(want);
  });
});
