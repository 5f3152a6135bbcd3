// Real sockets on both sides of a forwarding: a client, a proxy that only forwards, and an upstream that does as it is told.
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import type { Pool } from 'undici';
import { type ForwardRequest, forwardRequest } from './forward.ts';
import { type ForwardOutcome, writeRefusal } from './forward-outcome.ts';
import { forwardableRequestHeaders } from './headers.ts';
import { sseEvent } from './sse.ts';
import { createUpstreamPool } from './upstream-pool.ts';

export type Upstream = (req: http.IncomingMessage, res: http.ServerResponse, body: Buffer) => void;
/** Closes what was opened; whoever opens something itself adds to it. */
export const closers: (() => unknown)[] = [];

/** After each spec. */
export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close();
}

export async function listen(server: http.Server | net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    if (server instanceof http.Server) server.closeAllConnections();
    return new Promise<void>((resolve) => void server.close(() => resolve()));
  });
  return (server.address() as AddressInfo).port;
}

export interface Rig {
  readonly port: number;
  readonly outcome: Promise<ForwardOutcome>;
  readonly pool: Pool;
}

export async function rig(upstream: Upstream | number, options: Partial<ForwardRequest> = {}): Promise<Rig> {
  const upstreamPort =
    typeof upstream === 'number'
      ? upstream
      : await listen(
          http.createServer(async (req, res) => {
            const chunks: Buffer[] = [];
            for await (const chunk of req) chunks.push(chunk as Buffer);
            upstream(req, res, Buffer.concat(chunks));
          }),
        );
  const pool = createUpstreamPool(`http://127.0.0.1:${upstreamPort}`);
  closers.push(() => pool.destroy());
  const { promise: outcome, resolve } = Promise.withResolvers<ForwardOutcome>();
  const proxy = http.createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const ended = await forwardRequest({
      dispatcher: pool,
      method: 'POST',
      path: req.url!,
      headers: forwardableRequestHeaders(req.rawHeaders, new Set(['authorization'])),
      body: Buffer.concat(chunks),
      res,
      timeouts: { headersMs: 2_000, bodyIdleMs: 2_000 },
      ...options,
    });
    if (ended.kind === 'refused') writeRefusal(res, ended, ['x-atoll-attempts', '1']);
    resolve(ended);
  });
  return { port: await listen(proxy), outcome, pool };
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  /** False when the connection broke before the end of the message. */
  readonly isWhole: boolean;
}

export function post(port: number, body = '{"a":1}'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', authorization: 'Bearer client', 'x-client': 'é' };
    const req = http.request({ port, host: '127.0.0.1', method: 'POST', path: '/v1/x?y=1', headers }, (res) => {
      let text = '';
      res.setEncoding('utf8');
      res.on('data', (part: string) => {
        text += part;
      });
      const finish = () => resolve({ status: res.statusCode!, headers: res.headers, text, isWhole: res.complete });
      res.on('end', finish);
      res.on('error', finish);
    });
    req.on('error', reject);
    req.end(body);
  });
}

export const token = (index: number): string => sseEvent({ choices: [{ index: 0, delta: { content: `t${index} ` } }] });
export const tokens = (count: number): string => Array.from({ length: count }, (_, index) => token(index)).join('');

export function startStream(res: http.ServerResponse, count: number): void {
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  res.write(tokens(count));
}
