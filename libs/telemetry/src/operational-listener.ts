/** `/healthz`, `/readyz` (both open) and `/metrics` (needs a credential) of any process, without a framework. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import type { HealthRegistry } from './health.ts';

export interface OperationalOptions {
  readonly health: HealthRegistry;
  readonly registry: Registry;
  /** Whether the `Authorization` header may read metrics. */
  readonly mayReadMetrics: (authorization: string | undefined) => boolean | Promise<boolean>;
}

/** Answers the request and returns true when it is one of these routes. */
export type OperationalHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

export function operationalRoutes(options: OperationalOptions): OperationalHandler {
  return (request, response) => {
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== '/healthz' && path !== '/readyz' && path !== '/metrics') return false;
    if (path !== '/metrics' && isNotRead(request)) {
      methodNotAllowed(response);
      return true;
    }
    const answer =
      path === '/healthz'
        ? healthz(response)
        : path === '/readyz'
          ? readyz(options, response)
          : metrics(options, request, response);
    answer.catch(() => response.destroy());
    return true;
  };
}

/** Compares a `Bearer` token in constant time; without a configured token, or with an empty one, nobody is let in. */
export function bearerMatches(authorization: string | undefined, token: string | undefined): boolean {
  if (!token || authorization === undefined || !authorization.startsWith('Bearer ')) return false;
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(authorization.slice(7).trim()), digest(token));
}

export interface OperationalListener {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/** A listener with these routes only; everything else is 401. */
export async function startOperationalListener(
  options: OperationalOptions & { readonly host: string; readonly port: number },
): Promise<OperationalListener> {
  const handle = operationalRoutes(options);
  const server = createServer((request, response) => {
    if (!handle(request, response)) unauthorized(response);
  });
  server.requestTimeout = 10_000;
  server.maxHeadersCount = 64;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    host: options.host,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function unauthorized(response: ServerResponse): void {
  response.writeHead(401, { 'www-authenticate': 'Bearer', 'content-length': '0' }).end();
}

function isNotRead({ method }: IncomingMessage): boolean {
  return method !== 'GET' && method !== 'HEAD';
}

function methodNotAllowed(response: ServerResponse): void {
  response.writeHead(405, { allow: 'GET, HEAD', 'content-length': '0' }).end();
}

async function healthz(response: ServerResponse): Promise<void> {
  sendJson(response, 200, { status: 'live' });
}

async function readyz({ health }: OperationalOptions, response: ServerResponse): Promise<void> {
  const readiness = await health.readiness();
  sendJson(response, readiness.status === 'ready' ? 200 : 503, readiness);
}

async function metrics(options: OperationalOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (!(await options.mayReadMetrics(request.headers.authorization))) {
    unauthorized(response);
    return;
  }
  // Only who may read is told how (S1).
  if (isNotRead(request)) {
    methodNotAllowed(response);
    return;
  }
  const text = await options.registry.metrics();
  response.writeHead(200, {
    'content-type': options.registry.contentType,
    'content-length': String(Buffer.byteLength(text)),
  });
  response.end(text);
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(text)),
  });
  response.end(text);
}
