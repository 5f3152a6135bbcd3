// Real sockets: what becomes of a follower that hears nothing for long, and of one that goes.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type FastifyInstance, fastify } from 'fastify';
import { eventually } from '#testing';
import { sendLog } from './send-log.ts';

/** The server cuts what is silent for so long. */
const IDLE_MS = 100;
/** Of the kernel's clock, in /proc. */
const TICKS_A_SECOND = 100;

let server: FastifyInstance;
let port: number;
/** What the followed log says next; it ends with null. */
let says: (piece: string | null) => void;
let listening: AbortSignal | null;
const clients: Socket[] = [];

beforeEach(async () => {
  const written = new PassThrough();
  says = (piece) => void (piece === null ? written.end() : written.write(piece));
  listening = null;
  server = fastify({ connectionTimeout: IDLE_MS, forceCloseConnections: true });
  server.get('/:how', (request, reply) => {
    const { how } = request.params as { how: string };
    return sendLog(request, reply, how === 'follow', async (signal) => {
      listening = signal;
      return how === 'follow' ? piecesOf(written) : piecesOf(new PassThrough());
    });
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  port = (server.server.address() as AddressInfo).port;
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  says(null);
  await server.close();
});

async function* piecesOf(written: PassThrough): AsyncGenerator<string> {
  for await (const piece of written) yield String(piece);
}

interface Client {
  readonly socket: Socket;
  readonly heard: () => string;
}

async function ask(how: 'follow' | 'read'): Promise<Client> {
  const socket = connect({ host: '127.0.0.1', port });
  clients.push(socket);
  let heard = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    heard += text;
  });
  socket.on('error', () => undefined);
  socket.write(`GET /${how} HTTP/1.1\r\nhost: here\r\n\r\n`);
  await once(socket, 'connect');
  return { socket, heard: () => heard };
}

/** The timer that the kernel has on the server's end of a connection; null when there is no such connection. */
async function timerOf({ socket }: Client): Promise<{ kind: string; seconds: number } | null> {
  const hexOf = (value: number) => value.toString(16).toUpperCase().padStart(4, '0');
  const ends = [`0100007F:${hexOf(port)}`, `0100007F:${hexOf(socket.localPort!)}`];
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/));
  const timer = lines.find(([, local, remote]) => local === ends[0] && remote === ends[1])?.[5];
  if (timer === undefined) return null;
  const [kind, ticks] = timer.split(':') as [string, string];
  return { kind, seconds: Number.parseInt(ticks, 16) / TICKS_A_SECOND };
}

describe('a follower', () => {
  it('that hears nothing for long is not cut, as a reader is', async () => {
    const follower = await ask('follow');
    says('one\n');
    await eventually(() => expect(follower.heard()).toContain('one'));
    const reader = await ask('read');
    await once(reader.socket, 'close');
    says('two\n');
    await eventually(() => expect(follower.heard()).toContain('two'));
  });

  it('is told at once that its answer begins, before anything was written', async () => {
    const follower = await ask('follow');
    await eventually(() => expect(follower.heard()).toMatch(/^HTTP\/1\.1 200 [\s\S]*text\/plain[\s\S]*\r\n\r\n$/));
    says('one\n');
    await eventually(() => expect(follower.heard()).toContain('one'));
  });

  it('is asked by TCP whether its machine is still there, within 30 s of silence', async () => {
    const follower = await ask('follow');
    says('one\n');
    await eventually(() => expect(follower.heard()).toContain('one'));
    await eventually(async () => expect(await timerOf(follower)).toMatchObject({ kind: '02' }));
    const { seconds } = (await timerOf(follower))!;
    expect([seconds > 0, seconds <= 30]).toEqual([true, true]);
  });

  it('that goes is not listened to any more', async () => {
    const follower = await ask('follow');
    says('one\n');
    await eventually(() => expect(follower.heard()).toContain('one'));
    expect(listening!.aborted).toBe(false);
    follower.socket.destroy();
    await eventually(() => expect(listening!.aborted).toBe(true));
  });

  it('is told all, to the end', async () => {
    const follower = await ask('follow');
    for (const piece of ['one\n', 'two\n', null]) says(piece);
    await eventually(() => expect(follower.heard()).toMatch(/one[\s\S]*two[\s\S]*0\r\n\r\n$/));
  });
});
