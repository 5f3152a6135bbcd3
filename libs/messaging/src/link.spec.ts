import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Client } from 'undici';
import { issueUserJwt } from './credentials.ts';
import type { LinkRefusedError } from './errors.ts';
import { createIdentity, type NatsIdentity } from './identity.ts';
import { type AcceptLinkOptions, acceptLink } from './link/accept.ts';
import { type DialLinkOptions, dialLink } from './link/dial.ts';
import { createNatsOperator } from './operator.ts';
import { type NatsRole, permissionTables } from './permissions.ts';

const home = await createNatsOperator('home');
const foreign = await createNatsOperator('foreign');

async function identityOf(role: NatsRole, clusterId?: string, operator = home, ttlSeconds = 60): Promise<NatsIdentity> {
  const { publicKey, seed } = createIdentity();
  const permissions = clusterId ? permissionTables.agent(clusterId) : permissionTables.gateway('g1');
  const jwt = await issueUserJwt({
    accountSeed: operator.atollAccount.seed,
    userPublicKey: publicKey,
    name: role,
    role,
    permissions,
    ttlSeconds,
    ...(clusterId ? { clusterId } : {}),
  });
  return { jwt, seed };
}

const gateway = await identityOf('gateway');
const agent = await identityOf('agent', 'c1');
const trustedAccount = home.atollAccount.publicKey;

