// The HTTP server that strangers reach, bounded against slow, oversized and malformed requests (S11). What cannot be read
// as a request has shown no key either, and is refused like a wrong one (S3).
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { openAiError } from './errors.ts';

const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const HEADERS_MAX = 128;
/** How long a refused connection may still talk before it is cut. */
const FAREWELL_MS = 500;
/** All headers together; beyond, the connection is refused. */
const HEAD_BYTES_MAX = 32 * 1024;
/**
 * For servers behind a public one: what was let in there fits, with what is added on the way. One that took less would
 * reset the connection, which looks like its failure and not the client's.
 */
export const FORWARDED_HEAD_BYTES_MAX = 2 * HEAD_BYTES_MAX;

export interface PublicServerLimits {
  /** A client has this long for its request's head, and this long for the whole of it (S11). */
  readonly headersMs: number;
  readonly requestMs: number;
  readonly connectionsMax: number;
}

/** `shouldUpgrade`: requests that the caller's own `upgrade` listener takes; default none. */
export function createPublicServer(
  limits: PublicServerLimits,
  answer: RequestListener,
  shouldUpgrade: (request: IncomingMessage) => boolean = () => false,
): Server {
  const server = createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: Math.max(limits.requestMs, limits.headersMs),
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: Math.min(5_000, limits.headersMs),
      maxHeaderSize: HEAD_BYTES_MAX,
      // Clients that offer another protocol (h2c) are answered in this one.
      shouldUpgradeCallback: shouldUpgrade,
    },
    answer,
  );
  server.maxHeadersCount = HEADERS_MAX;
  server.maxConnections = limits.connectionsMax;
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
