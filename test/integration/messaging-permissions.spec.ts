// S2 on a real nats-server: what a cluster's credentials reach, and what they do not; revocation of a live connection.

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import {
  type ConnectionStatus,
  type ConnectNatsOptions,
  connectNats,
  createIdentity,
  inboxPrefixOf,
  issueUserJwt,
  type MessagingError,
  type NatsIdentity,
  type NatsRole,
  type NatsSession,
  permissionTables,
  publishEvent,
  publishJson,
  pushAccountJwt,
  revokeUsers,
} from '#messaging';
import { startNatsServer, type TestNatsServer } from '#testing';

let server: TestNatsServer;
let center: NatsSession;
const sessions: NatsSession[] = [];

async function identityFor(role: NatsRole, token: string): Promise<NatsIdentity & { publicKey: string }> {
  const { publicKey, seed } = createIdentity();
  const account = role === 'system' ? server.operator.systemAccount : server.operator.atollAccount;
  const jwt = await issueUserJwt({
    accountSeed: account.seed,
    userPublicKey: publicKey,
    name: token,
    role,
    permissions: permissionTables[role](token),
    ttlSeconds: 3600,
    ...(role === 'agent' ? { clusterId: token } : {}),
  });
  return { publicKey, jwt, seed };
}

async function open(role: NatsRole, token: string, change: Partial<ConnectNatsOptions> = {}) {
  const identity = await identityFor(role, token);
  const session = await connectNats({
    servers: server.url,
    credentials: () => identity,
    name: token,
    inboxPrefix: inboxPrefixOf(token),
    isFirstConnectionAwaited: false,
    reconnectWaitMs: 50,
    reconnectJitterMs: 50,
    ...change,
  });
  sessions.push(session);
  return { session, identity, connection: session.connection };
}

beforeAll(async () => {
  server = await startNatsServer();
  center = (await open('control-plane', 'control-plane')).session;
}, 60_000);

afterAll(async () => {
  await Promise.all(sessions.map((session) => session.close(500)));
  await server.stop();
}, 60_000);

describe("S2: an agent's credentials", () => {
  it.each([
    'atoll.v1.c2.hb',
    'atoll.v1.c2.report',
    'atoll.v1.c2.event',
    'atoll.v1.c1.desired',
    'atoll.v1.c1.hb.more',
    'atoll.v1.routes',
    'atoll.v1.gateways',
    '_INBOX_c2.x',
    '_INBOX_control-plane.x',
    '$SYS.REQ.CLAIMS.UPDATE',
    '$JS.API.STREAM.CREATE.X',
    '$JS.API.STREAM.DELETE.ATOLL_EVENTS',
  ])('cannot publish to %s', async (subject) => {
    const errors: MessagingError[] = [];
    const { session, connection } = await open('agent', 'c1', { onError: (error) => errors.push(error) });
    const heard: string[] = [];
    const listening = center.connection.subscribe('atoll.v1.>', {
      callback: (_error, m) => void heard.push(m.subject),
    });
    await center.connection.flush();
    publishJson(connection, subject, { spoofed: true });
    publishJson(connection, 'atoll.v1.c1.hb', {});
    await connection.flush();
    await center.connection.flush();
    listening.unsubscribe();
    await session.close(500);
    expect(heard).toEqual(['atoll.v1.c1.hb']);
    expect(errors.map((error) => error.failure)).toEqual(['forbidden']);
  });

  it.each([
    'atoll.v1.c2.desired',
    'atoll.v1.*.hb',
    'atoll.v1.>',
    '>',
    '_INBOX_c2.>',
    '_INBOX_control-plane.>',
    '_INBOX.>',
    '$SYS.>',
    '$JS.EVENT.>',
  ])('cannot subscribe to %s', async (subject) => {
    const { session, connection } = await open('agent', 'c1');
    const subscription = connection.subscribe(subject, { callback: () => undefined });
    await connection.flush();
    expect(await subscription.closed).toMatchObject({ name: 'PermissionViolationError' });
    await session.close(500);
  });

  it('cannot make or read streams', async () => {
    const { session, connection } = await open('agent', 'c1');
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 500 });
    await expect(manager.streams.add({ name: 'MINE', subjects: ['atoll.v1.c1.event'] })).rejects.toThrow();
    await expect(manager.streams.info('ATOLL_EVENTS')).rejects.toThrow();
    const streams = await jetstreamManager(center.connection, { checkAPI: false });
    expect(await streams.streams.names().next()).toEqual([]);
    await session.close(500);
  });

  it('cannot answer for a foreign cluster, but answers its own calls', async () => {
    const { session, connection } = await open('agent', 'c1');
    connection.subscribe('atoll.v1.c1.rpc.>', { callback: (_error, message) => void message.respond('{"ok":true}') });
    await connection.flush();
    const reply = await center.connection.request('atoll.v1.c1.rpc.drain', '{}', { timeout: 2000 });
    expect(reply.json()).toEqual({ ok: true });
    await expect(center.connection.request('atoll.v1.c2.rpc.drain', '{}', { timeout: 500 })).rejects.toThrow();
    await session.close(500);
  });

  it('do not work with a JWT of one key and the seed of another', async () => {
    const { jwt } = await identityFor('agent', 'c1');
    const credentials = () => ({ jwt, seed: createIdentity().seed });
    await expect(open('agent', 'c1', { credentials })).rejects.toMatchObject({ failure: 'unauthorized' });
  });

  it('do not work once expired, and work again renewed at the next attempt', async () => {
    const { publicKey, seed } = createIdentity();
    const issue = (ttlSeconds: number) =>
      issueUserJwt({
        accountSeed: server.operator.atollAccount.seed,
        userPublicKey: publicKey,
        name: 'c1',
        role: 'agent',
        clusterId: 'c1',
        permissions: permissionTables.agent('c1'),
        ttlSeconds,
      });
    let jwt = await issue(-60);
    const seen: ConnectionStatus[] = [];
    const opening = open('agent', 'c1', {
      credentials: () => ({ jwt, seed }),
      isFirstConnectionAwaited: true,
      onStatus: (status) => {
        seen.push(status);
        if (status.state === 'disconnected') void issue(60).then((renewed) => (jwt = renewed));
      },
    });
    await (await opening).session.close(500);
    expect(seen.map((status) => status.state)).toEqual(['disconnected', 'connected', 'closed']);
    expect(seen[0]).toMatchObject({ failure: 'unauthorized' });
  });
});

