// Gateways that connect and prove themselves, and strangers that do not, at one port.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import {
  createIdentity,
  createNatsOperator,
  dialLink,
  issueUserJwt,
  type NatsIdentity,
  type NatsRole,
  permissionTables,
} from '#messaging';
import { until } from '../../test/temporary-folder.ts';
import { silentMetrics } from '../metrics.ts';
import { DirectListener } from './direct-listener.ts';

const home = await createNatsOperator('home');
const trustedAccount = home.atollAccount.publicKey;
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function identityOf(role: NatsRole, clusterId?: string): Promise<NatsIdentity> {
  const { publicKey, seed } = createIdentity();
  const jwt = await issueUserJwt({
    ...{ accountSeed: home.atollAccount.seed, userPublicKey: publicKey, name: role, role, ttlSeconds: 60 },
    permissions: clusterId === undefined ? permissionTables.gateway('g1') : permissionTables.agent(clusterId),
    ...(clusterId === undefined ? {} : { clusterId }),
  });
  return { jwt, seed };
}

async function listen(strangersMax: number) {
  const taken: Socket[] = [];
  const identity = await identityOf('agent', 'c1');
  const listener = new DirectListener({
    ...{ host: '127.0.0.1', port: 0, strangersMax, log: pino({ level: 'silent' }), metrics: silentMetrics },
    trust: () => ({ identity, trustedAccount }),
    take: (socket) => void taken.push(socket.on('error', () => undefined)),
  });
  const port = await listener.start();
  closers.push(
    () => listener.stop(),
    () => taken.forEach((socket) => void socket.destroy()),
  );
  return { port, taken };
}

async function dial(port: number): Promise<Socket> {
  const identity = await identityOf('gateway');
  const { socket } = await dialLink({ host: '127.0.0.1', port, identity, trustedAccount, allowedRoles: ['agent'] });
  closers.push(() => socket.on('error', () => undefined).destroy());
  return socket;
}

async function come(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  closers.push(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

describe('S11: the port of the direct path', () => {
  it('bounds strangers, and does not count who has proven itself among them', async () => {
    const { port, taken } = await listen(1);
    for (let count = 1; count <= 3; count += 1) {
      await dial(port);
      await until(() => taken.length === count, 'the link is handed on');
    }
    await come(port);
    const second = await come(port);
    await once(second.resume(), 'close');
    expect([taken.length, taken.some(({ destroyed }) => destroyed)]).toEqual([3, false]);
  });

  it('a stranger that goes makes room', async () => {
    const { port, taken } = await listen(1);
    const stranger = await come(port);
    const refused = await come(port);
    await once(refused.resume(), 'close');
    stranger.destroy();
    await until(async () => {
      await dial(port).catch(() => undefined);
      return taken.length > 0;
    }, 'a gateway is let in');
  });

  it('a stranger who was refused does not stay, however long its own end is open', async () => {
    const { port, taken } = await listen(1);
    const stranger = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => undefined);
    closers.push(() => stranger.destroy());
    stranger.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    const [answer] = (await once(stranger, 'data')) as [Buffer];
    expect(answer.toString('latin1')).toMatch(/^HTTP\/1.1 401 /);
    await until(async () => {
      await dial(port).catch(() => undefined);
      return taken.length > 0;
    }, 'a gateway is let in');
    expect(stranger.writable).toBe(true);
  });

  it('S1: whatever else is asked is 401', async () => {
    const { port } = await listen(10);
    for (const path of ['/', '/link', '/v1/models']) {
      expect((await fetch(`http://127.0.0.1:${port}${path}`)).status).toBe(401);
    }
  });
});
