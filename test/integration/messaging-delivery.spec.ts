// Request–reply, the Nest strategy, events and durability on a real nats-server that is killed and made to forget.

import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import {
  type ConnectionStatus,
  connectNats,
  consumeEvents,
  createIdentity,
  type DropReason,
  EVENT_STREAM,
  inboxPrefixOf,
  issueUserJwt,
  type MessageContext,
  type NatsRole,
  type NatsSession,
  NatsTransportStrategy,
  permissionTables,
  publishEvent,
  publishJson,
  readDurability,
  refuse,
  requestJson,
  subscribeJson,
} from '#messaging';
import { eventually, startNatsServer, startStopwatch, type TestNatsServer } from '#testing';

let server: TestNatsServer;
const sessions: NatsSession[] = [];

async function open(role: NatsRole, token: string, onStatus: (status: ConnectionStatus) => void = () => undefined) {
  const { publicKey, seed } = createIdentity();
  const account = role === 'system' ? server.operator.systemAccount : server.operator.atollAccount;
  const jwt = await issueUserJwt({
    accountSeed: account.seed,
    userPublicKey: publicKey,
    name: token,
    role,
    permissions: permissionTables[role](token),
    ...(role === 'agent' ? { clusterId: token } : {}),
  });
  const session = await connectNats({
    servers: server.url,
    credentials: () => ({ jwt, seed }),
    name: token,
    inboxPrefix: inboxPrefixOf(token),
    reconnectWaitMs: 50,
    reconnectJitterMs: 50,
    onStatus,
  });
  sessions.push(session);
  return session;
}

/** Awaits a condition, bounded. */
async function until(isSo: () => boolean | Promise<boolean>, what: string, timeoutMs = 15_000): Promise<void> {
  await eventually(
    async () => {
      if (!(await isSo())) throw new Error(`not yet: ${what}`);
    },
    { timeoutMs, intervalMs: 20 },
  );
}

beforeAll(async () => {
  server = await startNatsServer();
}, 60_000);

afterAll(async () => {
  await Promise.all(sessions.map((session) => session.close(500)));
  await server.stop();
}, 60_000);

const heard: { cluster: string | undefined; value: unknown }[] = [];
let release: (() => void) | undefined;

@Controller()
class FleetController {
  @EventPattern<string>('atoll.v1.*.hb', { queue: 'control-plane' })
  hearHeartbeat(@Payload() value: unknown, @Ctx() context: MessageContext): void {
    if (value === 'throw') throw new Error('handler broke');
    heard.push({ cluster: context.clusterToken, value });
  }

  @MessagePattern('atoll.v1.*.fetch', { queue: 'control-plane' })
  fetchDesired(@Payload() value: { ask?: string } | undefined, @Ctx() context: MessageContext): unknown {
    if (value?.ask === 'throw') throw new Error('secret detail');
    if (value?.ask === 'refuse') return refuse('stale-epoch', 'Fetch again.');
    if (value?.ask === 'rpc') throw new RpcException({ code: 'not-found', message: 'No such cluster.' });
    return { cluster: context.clusterToken, echo: value ?? null, filler: 'x'.repeat(3000) };
  }

  @MessagePattern('atoll.v1.gateways.fetch', { queue: 'control-plane', concurrencyMax: 1, pendingMax: 1 })
  fetchSlowly(): Promise<unknown> {
    return new Promise((resolve) => {
      release = () => resolve({ gateways: [] });
    });
  }
}

@Module({ controllers: [FleetController] })
class FleetModule {}

