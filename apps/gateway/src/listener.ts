/**
 * The gateway's one listener: what it does with a request before Nest sees it. In this order: operational routes, the
 * data plane's hot path, then default deny (S1): without a valid key every other path is 401, unknown ones included.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { RouteKey } from '#domain';
import { openAiError, writeOpenAiError } from '#inference';
import { isLinkRequest } from '#messaging';
import type { OperationalHandler } from '#telemetry';
import type { DataPlane } from './data-plane/data-plane.ts';
import { requestIdOf } from './data-plane/request-id.ts';
import { type Authentication, isOpenAiError, type KeyAuthenticator } from './keys/authenticator.ts';
import type { LinkIntake } from './links/link-intake.ts';

const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const HEADERS_MAX = 128;
/** How long a refused connection may still talk before it is cut. */
const FAREWELL_MS = 500;
/** All headers together; beyond, the connection is refused. */
const HEAD_BYTES_MAX = 32 * 1024;

export interface ListenerLimits {
  /** A client has this long for its request's head, and this long for the whole of it (S11). */
  readonly headersMs: number;
  readonly requestMs: number;
  readonly connectionsMax: number;
}

export interface ListenerParts {
  readonly operational: OperationalHandler;
  readonly dataPlane: DataPlane;
  readonly keys: KeyAuthenticator;
  readonly intake: LinkIntake;
  readonly limits: ListenerLimits;
}

/** For Fastify's `serverFactory`: `handler` is what Nest routes. */
export function createListener(parts: ListenerParts, handler: RequestListener): Server {
  const { limits } = parts;
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    if (parts.operational(request, response)) return;
    if (parts.dataPlane.handle(request, response)) return;
    const found = parts.keys.authenticate(request.headers.authorization);
    if (!(found instanceof Promise)) admit(found, request, response, handler);
    else found.then((later) => admit(later, request, response, handler)).catch(() => response.destroy());
  };
  const server = createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: Math.max(limits.requestMs, limits.headersMs),
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: Math.min(5_000, limits.headersMs),
      maxHeaderSize: HEAD_BYTES_MAX,
      // Clients that offer another protocol (h2c) are answered in this one; a link is all that we upgrade to.
      shouldUpgradeCallback: isLinkRequest,
    },
    answer,
  );
  server.maxHeadersCount = HEADERS_MAX;
  server.maxConnections = limits.connectionsMax;
  server.on('upgrade', parts.intake.onUpgrade);
  server.on('checkExpectation', answer);
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => refuse(socket, UNAUTHENTICATED));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (refused.has(socket)) return;
    const sent = (socket as Socket & { _httpMessage?: ServerResponse })._httpMessage?.headersSent === true;
    if (sent || !socket.writable || error.code === 'ECONNRESET') socket.destroy();
    else refuse(socket, CLIENT_ERRORS[error.code ?? ''] ?? BAD_REQUEST);
  });
  return server;
}

function admit(
  key: Authentication,
  request: IncomingMessage & { routeKey?: RouteKey },
  response: ServerResponse,
  handler: RequestListener,
): void {
  const requestId = requestIdOf(request.headers['x-request-id']);
  response.setHeader('x-request-id', requestId);
  if (isOpenAiError(key)) {
    writeOpenAiError(response, key, ['x-request-id', requestId]);
    return;
  }
  request.routeKey = key;
  handler(request, response);
}

/** What cannot be read as a request has shown no key either: a head beyond the bound is refused like a wrong key (S3). */
const UNAUTHENTICATED = rawAnswer('401 Unauthorized', openAiError('invalid_api_key').body, 'WWW-Authenticate: Bearer');
const BAD_REQUEST = rawAnswer(
  '400 Bad Request',
  openAiError('invalid_request', { message: 'This is not a well-formed HTTP request.' }).body,
);
const TOO_SLOW = rawAnswer(
  '408 Request Timeout',
  openAiError('invalid_request', { message: 'The request did not arrive in time.' }).body,
);
const CLIENT_ERRORS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: UNAUTHENTICATED,
  ERR_HTTP_REQUEST_TIMEOUT: TOO_SLOW,
};

function rawAnswer(status: string, body: object, ...headers: string[]): string {
  const text = JSON.stringify(body);
  const lines = [
    `HTTP/1.1 ${status}`,
    'Connection: close',
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(text)}`,
    ...headers,
  ];
  return `${lines.join('\r\n')}\r\n\r\n${text}`;
}

const refused = new WeakSet<Duplex>();

/** Says the last word. What still comes is thrown away for a moment: unread bytes would reset it before it is read. */
function refuse(socket: Duplex, answer: string): void {
  if (refused.has(socket)) return;
  refused.add(socket);
  const cut = setTimeout(() => socket.destroy(), FAREWELL_MS);
  socket.on('error', () => undefined);
  socket.once('close', () => clearTimeout(cut));
  socket.on('end', () => socket.destroy());
  socket.end(answer);
  socket.resume();
}