describe('link handshake', () => {
  let server: Server;
  let port = 0;
  let accepted: Promise<{ socket: Socket; outcome: unknown }>;
  let acceptOptions: AcceptLinkOptions;
  const sockets: Socket[] = [];

  beforeEach(async () => {
    acceptOptions = { identity: gateway, trustedAccount, allowedRoles: ['agent'], timeoutMs: 2000 };
    server = createServer((_request, response) => response.writeHead(401).end());
    server.on('connection', (socket) => sockets.push(socket));
    accepted = new Promise((resolve) => {
      server.on('upgrade', (incoming, socket, head) => {
        void acceptLink(incoming, socket, head, acceptOptions)
          .catch((cause: unknown) => cause)
          .then((outcome) => resolve({ socket: socket as Socket, outcome }));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server.close();
    await once(server, 'close');
  });

  function dial(change: Partial<DialLinkOptions> = {}) {
    const options: DialLinkOptions = {
      host: '127.0.0.1',
      port,
      identity: agent,
      trustedAccount,
      allowedRoles: ['gateway'],
      timeoutMs: 2000,
      ...change,
    };
    return dialLink(options).then((link) => {
      sockets.push(link.socket);
      return link;
    });
  }

  it('tells both ends who the other is', async () => {
    const link = await dial();
    expect(link.peer).toMatchObject({ role: 'gateway', clusterId: undefined });
    expect((await accepted).outcome).toMatchObject({ role: 'agent', clusterId: 'c1' });
  });

  it('R8: both ends have the kernel look for a peer that vanished without a word', async () => {
    const probes = jest.spyOn(Socket.prototype, 'setKeepAlive');
    const link = await dial();
    const { socket } = await accepted;
    expect(probes.mock.contexts).toEqual(expect.arrayContaining([link.socket, socket]));
    expect(probes.mock.calls.every(([isOn, afterMs]) => isOn === true && afterMs === 10_000)).toBe(true);
    probes.mockRestore();
  });

  /** The gateway is the HTTP client and the agent the server, whoever dialled. */
  async function speakHttp(agentSocket: Socket, gatewaySocket: Socket) {
    const agentServer = createServer((incoming, response) => {
      incoming.pipe(response.writeHead(200));
    });
    agentServer.emit('connection', agentSocket);
    // undici forgets the request when `connect` calls back at once: hence setImmediate.
    const pool = new Client('http://link', {
      connect: (_options, callback) => setImmediate(() => callback(null, gatewaySocket)),
      pipelining: 1,
    });
    for (const body of ['first', 'second'.repeat(50_000)]) {
      const response = await pool.request({ method: 'POST', path: '/v1/x', body });
      expect([response.statusCode, (await response.body.text()) === body]).toEqual([200, true]);
    }
    await pool.close();
  }

  it('carries HTTP/1.1 over a link that the agent dialled', async () => {
    const link = await dial();
    await speakHttp(link.socket, (await accepted).socket);
  });

  it('carries HTTP/1.1 over a link that the gateway dialled', async () => {
    acceptOptions = { ...acceptOptions, identity: agent, allowedRoles: ['gateway'] };
    const link = await dial({ identity: gateway, allowedRoles: ['agent'], expectedClusterId: 'c1' });
    await speakHttp((await accepted).socket, link.socket);
  });

  it('loses no byte that follows the handshake at once', async () => {
    const line = once(server, 'upgrade').then(([, socket]) => {
      const write = (socket as Socket).write.bind(socket);
      // The acceptor's OK and its first application bytes in one segment.
      (socket as Socket).write = ((text: string) => write(text.startsWith('OK ') ? `${text}GREETING` : text)) as never;
    });
    const link = await dial();
    await line;
    const [chunk] = await once(link.socket, 'data');
    expect(String(chunk)).toBe('GREETING');
  });

  const refusals: {
    name: string;
    change: () => Promise<Partial<DialLinkOptions>>;
    wantDialer: string;
    wantAcceptor: string;
  }[] = [
    {
      name: 'S2: a dialer of another installation',
      change: async () => ({ identity: await identityOf('agent', 'c1', foreign) }),
      wantDialer: 'refused',
      wantAcceptor: 'untrusted',
    },
    {
      name: 'S2: a dialer with a stolen JWT but not its seed',
      change: async () => ({ identity: { jwt: agent.jwt, seed: createIdentity().seed } }),
      wantDialer: 'refused',
      wantAcceptor: 'proof',
    },
    {
      name: 'a dialer whose JWT expired long ago',
      change: async () => ({ identity: await identityOf('agent', 'c1', home, -3600) }),
      wantDialer: 'refused',
      wantAcceptor: 'expired',
    },
    {
      name: 'a dialer with another role',
      change: async () => ({ identity: gateway }),
      wantDialer: 'refused',
      wantAcceptor: 'role',
    },
    {
      name: 'an acceptor of another installation',
      change: async () => ({ trustedAccount: foreign.atollAccount.publicKey }),
      wantDialer: 'untrusted',
      wantAcceptor: 'closed',
    },
    {
      name: 'an acceptor of another cluster',
      change: async () => ({ expectedClusterId: 'c2' }),
      wantDialer: 'role',
      wantAcceptor: 'closed',
    },
    {
      name: 'an acceptor that was revoked',
      change: async () => ({ isRevoked: () => true }),
      wantDialer: 'revoked',
      wantAcceptor: 'closed',
    },
  ];
  it.each(refusals)('refuses $name', async ({ change, wantDialer, wantAcceptor }) => {
    const dialer = (await dial(await change()).catch((cause: unknown) => cause)) as LinkRefusedError;
    expect(dialer.refusal).toBe(wantDialer);
    expect((await accepted).outcome).toMatchObject({ refusal: wantAcceptor });
  });

  it('R22: takes a JWT that expired within the grace of wrong clocks', async () => {
    const link = await dial({ identity: await identityOf('agent', 'c1', home, -300) });
    expect(link.peer.role).toBe('gateway');
  });

  it('refuses an acceptor that cannot prove the identity it shows', async () => {
    acceptOptions = { ...acceptOptions, identity: { jwt: gateway.jwt, seed: createIdentity().seed } };
    // Its key differs from the JWT's, so already the dialer's proof is for somebody else.
    await expect(dial()).rejects.toMatchObject({ refusal: 'refused' });
  });

  it.each([
    [
      'no nonce',
      'GET /link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: atoll-link/1\r\n\r\n',
      'HTTP/1.1 400',
    ],
    [
      'another protocol',
      'GET /link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      'HTTP/1.1 400',
    ],
    ['no upgrade at all', 'GET /link HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 'HTTP/1.1 401'],
  ])('refuses %s', async (_name, head, want) => {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.write(head);
    expect((await socket.setEncoding('utf8').toArray()).join('')).toContain(want);
  });

  const NONCE = 'A'.repeat(43);
  const HEAD = `GET /link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: atoll-link/1\r\nx-atoll-nonce: ${NONCE}\r\n\r\n`;

  it.each([
    ['an endless line', 'x'.repeat(20_000), 'malformed'],
    ['garbage', 'hello world\n', 'untrusted'],
    ['too many words', 'a b c\n', 'malformed'],
  ])('S11: says NO to %s and closes', async (_name, line, want) => {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.write(HEAD);
    socket.once('data', () => socket.write(line));
    socket.on('error', () => undefined);
    expect((await accepted).outcome).toMatchObject({ refusal: want });
    if (!socket.closed) await once(socket, 'close');
  });

  it('S11: a silent dialer is cut at the time bound', async () => {
    acceptOptions = { ...acceptOptions, timeoutMs: 100 };
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.write(HEAD);
    const text = (await socket.setEncoding('utf8').toArray()).join('');
    expect(text).toMatch(/NO timeout\n$/);
  });

  it('bounds a dial to a silent acceptor, and ends it by signal', async () => {
    const silent = createTcpServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const silentPort = (silent.address() as AddressInfo).port;
    await expect(dial({ port: silentPort, timeoutMs: 100 })).rejects.toMatchObject({ refusal: 'timeout' });
    const stop = new AbortController();
    const aborted = dial({ port: silentPort, signal: stop.signal });
    stop.abort();
    await expect(aborted).rejects.toMatchObject({ refusal: 'closed' });
    silent.close();
    for (const socket of sockets) socket.destroy();
    await once(silent, 'close');
    // Nobody: port 1, not one that was free a moment ago.
    await expect(dial({ port: 1 })).rejects.toMatchObject({ refusal: 'closed' });
  });
});
