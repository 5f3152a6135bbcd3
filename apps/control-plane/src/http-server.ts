// The HTTP side as Fastify sees it: bounds, request ids, the upload's raw body, access before bodies, one log line a request.

import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyHttpOptions, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger, Metrics } from '#telemetry';
import { RequestError } from './errors.ts';
import { sendProblem } from './problems/problem.ts';

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,64}$/;

/** A socket on which nothing moves for so long is closed: slow clients cost a bounded time (S11). */
const SOCKET_IDLE_MS = 60_000;
const HEADERS_MS = 15_000;
const KEEP_ALIVE_MS = 75_000;
const PARAMETER_CHARACTERS_MAX = 256;

export function createAdapter(options: { bodyBytesMax: number }): FastifyAdapter {
  const fastifyOptions: FastifyHttpOptions<Server> = {
    bodyLimit: options.bodyBytesMax,
    connectionTimeout: SOCKET_IDLE_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    http: { headersTimeout: HEADERS_MS, maxHeaderSize: 32_768 },
    routerOptions: { maxParamLength: PARAMETER_CHARACTERS_MAX, ignoreTrailingSlash: false },
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
    },
    frameworkErrors: (error, request, reply) => {
      const status = error.statusCode !== undefined && error.statusCode < 500 ? error.statusCode : 400;
      const parts = { status, detail: 'The address cannot be read.' };
      sendProblem(request as FastifyRequest, reply as unknown as FastifyReply, parts);
    },
  };
  return new FastifyAdapter(fastifyOptions);
}

/**
 * Closes connections that have asked nothing yet, now and from then on. Clients and balancers open some in advance; for Node
 * they are not idle, so that a server that closes would wait for each of them until somebody cuts it.
 */
export function closerOfUnused(server: Server): () => void {
  const unused = new Set<Socket>();
  let isClosing = false;
  server.on('connection', (socket) => {
    if (isClosing) return void socket.destroy();
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  server.on('request', ({ socket }) => unused.delete(socket));
  return () => {
    isClosing = true;
    for (const socket of unused) socket.destroy();
  };
}

/** Uploads are handed on as the stream that they are; everything else must be JSON in whole UTF-8. */
export function acceptBodies(fastify: FastifyInstance): void {
  fastify.removeContentTypeParser(['text/plain', 'application/json']);
  const parse = fastify.getDefaultJsonParser('error', 'error');
  fastify.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const text = decoded(body);
    if (text === null) return done(unreadable('The body is not whole UTF-8.'));
    return parse(request, text, (error, value) => done(error === null ? null : whyUnreadable(text, error), value));
  });
  fastify.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
}

function decoded(body: Buffer): string | null {
  try {
    return UTF_8.decode(body);
  } catch {
    return null;
  }
}

const UTF_8 = new TextDecoder('utf-8', { fatal: true });

/** The parser refuses JSON that is well-formed too: with names by which a program can be led astray. */
function whyUnreadable(text: string, error: Error): Error {
  try {
    JSON.parse(text);
  } catch {
    return error;
  }
  return unreadable(
    'The body has a field called "__proto__", or "prototype" in a "constructor"; nothing can be called so.',
  );
}

function unreadable(detail: string): RequestError {
  return new RequestError(400, 'malformed-request', detail);
}

/** Answers carry the request's id; each is counted and logged without anything that the caller sent but the path. */
export function observeRequests(fastify: FastifyInstance, logger: Logger, metrics: Metrics<'control-plane'>): void {
  fastify.addHook('onRequest', async (request, reply) => {
    reply.headers({ 'x-request-id': request.id, 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
  });
  fastify.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown';
    const { method } = request;
    metrics.httpRequestsTotal.inc({ route, method, status: String(reply.statusCode) });
    metrics.httpRequestSeconds.observe({ route, method }, reply.elapsedTime / 1_000);
    if (reply.statusCode === 401) metrics.authFailuresTotal.inc({ reason: reasonOf(request) });
    const line = {
      requestId: request.id,
      method,
      route,
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime),
      actor: request.actor?.name,
    };
    if (route === '/healthz' || route === '/readyz' || route === '/metrics') logger.debug(line, 'request');
    else logger.info(line, 'request');
  });
}

function reasonOf(request: FastifyRequest): string {
  if (request.routeOptions.config.access?.kind === 'own-proof') return 'proof';
  return request.headers.authorization === undefined ? 'missing' : 'wrong';
}
