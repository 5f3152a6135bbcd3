// Real sockets on both sides: an answer that is there and may not go out yet.
import http from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { closeAll, post, rig, tokens, type Upstream } from './forward.fixture.ts';
import { sseDone } from './sse.ts';

afterEach(closeAll);

describe('forwarding', () => {
  it.each<[string, string, (res: http.ServerResponse) => void]>([
    [
      'a stream',
      tokens(3) + sseDone,
      (res) => res.writeHead(200, { 'content-type': 'text/event-stream' }).end(tokens(3) + sseDone),
    ],
    ['an answer in one piece', 'tea', (res) => res.writeHead(200, { 'content-length': '3' }).end('tea')],
    [
      'an answer until the end of its connection',
      'tea',
      (res) => res.writeHead(200, { connection: 'close' }).end('tea'),
    ],
    ['an answer without content', '', (res) => res.writeHead(204).end()],
  ])('holds back %s until it may be sent, and then sends all', async (_name, want, answer) => {
    const asked = Promise.withResolvers<void>();
    const sendable = Promise.withResolvers<void>();
    const answered = Promise.withResolvers<void>();
    let firstBytes = 0;
    const upstream: Upstream = (_req, res) => {
      res.on('finish', answered.resolve);
      answer(res);
    };
    const { port, outcome } = await rig(upstream, {
      readsUsage: true,
      untilSendable: () => {
        asked.resolve();
        return sendable.promise;
      },
      onFirstByte: () => {
        firstBytes += 1;
      },
    });
    const answering = post(port);
    await Promise.all([asked.promise, answered.promise]);
    await new Promise(setImmediate);
    expect(firstBytes).toBe(0);
    sendable.resolve();
    expect(await answering).toMatchObject({ text: want, isWhole: true });
    expect([(await outcome).kind, firstBytes]).toEqual(['completed', 1]);
  });

  it('lets go of an answer that may not be sent yet when its client leaves', async () => {
    const asked = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    const { port, outcome } = await rig(
      (_req, res) => {
        res.on('close', gone.resolve);
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.write(tokens(1));
      },
      {
        untilSendable: () => {
          asked.resolve();
          return new Promise(() => undefined);
        },
      },
    );
    const client = http.request({ port, host: '127.0.0.1', method: 'POST', path: '/' }).on('error', () => undefined);
    client.end('{}');
    await asked.promise;
    client.destroy();
    await gone.promise;
    expect(await outcome).toMatchObject({ kind: 'client-gone', bytesSent: 0 });
  });
});