describe('transport strategy', () => {
  const dropped: { subject: string; reason: DropReason }[] = [];
  const failed: unknown[] = [];
  let center: NatsSession;
  let agent: NatsSession;
  let stop: () => Promise<void>;

  beforeAll(async () => {
    center = await open('control-plane', 'control-plane');
    agent = await open('agent', 'c1');
    const strategy = new NatsTransportStrategy({
      connection: center.connection,
      bounds: { bytesMax: 4096, bytesMaxDecoded: 20_000 },
      onDropped: ({ subject, reason }) => dropped.push({ subject, reason }),
      onHandlerError: (cause) => failed.push(cause),
    });
    const app = await NestFactory.createMicroservice(FleetModule, { strategy, logger: false });
    await app.listen();
    stop = () => app.close();
  }, 60_000);
  afterAll(() => stop());

  const fetch = (value: unknown) => requestJson(agent.connection, 'atoll.v1.c1.fetch', value, { timeoutMs: 3000 });

  it('hands events to handlers with the cluster of the subject, large ones through zstd', async () => {
    publishJson(agent.connection, 'atoll.v1.c1.hb', { sequence: 1 });
    publishJson(agent.connection, 'atoll.v1.c1.hb', { text: 'y'.repeat(10_000) });
    await until(() => heard.length === 2, 'two heartbeats');
    expect(heard[0]).toEqual({ cluster: 'c1', value: { sequence: 1 } });
    expect(heard[1]?.value).toEqual({ text: 'y'.repeat(10_000) });
  });

  it('answers requests with plain JSON, also an empty one', async () => {
    expect(await fetch({ revision: 3 })).toMatchObject({ cluster: 'c1', echo: { revision: 3 } });
    const raw = await agent.connection.request('atoll.v1.c1.fetch', '', { timeout: 3000 });
    expect(raw.headers?.get('content-encoding')).toBe('zstd');
  });

  it('answers errors with code and message, hiding what is inside', async () => {
    await expect(fetch({ ask: 'refuse' })).rejects.toMatchObject({ code: 'stale-epoch', message: 'Fetch again.' });
    await expect(fetch({ ask: 'rpc' })).rejects.toMatchObject({ code: 'not-found' });
    const error = await fetch({ ask: 'throw' }).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'internal' });
    expect(String(error)).not.toContain('secret');
  });

  it('drops and counts what it cannot read, and survives handlers that throw', async () => {
    const zstd = (await import('@nats-io/transport-node')).headers();
    zstd.set('content-encoding', 'zstd');
    agent.connection.publish('atoll.v1.c1.hb', '{"broken');
    agent.connection.publish('atoll.v1.c1.hb', 'x'.repeat(5000));
    agent.connection.publish('atoll.v1.c1.hb', 'plain', { headers: zstd });
    publishJson(agent.connection, 'atoll.v1.c1.hb', 'z'.repeat(30_000));
    await until(() => dropped.length === 4, 'four drops');
    expect(dropped.map(({ reason }) => reason).sort()).toEqual(['malformed', 'too-large', 'too-large', 'undecodable']);
    await expect(
      agent.connection.request('atoll.v1.c1.fetch', '{', { timeout: 2000 }).then((m) => m.json()),
    ).resolves.toMatchObject({ error: { code: 'malformed' } });
    const before = failed.length;
    publishJson(agent.connection, 'atoll.v1.c1.hb', 'throw');
    await until(() => failed.length > before, 'the handler error');
    expect(await fetch({})).toMatchObject({ cluster: 'c1' });
  });

  it('gives a literal pattern its requests, not the wildcard, and refuses those beyond the bound at once', async () => {
    const ask = () => requestJson(agent.connection, 'atoll.v1.gateways.fetch', {}, { timeoutMs: 3000 });
    const first = ask();
    await until(() => release !== undefined, 'the first request in hand');
    const second = ask();
    await expect(ask()).rejects.toMatchObject({ code: 'overloaded' });
    release?.();
    await first;
    release?.();
    await expect(second).resolves.toEqual({ gateways: [] });
  });

  it('lets one of two control planes handle a queued message', async () => {
    const other = await open('control-plane', 'control-plane');
    const strategy = new NatsTransportStrategy({ connection: other.connection });
    let count = 0;
    const count1 = async () => {
      count += 1;
    };
    strategy.addHandler('atoll.v1.*.hb', count1, true, { queue: 'control-plane' });
    await strategy.listen(() => undefined);
    const before = heard.length;
    for (let n = 0; n < 20; n += 1) publishJson(agent.connection, 'atoll.v1.c1.hb', n);
    await until(() => count + heard.length - before >= 20, 'all heartbeats');
    await agent.connection.flush();
    expect(count + heard.length - before).toBe(20);
    await strategy.close();
  });

  it('asks a subject without listeners in vain, and says so at once', async () => {
    await expect(
      requestJson(center.connection, 'atoll.v1.c9.rpc.drain', {}, { timeoutMs: 3000 }),
    ).rejects.toMatchObject({ failure: 'no-responder' });
  });

  it('listens without Nest, in order', async () => {
    const seen: unknown[] = [];
    const end = subscribeJson(agent.connection, 'atoll.v1.c1.desired', ({ value }) => void seen.push(value), {
      onError: (error) => seen.push(error.name),
    });
    await agent.connection.flush();
    publishJson(center.connection, 'atoll.v1.c1.desired', { revision: 1 });
    center.connection.publish('atoll.v1.c1.desired', '{');
    publishJson(center.connection, 'atoll.v1.c1.desired', { revision: 2 });
    await until(() => seen.length === 3, 'three hints');
    expect(seen).toEqual([{ revision: 1 }, 'PayloadError', { revision: 2 }]);
    await end();
  });
});

