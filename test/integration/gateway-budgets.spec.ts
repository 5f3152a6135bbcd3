// Budgets at the gateway, with the control plane's own desk on real Postgres behind real NATS: what a request through the
// gateway is charged, once, whatever becomes of answer, gateway and centre.
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type GatewayUsage, gatewayUsageSchema, SUBJECTS } from '#contracts';
import { type Budget, budgetTitle } from '#domain';
import { type NatsSession, subscribeJson } from '#messaging';
import { migrate, openStore, type PostgresStore } from '#store';
import { createTestDatabase, eventually, type TestDatabase } from '#testing';
import { GatewayUsageDesk } from '../../apps/control-plane/src/budgets/gateway-usage.ts';
import { Leases } from '../../apps/control-plane/src/budgets/leases.ts';
import { chunkOf } from '../bench/gateway/behaviours.ts';
import type { Behaviour } from '../bench/gateway/fake-cluster.ts';
import { createKey, identityFor, openSession } from '../bench/gateway/installation.ts';
import { insertBudget, insertKey, insertTenant } from './budgets.fixture.ts';
import { errorOf, GatewayWorld, TENANT } from './gateway-world.ts';

const USAGE = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 };
let database: TestDatabase;
let store: PostgresStore;
let world: GatewayWorld;
let session: NatsSession;
let budget: Budget;
/** What the gateway asked, and whether anybody answers. */
let heard: GatewayUsage[];
let isAway: boolean;
/** Of answers that are streams: chunks, and whether the engine was asked for the usage of the stream. */
let wasAskedForUsage: boolean;

const answering: Behaviour = (request, response, body) => {
  const { stream } = JSON.parse(body.toString('utf8')) as { stream?: boolean };
  if (stream !== true) {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ choices: [], usage: USAGE }));
    return;
  }
  wasAskedForUsage = request.headers['x-atoll-usage'] === 'true';
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(chunkOf('one'));
  response.end(`data: ${JSON.stringify({ choices: [], usage: USAGE })}\n\ndata: [DONE]\n\n`);
};

beforeEach(() => {
  [heard, isAway, wasAskedForUsage] = [[], false, false];
});
beforeAll(async () => {
  database = await createTestDatabase({ migrate });
  store = await openStore({ url: database.url, poolSize: 4 });
  world = await GatewayWorld.start();
  await world.addCluster({ name: 'one', path: 'direct', behave: answering });
  world.route();
  session = await openSession(world.nats.url, await identityFor(world.nats.operator, 'control-plane', 'control-plane'));
  const desk = new GatewayUsageDesk(store, new Leases(store, {} as never));
  subscribeJson(
    session.connection,
    SUBJECTS.usage,
    async ({ value, respond }) => {
      if (isAway) return;
      heard.push(gatewayUsageSchema.parse(value));
      respond(await desk.answer(heard.at(-1)!));
    },
    { onError: () => undefined },
  );
  await session.connection.flush();
}, 60_000);
afterEach(async () => {
  isAway = false;
  await world.gateway.shutdown.run('spec');
});
afterAll(async () => {
  await world?.stop();
  await session?.close(500);
  await store?.close();
  await database?.drop();
});

/** A key of a tenant with a budget of so many tokens; the gateway serves it. */
async function startWith(limitTokens: number, behave: Behaviour = answering): Promise<void> {
  const { token, key } = createKey({ tenantId: TENANT });
  await insertKey(store, { tenantId: TENANT, publicId: key.publicId });
  budget = await insertBudget(store, { limitTokens, keyPublicId: key.publicId });
  world.token = token;
  const budgets = [{ budgetId: budget.id, title: budgetTitle(budget) }];
  world.centre.changeQuietly({ keys: [{ ...key, budgetIds: [budget.id] }], budgets });
  for (const cluster of world.clusters) Object.assign(cluster, { behave, cancelled: 0 });
  await world.startGateway();
  await world.untilReachable();
  await world.untilRouted();
}

const standing = async () => (await store.read.budgets.standings([budget]))[0]!;
const stateFolder = () => dirname(world.routesFile);

