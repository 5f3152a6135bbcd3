import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { closerOfUnused } from './http-server.ts';

describe('connections that have asked nothing', () => {
  let server: Server;
  let closeUnused: () => void;
  beforeEach(async () => {
    server = createServer((_request, response) => void response.end('ok'));
    closeUnused = closerOfUnused(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  async function open(): Promise<Socket> {
    const accepted = once(server, 'connection');
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await accepted;
    return socket;
  }
  async function ask(socket: Socket): Promise<string> {
    socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    return answer.toString().split('\r\n')[0]!;
  }

  it('are closed, with those that come later; one that asks is answered to its end', async () => {
    const [unused, used] = [await open(), await open()];
    expect(await ask(used)).toBe('HTTP/1.1 200 OK');
    const closed = once(unused.resume(), 'close');
    closeUnused();
    await closed;
    const late = await open();
    if (!late.closed) await once(late.resume(), 'close');
    expect(await ask(used)).toBe('HTTP/1.1 200 OK');
    used.destroy();
  });
});
