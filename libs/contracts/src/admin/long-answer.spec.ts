// Real sockets: how long the client of the admin API bears a silent answer, and how it learns that nobody is there.
import { readFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { eventually } from '#testing';
import { AdminClient } from './client.ts';
import { ANSWER_WAITS } from './long-answer.ts';

/** What goes on later than this is broken off; what is followed is not. */
const WAITS = { ...ANSWER_WAITS, silenceMs: 200 };
/** Of the kernel's clock, in /proc. */
const TICKS_A_SECOND = 100;

let server: Server;
let port: number;
/** What the server began to answer, in the order of the questions. */
const answers: ServerResponse[] = [];
/** False: the server takes a question and says nothing. */
let hasHead: boolean;

beforeEach(async () => {
  hasHead = true;
  server = createServer((_request, response) => {
    if (hasHead) response.writeHead(200, { 'content-type': 'text/plain' }).flushHeaders();
    answers.push(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterEach(async () => {
  answers.length = 0;
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const client = (waits = WAITS) => new AdminClient(`http://127.0.0.1:${port}`, 'atoll_test_key', waits);

/** The timer that the kernel has on the client's end of its connection; null when there is no such connection. */
async function timerOf({ socket }: ServerResponse): Promise<{ kind: string; seconds: number } | null> {
  const hexOf = (value: number) => value.toString(16).toUpperCase().padStart(4, '0');
  const ends = [`0100007F:${hexOf(socket!.remotePort!)}`, `0100007F:${hexOf(port)}`];
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/));
  const timer = lines.find(([, local, remote]) => local === ends[0] && remote === ends[1])?.[5];
  if (timer === undefined) return null;
  const [kind, ticks] = timer.split(':') as [string, string];
  return { kind, seconds: Number.parseInt(ticks, 16) / TICKS_A_SECOND };
}

describe('an answer that says nothing for long', () => {
  it.each<[string, (follow: boolean) => AsyncGenerator<string>]>([
    ['a log of a job', (follow) => client().followJobLog('quiet', { follow })],
    ['a log of a replica', (follow) => client().replicaLog('chat', 'replica-1', { follow })],
  ])('%s: goes on when it is followed, for longer than any other answer may be silent', async (_case, read) => {
    const followed = read(true);
    const first = followed.next();
    await expect(read(false).next()).rejects.toThrow('said nothing for 0.2 s in the middle of its answer');
    answers[0]!.write('one\n');
    expect(await first).toEqual({ done: false, value: 'one\n' });
    const second = followed.next();
    await expect(read(false).next()).rejects.toThrow('said nothing for');
    answers[0]!.end('two\n');
    expect(await second).toEqual({ done: false, value: 'two\n' });
    for await (const rest of followed) expect(rest).toBe('');
  });

  it('a file is broken off, in its middle too', async () => {
    const pieces = await client().jobArtifact('count', 'a.txt');
    answers[0]!.write('abc');
    const readAll = async () => {
      for await (const piece of pieces) expect(String(piece)).toBe('abc');
    };
    await expect(readAll()).rejects.toThrow('said nothing for 0.2 s');
  });

  it('one that does not even begin is no answer, followed or not', async () => {
    hasHead = false;
    const hasty = client({ ...WAITS, beginMs: 100 });
    await expect(hasty.followJobLog('quiet', { follow: true }).next()).rejects.toThrow('does not answer');
    await expect(hasty.jobLog('quiet')).rejects.toThrow('does not answer');
  });

  it('that is followed: TCP asks after 30 s whether the other end is still there', async () => {
    const ended = client().followJobLog('quiet', { follow: true }).next();
    await eventually(async () => expect(await timerOf(answers[0]!)).toMatchObject({ kind: '02' }));
    const { seconds } = (await timerOf(answers[0]!))!;
    expect([seconds > 0, seconds <= 30]).toEqual([true, true]);
    answers[0]!.destroy();
    await expect(ended).rejects.toThrow('broke off in the middle of its answer');
  });

  it('that is followed ends at once when nobody wants it any more', async () => {
    const leaving = new AbortController();
    const ended = client().followJobLog('quiet', { follow: true, signal: leaving.signal }).next();
    await eventually(() => expect(answers).toHaveLength(1));
    const closed = new Promise((resolve) => answers[0]!.once('close', resolve));
    leaving.abort();
    await expect(ended).rejects.toThrow();
    await closed;
  });
});

describe('a refusal in place of a long answer', () => {
  it('is told in its own words', async () => {
    server.removeAllListeners('request');
    const problem = { type: 'urn:atoll:problem:not-found', title: 'Not found', status: 404, instance: 'request-1' };
    server.on('request', (_request, response) =>
      response.writeHead(404).end(JSON.stringify({ ...problem, detail: 'There is no job "quiet".' })),
    );
    await expect(client().jobLog('quiet')).rejects.toMatchObject({
      message: 'Not found: There is no job "quiet".',
      problem: { status: 404 },
    });
  });
});
