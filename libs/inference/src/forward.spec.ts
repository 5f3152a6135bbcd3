// Real sockets on both sides: a client, a proxy that only forwards, and an upstream that misbehaves.
import { once } from 'node:events';
import http from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { startStopwatch } from '#testing';
import { closeAll, closers, post, rig, startStream, token, tokens, type Upstream } from './forward.fixture.ts';
import type { ForwardRequest } from './forward.ts';
import { sseDone, sseEvent } from './sse.ts';

afterEach(closeAll);

describe('forwarding what is whole', () => {
  it('passes body and answer untouched, drops hop-by-hop headers, adds its own', async () => {
    let seen: { rawHeaders: string[]; url: string; body: string } | null = null;
    const { port, outcome } = await rig(
      (req, res, body) => {
        seen = { rawHeaders: req.rawHeaders, url: req.url!, body: body.toString() };
        res.writeHead(418, ['X-Up', 'a', 'X-Up', 'b', 'x-atoll-path', 'forged', 'connection', 'x-gone', 'x-gone', '1']);
        res.end('tea');
      },
      { extraResponseHeaders: ['x-atoll-path', 'direct'] },
    );
    const answer = await post(port, '{"a": 1.0}');
    expect(answer).toMatchObject({ status: 418, text: 'tea', isWhole: true });
    expect(answer.headers).toMatchObject({ 'x-up': 'a, b', 'x-atoll-path': 'direct' });
    expect(answer.headers['x-gone']).toBeUndefined();
    expect(seen!.url).toBe('/v1/x?y=1');
    expect(seen!.body).toBe('{"a": 1.0}');
    expect(seen!.rawHeaders.join()).not.toContain('Bearer client');
    expect(await outcome).toEqual({
      kind: 'completed',
      status: 418,
      bytesSent: 3,
      isEventStream: false,
      usage: null,
      contentEvents: 0,
    });
  });

  it('passes a stream as it comes and says what it cost', async () => {
    const usage = { prompt_tokens: 3, completion_tokens: 40, total_tokens: 43 };
    const whole = tokens(40) + sseEvent({ choices: [], usage }) + sseDone;
    let firstBytes = 0;
    const { port, outcome } = await rig(
      (_req, res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.end(whole);
      },
      {
        onFirstByte: () => {
          firstBytes += 1;
        },
      },
    );
    expect(await post(port)).toMatchObject({ status: 200, text: whole, isWhole: true });
    expect(await outcome).toMatchObject({ kind: 'completed', isEventStream: true, usage });
    expect(firstBytes).toBe(1);
  });

  it.each([
    { readsUsage: true, want: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 } },
    { readsUsage: false, want: null },
  ])('says what an answer in one piece cost when it is asked to: $readsUsage', async ({ readsUsage, want }) => {
    const answer = JSON.stringify({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 4 } });
    const { port, outcome } = await rig((_req, res) => res.end(answer), { readsUsage });
    expect((await post(port)).text).toBe(answer);
    expect((await outcome) as { usage: unknown }).toMatchObject({ kind: 'completed', usage: want });
  });

  it('reads the usage event that the client did not ask for, and keeps it', async () => {
    const usage = { prompt_tokens: 1, completion_tokens: 2 };
    const [first, last] = [sseEvent({ choices: [{ delta: { content: 'é' } }] }), sseEvent({ choices: [], usage })];
    const upstream: Upstream = (_req, res) => {
      res.setHeader('content-type', 'text/event-stream');
      res.end(first + last + sseDone);
    };
    const { port, outcome } = await rig(upstream, { hidesUsageEvent: true });
    expect((await post(port)).text).toBe(first + sseDone);
    expect(await outcome).toMatchObject({ kind: 'completed', contentEvents: 1, usage: { total_tokens: 3 } });
  });

  it('counts a stream as complete when its connection breaks after [DONE]', async () => {
    const { port, outcome } = await rig((_req, res) => {
      startStream(res, 2);
      res.write(sseDone, () => res.destroy());
    });
    expect(await post(port)).toMatchObject({ text: tokens(2) + sseDone, isWhole: true });
    expect((await outcome).kind).toBe('completed');
  });
});