describe('S2: a gateway', () => {
  it('hears heartbeats but neither reports nor desired documents, and publishes no routes', async () => {
    const errors: MessagingError[] = [];
    const { session, connection } = await open('gateway', 'g1', { onError: (error) => errors.push(error) });
    const heard = new Promise<string>((resolve) => {
      connection.subscribe('atoll.v1.*.hb', { callback: (_error, message) => resolve(message.subject) });
    });
    for (const subject of ['atoll.v1.*.report', 'atoll.v1.c1.desired', 'atoll.v1.>']) {
      const subscription = connection.subscribe(subject, { callback: () => undefined });
      await connection.flush();
      expect(await subscription.closed).toMatchObject({ name: 'PermissionViolationError' });
    }
    publishJson(connection, 'atoll.v1.routes', { sequence: 1 });
    await connection.flush();
    publishJson(center.connection, 'atoll.v1.c1.hb', {});
    expect(await heard).toBe('atoll.v1.c1.hb');
    expect(errors.at(-1)).toMatchObject({ failure: 'forbidden' });
    await session.close(500);
  });
});

describe('S2: revocation', () => {
  it('cuts the live connection within 1 s, refuses the reconnect, also after a restart of the server', async () => {
    const system = (await open('system', 'system')).session;
    const other = await open('agent', 'c2');
    let cutAt = 0;
    const cut = new Promise<ConnectionStatus>((resolve) => {
      void open('agent', 'c1', {
        onStatus: (status) => {
          if (status.state !== 'disconnected') return;
          cutAt = performance.now();
          resolve(status);
        },
      }).then(async ({ identity }) => {
        // Its JWT and the account's carry whole seconds; the push must be newer than the account that was preloaded.
        const revokedAtSeconds = Math.floor(Date.now() / 1000) + 1;
        const keys = {
          operatorSeed: server.operator.operator.seed,
          accountPublicKey: server.operator.atollAccount.publicKey,
        };
        const jwt = await revokeUsers(keys, [{ userPublicKey: identity.publicKey, revokedAtSeconds }]);
        revoked = identity;
        pushedAt = performance.now();
        await pushAccountJwt(system.connection, jwt);
      });
    });
    let revoked: NatsIdentity | undefined;
    let pushedAt = 0;
    expect(await cut).toMatchObject({ state: 'disconnected', failure: 'unauthorized' });
    expect(cutAt - pushedAt).toBeLessThan(1000);
    const credentials = () => revoked as NatsIdentity;
    await expect(open('agent', 'c1', { credentials })).rejects.toMatchObject({ failure: 'unauthorized' });
    expect(other.session.status().state).toBe('connected');
    await server.restart();
    await expect(open('agent', 'c1', { credentials })).rejects.toMatchObject({ failure: 'unauthorized' });
    const rejoined = await open('agent', 'c3');
    await expect(publishEvent(rejoined.connection, 'c3', 'm1', {})).rejects.toMatchObject({ failure: 'no-responder' });
  }, 60_000);

  it('refuses claims that the operator did not sign', async () => {
    const system = (await open('system', 'system')).session;
    const { seed, publicKey } = server.operator.atollAccount;
    const signing = revokeUsers({ operatorSeed: seed, accountPublicKey: publicKey }, []);
    await expect(signing).rejects.toMatchObject({ name: 'CredentialError' });
    await expect(pushAccountJwt(system.connection, 'not-a-jwt')).rejects.toMatchObject({ name: 'ClaimsUpdateError' });
  });
});