describe('R3: durability', () => {
  it('is read from the server', async () => {
    const system = await open('system', 'system');
    const durability = await readDurability(system.connection);
    expect(durability).toMatchObject({ couldLoseAckedWrites: false });
    expect(durability.serverVersion).toMatch(/^2\.\d+/);
  });
});

describe('R2: events', () => {
  it('an event that always fails leaves the stream after its bound; the others go on', async () => {
    const center = await open('control-plane', 'control-plane');
    const agent = await open('agent', 'c1');
    const seen: string[] = [];
    const consumption = consumeEvents(
      center.connection,
      async ({ messageId, deliveries }) => {
        seen.push(`${messageId} ${deliveries}`);
        if (messageId === 'poison') throw new Error('it cannot be stored');
      },
      { retryMs: 20, deliveriesMax: 3 },
    );
    const publish = (id: string) =>
      until(
        () =>
          publishEvent(agent.connection, 'c1', id, { id }, 1000).then(
            () => true,
            () => false,
          ),
        `event ${id} stored`,
      );
    await publish('poison');
    await until(() => seen.includes('poison 3'), 'the third delivery');
    await publish('good');
    await until(() => seen.includes('good 1'), 'the next event');
    await consumption.stop();
    const manager = await jetstreamManager(center.connection, { checkAPI: false });
    // The last acknowledgement may yet be on its way.
    const pending = async () => (await manager.consumers.info(EVENT_STREAM, 'control-plane')).num_ack_pending;
    await until(async () => (await pending()) === 0, 'nothing is left to be delivered');
    expect(seen.filter((each) => each.startsWith('poison'))).toEqual(['poison 1', 'poison 2', 'poison 3']);
  });

  it('come once acknowledged, again when the handler failed, and after NATS was killed and forgot everything', async () => {
    const states: string[] = [];
    const center = await open('control-plane', 'control-plane', ({ state }) => states.push(state));
    const agent = await open('agent', 'c1');
    const seen: string[] = [];
    const failures = new Map<string, number>();
    const consumption = consumeEvents(
      center.connection,
      async ({ clusterId, messageId, body, deliveries }) => {
        if (messageId === 'm2' && deliveries < 3) {
          failures.set(messageId, deliveries);
          throw new Error('database away');
        }
        seen.push(`${clusterId}/${messageId}/${JSON.stringify(body)}`);
      },
      { retryMs: 50 },
    );
    /** As an agent's outbox does: again and again until stored. */
    const publish = async (id: string) => {
      let isDuplicate = false;
      await until(async () => {
        const stored = await publishEvent(agent.connection, 'c1', id, { id }, 1000).catch(() => undefined);
        isDuplicate = stored?.isDuplicate ?? false;
        return stored !== undefined;
      }, `event ${id} stored`);
      return isDuplicate;
    };
    expect(await publish('m1')).toBe(false);
    expect(await publish('m1')).toBe(true);
    await publish('m2');
    await until(() => seen.length === 2, 'm1 and m2');
    expect(seen).toEqual(['c1/m1/{"id":"m1"}', 'c1/m2/{"id":"m2"}']);
    expect(failures.get('m2')).toBe(2);

    await server.kill();
    await until(() => states.includes('disconnected'), 'the loss noticed');
    await rm(server.storeDirectory, { recursive: true, force: true });
    await server.restart();
    await publish('m3');
    await until(() => seen.length === 3, 'm3');
    expect(seen[2]).toBe('c1/m3/{"id":"m3"}');
    expect(states.slice(0, 3)).toEqual(['connected', 'disconnected', 'connected']);
    const passedMs = startStopwatch();
    await consumption.stop();
    expect(passedMs()).toBeLessThan(3_000);
  }, 60_000);
});