describe('R13: a failure before the first byte is refused, with nothing sent to the client', () => {
  const cases: {
    name: string;
    upstream: Upstream | 'nobody';
    wantCause: string;
    wantStatus: number;
    options?: Partial<ForwardRequest>;
  }[] = [
    { name: 'nobody listens', upstream: 'nobody', wantCause: 'connect', wantStatus: 503 },
    {
      name: 'reset before the head',
      upstream: (req) => req.socket.resetAndDestroy(),
      wantCause: 'reset',
      wantStatus: 502,
    },
    {
      name: 'no head in time',
      upstream: () => {},
      wantCause: 'timeout',
      wantStatus: 504,
      options: { timeouts: { headersMs: 50, bodyIdleMs: 1_000 } },
    },
    {
      name: 'a retryable status',
      upstream: (_req, res) => res.writeHead(429, { 'retry-after': '7' }).end('{"error":{"code":"x"}}'),
      wantCause: 'status',
      wantStatus: 429,
    },
    {
      name: 'a head and no body',
      upstream: (_req, res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.flushHeaders();
        setImmediate(() => res.destroy());
      },
      wantCause: 'reset',
      wantStatus: 502,
    },
    {
      name: 'half a first event',
      upstream: (_req, res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.end('data: {"choi');
      },
      wantCause: 'malformed',
      wantStatus: 502,
    },
    {
      name: 'an empty stream',
      upstream: (_req, res) => res.writeHead(200, { 'content-type': 'text/event-stream' }).end(),
      wantCause: 'unfinished',
      wantStatus: 502,
    },
  ];
  it.each(cases)('$name', async ({ upstream, wantCause, wantStatus, options }) => {
    // Port 1, not one that was free a moment ago: that may be given to the very next listener.
    const { port, outcome } = await rig(upstream === 'nobody' ? 1 : upstream, options);
    const answer = await post(port);
    expect(await outcome).toMatchObject({ kind: 'refused', cause: wantCause });
    expect(answer).toMatchObject({ status: wantStatus, isWhole: true });
    expect(answer.headers['x-atoll-attempts']).toBe('1');
    expect(JSON.parse(answer.text)).toHaveProperty('error');
    if (wantCause === 'status') expect(answer.headers['retry-after']).toBe('7');
  });

  it('the caller may say which statuses are retryable', async () => {
    const { port, outcome } = await rig((_req, res) => res.writeHead(503).end('x'), { retryableStatuses: new Set() });
    expect(await post(port)).toMatchObject({ status: 503, text: 'x' });
    expect((await outcome).kind).toBe('completed');
  });

  it('the caller may end the try', async () => {
    const abort = new AbortController();
    const { port, outcome } = await rig(() => abort.abort(), { signal: abort.signal });
    expect((await post(port)).status).toBe(502);
    expect(await outcome).toMatchObject({ kind: 'refused', cause: 'aborted' });
  });
});