describe('a request through the gateway', () => {
  it('takes a lease at its first use, is charged what the engine said, and what is left goes back at the end', async () => {
    await startWith(100_000);
    expect((await standing()).outTokens).toBe(0);
    expect((await world.chat()).status).toBe(200);
    expect((await standing()).outTokens).toBeGreaterThan(0);
    await world.gateway.shutdown.run('spec');
    expect(await standing()).toMatchObject({ spentTokens: 12, outTokens: 0, overdraftTokens: 0 });
    const entries = heard.flatMap(({ told }) => told).flatMap((each) => each.entries);
    expect(entries).toMatchObject([{ requests: 1, promptTokens: 7, completionTokens: 5, estimatedRequests: 0 }]);
  });

  it('that streams is charged by the usage that its client did not ask for and does not see', async () => {
    await startWith(100_000);
    const { text } = await world.chat({ stream: true });
    expect([wasAskedForUsage, text.includes('prompt_tokens'), text.includes('[DONE]')]).toEqual([true, false, true]);
    const own = await world.chat({ stream: true, stream_options: { include_usage: true } });
    expect([wasAskedForUsage, own.text.includes('prompt_tokens')]).toEqual([false, true]);
    await world.gateway.shutdown.run('spec');
    expect(await standing()).toMatchObject({ spentTokens: 24, outTokens: 0 });
  });

  it('whose client leaves is charged for what it was sent', async () => {
    let sent = 0;
    await startWith(100_000, (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (; sent < 3; sent += 1) response.write(chunkOf(`token ${sent} `));
    });
    const leaving = new AbortController();
    let seen = '';
    const onChunk = (text: string) => {
      seen += text;
      if (seen.includes('token 2')) leaving.abort();
    };
    await world.chat({ stream: true }, { onChunk, signal: leaving.signal }).catch(() => undefined);
    await eventually(() => expect(world.clusters.reduce((sum, { cancelled }) => sum + cancelled, 0)).toBe(1));
    await world.gateway.shutdown.run('spec');
    const [entry] = heard.flatMap(({ told }) => told).flatMap((each) => each.entries);
    expect(entry).toMatchObject({ requests: 1, completionTokens: 3, estimatedRequests: 1 });
    expect((await standing()).spentTokens).toBe(entry!.promptTokens + 3);
  });

  it('that gets no answer is charged nothing', async () => {
    await startWith(100_000, (_request, response) => void response.writeHead(503).end());
    expect((await world.chat()).status).toBe(503);
    await world.gateway.shutdown.run('spec');
    expect(await standing()).toMatchObject({ spentTokens: 0, outTokens: 0 });
  });

  it('is refused as at a cluster’s own endpoint when the budget has no room', async () => {
    await startWith(40);
    const refused = await world.chat();
    expect([refused.status, errorOf(refused).code]).toEqual([429, 'insufficient_quota']);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(errorOf(refused).message).toMatch(/^budget ".*" of 40 tokens in all: \d+ tokens are left here, and this/);
    expect((await world.chat({ max_tokens: 5 })).status).toBe(200);
  });

  it('goes on within its lease while nobody answers, and not beyond it', async () => {
    await startWith(4_000);
    expect((await world.chat({ max_tokens: 10 })).status).toBe(200);
    isAway = true;
    expect((await world.chat({ max_tokens: 2_000 })).status).toBe(200);
    const beyond = await world.chat({ max_tokens: 4_000 });
    expect([beyond.status, errorOf(beyond).code]).toEqual([429, 'insufficient_quota']);
  });
});

describe('R12: exactly once', () => {
  it('a gateway that comes back on its state folder tells what it had told already, and it counts once', async () => {
    await startWith(100_000);
    for (let count = 0; count < 3; count += 1) expect((await world.chat()).status).toBe(200);
    // As the disk is at this moment, when the ends are written and nothing of them is told yet or known to be.
    const kept = await mkdtemp(join(tmpdir(), 'atoll-gateway-state-'));
    await eventually(async () => {
      await rm(kept, { recursive: true, force: true });
      await cp(stateFolder(), kept, { recursive: true });
      const names = await readdir(join(kept, 'usage'));
      const texts = await Promise.all(names.map((name) => readFile(join(kept, 'usage', name), 'utf8')));
      expect(texts.join('').match(/"kind":"end"/g)).toHaveLength(3);
    });
    await world.gateway.shutdown.run('spec');
    const before = await standing();
    expect(before).toMatchObject({ spentTokens: 36, outTokens: 0 });
    await rm(stateFolder(), { recursive: true, force: true });
    await cp(kept, stateFolder(), { recursive: true });
    await rm(kept, { recursive: true, force: true });
    await world.startGateway();
    await world.untilReachable();
    expect((await world.chat()).status).toBe(200);
    await world.gateway.shutdown.run('spec');
    const after = await standing();
    expect([after.outTokens, new Set(heard.map(({ gatewayId }) => gatewayId)).size]).toEqual([0, 1]);
    expect(after.spentTokens).toBe(48);
  });

  it('a telling that comes twice counts once, and one of a tenant that nobody knows is kept in the audit log', async () => {
    const tenant = await insertTenant(store);
    const all = await insertBudget(store, { tenantId: tenant.id });
    const desk = new GatewayUsageDesk(store, new Leases(store, {} as never));
    const entry = {
      ...{ tenantId: tenant.id, keyPublicId: 'made-since', deploymentId: all.id, servedModel: 'tiny', leaseIds: [] },
      ...{ versionDigest: 'a'.repeat(64), requests: 1, promptTokens: 7, completionTokens: 5, estimatedRequests: 0 },
    };
    const lost = { ...entry, tenantId: all.id, leaseIds: [all.id] };
    const telling = { id: all.id, at: new Date().toISOString(), entries: [{ ...entry, leaseIds: [all.id] }, lost] };
    const request = { gatewayId: tenant.id, told: [telling], wishes: [], returns: [] };
    for (let time = 0; time < 2; time += 1) expect((await desk.answer(request)).taken).toEqual([all.id]);
    expect((await store.read.budgets.standings([all]))[0]).toMatchObject({ spentTokens: 12, overdraftTokens: 12 });
    const entries = await store.read.audit.list({ tenantId: TENANT, limit: 50, after: null });
    const kept = entries.filter(({ action, targetId }) => action === 'usage.refused' && targetId === tenant.id);
    expect(kept).toMatchObject([{ detail: { tokens: 12, entries: 1, keys: ['made-since'] } }]);
  });
});