describe('R14: a break after the first byte never looks like a clean finish', () => {
  const fast = { timeouts: { headersMs: 1_000, bodyIdleMs: 100 } };
  const streams: { name: string; upstream: Upstream; wantCause: string; options?: Partial<ForwardRequest> }[] = [
    {
      name: 'closes without [DONE]',
      upstream: (_req, res) => {
        startStream(res, 40);
        res.end();
      },
      wantCause: 'unfinished',
    },
    {
      name: 'closes the socket',
      upstream: (_req, res) => {
        startStream(res, 40);
        setImmediate(() => res.socket!.destroySoon());
      },
      wantCause: 'reset',
    },
    {
      name: 'resets',
      upstream: (_req, res) => {
        startStream(res, 39);
        res.write(token(39), () => setTimeout(() => res.socket!.resetAndDestroy(), 20));
      },
      wantCause: 'reset',
    },
    { name: 'stalls', upstream: (_req, res) => startStream(res, 40), wantCause: 'timeout', options: fast },
    {
      name: 'sends broken JSON and then [DONE]',
      upstream: (_req, res) => {
        startStream(res, 40);
        res.end(`data: {"choices":[{\n\n${sseDone}`);
      },
      wantCause: 'malformed',
    },
    {
      name: 'closes in the middle of an event',
      upstream: (_req, res) => {
        startStream(res, 40);
        res.end('data: {"choices":[{');
      },
      wantCause: 'malformed',
    },
    {
      name: 'reports an error itself and then says [DONE]',
      upstream: (_req, res) => {
        startStream(res, 40);
        res.end(sseEvent({ error: { message: 'boom' } }) + sseDone);
      },
      wantCause: 'reported',
    },
  ];
  it.each(streams)('a stream that $name', async ({ upstream, wantCause, options }) => {
    const { port, outcome } = await rig(upstream, options);
    const answer = await post(port);
    expect(await outcome).toMatchObject({ kind: 'broken', cause: wantCause, status: 200 });
    expect(answer.text.startsWith(tokens(40))).toBe(true);
    expect(answer.text).not.toContain('[DONE]');
    const events = answer.text.slice(tokens(40).length).trim().split('\n\n');
    expect(events).toHaveLength(1);
    expect(JSON.parse(events[0]!.slice('data: '.length))).toHaveProperty('error.message');
  });

  it('a plain answer that breaks is cut off, not ended', async () => {
    const { port, outcome } = await rig((_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      res.write('{"half":', () => setTimeout(() => res.destroy(), 20));
    });
    expect((await post(port)).isWhole).toBe(false);
    expect(await outcome).toMatchObject({ kind: 'broken', cause: 'reset' });
  });

  it('R14: a client that leaves cancels the upstream within a second', async () => {
    const closed = Promise.withResolvers<void>();
    const { port, outcome } = await rig((_req, res) => {
      startStream(res, 1);
      res.on('close', () => closed.resolve());
    });
    const req = http.request({ port, host: '127.0.0.1', method: 'POST', path: '/' });
    req.on('error', () => {});
    req.end('{}');
    const [res] = (await once(req, 'response')) as [http.IncomingMessage];
    await once(res, 'data');
    const passedMs = startStopwatch();
    res.on('error', () => {});
    req.destroy();
    await closed.promise;
    expect(passedMs()).toBeLessThan(1_000);
    expect((await outcome).kind).toBe('client-gone');
  });

  it('R14: a client that leaves before the head cancels the upstream within a second', async () => {
    const arrived = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const { port, outcome } = await rig((_req, res) => {
      res.on('close', () => closed.resolve());
      arrived.resolve();
    });
    const req = http.request({ port, host: '127.0.0.1', method: 'POST', path: '/' });
    req.on('error', () => {});
    req.end('{}');
    await arrived.promise;
    const passedMs = startStopwatch();
    req.destroy();
    await closed.promise;
    expect(passedMs()).toBeLessThan(1_000);
    expect((await outcome).kind).toBe('client-gone');
  });
});

describe('back-pressure', () => {
  /** Writes 1 KiB events for as long as the socket takes them. */
  const flood = (report: (bytes: number, isBlocked: boolean) => void): Upstream => {
    const event = sseEvent({ pad: 'x'.repeat(1_000) });
    return (_req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      let bytes = 0;
      const more = (): void => {
        for (let round = 0; round < 1_000 && !res.destroyed; round += 1) {
          bytes += event.length;
          if (bytes > 64 * 1024 * 1024) {
            res.end(sseDone);
            return;
          }
          if (!res.write(event)) {
            report(bytes, true);
            return;
          }
        }
        setImmediate(more);
      };
      res.on('drain', more);
      more();
    };
  };

  it('a reader that stalls pauses the upstream, and is let go after its idle bound', async () => {
    let written = 0;
    const { port, outcome } = await rig(
      flood((bytes) => {
        written = bytes;
      }),
      // The upstream's idle bound is the shorter one, and far above what a busy machine holds up a running stream.
      { timeouts: { headersMs: 2_000, bodyIdleMs: 500, clientIdleMs: 1_500 } },
    );
    const req = http.request({ port, host: '127.0.0.1', method: 'POST', path: '/' });
    closers.push(() => req.destroy());
    req.on('error', () => {});
    req.end('{}');
    const [res] = (await once(req, 'response')) as [http.IncomingMessage];
    res.on('error', () => {});
    res.pause();
    const ended = await outcome;
    expect(ended.kind).toBe('client-gone');
    // What the kernel's four socket buffers on loopback hold, far below the 64 MiB that were on offer.
    expect(written).toBeLessThan(32 * 1024 * 1024);
  });

  it('a slow reader gets every byte', async () => {
    const { port, outcome } = await rig(flood(() => {}));
    const req = http.request({ port, host: '127.0.0.1', method: 'POST', path: '/' });
    req.end('{}');
    const [res] = (await once(req, 'response')) as [http.IncomingMessage];
    let bytes = 0;
    let pauses = 0;
    for await (const chunk of res) {
      bytes += (chunk as Buffer).length;
      if (bytes / 4_194_304 > pauses) {
        pauses += 1;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    expect(await outcome).toMatchObject({ kind: 'completed', bytesSent: bytes });
    expect(bytes).toBeGreaterThan(63 * 1024 * 1024);
  }, 60_000);
});
