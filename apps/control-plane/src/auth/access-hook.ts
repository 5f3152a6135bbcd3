// Judges every request before its body is read, and refuses to start with a route that says nothing about access (S1).
// Paths that do not exist are judged as well: without credentials they are 401, so nobody can map the API.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { roleAllows } from '#domain';
import { StartError } from '../errors.ts';
import { sendProblem } from '../problems/problem.ts';
import type { Access } from './access.ts';
import type { AttemptBound } from './attempts.ts';
import type { Authentication } from './authentication.ts';

export interface RouteEntry {
  readonly method: string;
  readonly path: string;
  readonly access: Access | undefined;
}

export interface AccessBounds {
  /** Wrong credentials. */
  readonly failed: AttemptBound;
  /** Challenges and joins, right or wrong. */
  readonly proofs: AttemptBound;
}

/** A body that is read before its sender proved anything. */
const UNPROVEN_BODY_BYTES_MAX = 16_384;

/** Collects every route that is registered from now on. Call before Nest registers its own. */
export function collectRoutes(fastify: FastifyInstance): RouteEntry[] {
  const routes: RouteEntry[] = [];
  fastify.addHook('onRoute', ({ method, url, config }) => {
    for (const each of [method].flat()) routes.push({ method: each, path: url, access: config?.access });
  });
  return routes;
}

/** @throws StartError naming the routes that nobody said anything about */
export function demandAccess(routes: readonly RouteEntry[]): void {
  const silent = routes.filter((route) => route.access === undefined);
  if (silent.length === 0) return;
  const names = silent.map((route) => `${route.method} ${route.path}`).join(', ');
  throw new StartError(`These routes need @RequirePermission, @OwnProof or @OpenRoute: ${names}`);
}

export function installAccess(
  fastify: FastifyInstance,
  authentication: () => Authentication,
  bounds: AccessBounds,
): void {
  fastify.addHook('onRequest', async (request, reply) => {
    const access = request.is404 ? undefined : request.routeOptions.config.access;
    if (access?.kind === 'open') return access.bounded ? judgeRate(request, reply, bounds.proofs) : undefined;
    if (access?.kind === 'own-proof') return judgeProofCall(request, reply, bounds);
    return judgeKey(request, reply, { access, authentication: authentication(), failed: bounds.failed });
  });
  // A wrong proof is known only when the handler has looked at it.
  fastify.addHook('onResponse', async (request, reply) => {
    const isProof = request.routeOptions.config.access?.kind === 'own-proof';
    if (isProof && reply.statusCode === 401) bounds.failed.count(request.ip);
  });
}

function judgeRate(request: FastifyRequest, reply: FastifyReply, bound: AttemptBound): FastifyReply | undefined {
  if (!bound.allows(request.ip)) return refuseRate(request, reply, bound);
  bound.count(request.ip);
  return undefined;
}

/** The proof itself is checked by the handler; here only that there can be one, and what it may cost. */
function judgeProofCall(request: FastifyRequest, reply: FastifyReply, bounds: AccessBounds): FastifyReply | undefined {
  const { headers, method } = request;
  if (!bounds.failed.allows(request.ip)) return refuseRate(request, reply, bounds.failed);
  const detail = 'This route needs a proof of its own; /api/openapi.json says which.';
  if (method === 'GET' || method === 'HEAD') {
    return headers.authorization === undefined ? sendProblem(request, reply, { status: 401, detail }) : undefined;
  }
  if (request.routeOptions.config.access?.kind === 'own-proof' && request.routeOptions.config.access.takesBytes) {
    if (headers.authorization === undefined) return sendProblem(request, reply, { status: 401, detail });
    if (headers['content-type'] === 'application/octet-stream') return undefined;
    return sendProblem(request, reply, { status: 415, detail: 'Send the bytes as application/octet-stream.' });
  }
  const refused = judgeRate(request, reply, bounds.proofs);
  if (refused !== undefined) return refused;
  if (headers['transfer-encoding'] !== undefined) {
    return sendProblem(request, reply, { status: 411, detail: 'Give a content-length.' });
  }
  const lengthBytes = Number(headers['content-length'] ?? 0);
  if (lengthBytes === 0) return sendProblem(request, reply, { status: 401, detail });
  if (lengthBytes <= UNPROVEN_BODY_BYTES_MAX) return undefined;
  return sendProblem(request, reply, { status: 413, detail: `At most ${UNPROVEN_BODY_BYTES_MAX} bytes here.` });
}

async function judgeKey(
  request: FastifyRequest,
  reply: FastifyReply,
  judged: { access: Access | undefined; authentication: Authentication; failed: AttemptBound },
): Promise<FastifyReply | undefined> {
  const { access, authentication, failed } = judged;
  const header = request.headers.authorization;
  const forBrowsers = access?.kind === 'permission' && access.forBrowsers;
  if (header !== undefined && !failed.allows(request.ip)) return refuseRate(request, reply, failed);
  const actor = await authentication.authenticate(header, forBrowsers);
  if (actor === null) {
    if (header !== undefined) failed.count(request.ip);
    return sendProblem(request, reply, unauthenticated(forBrowsers));
  }
  if (access === undefined) return undefined; // the not-found handler answers
  if (access.kind === 'permission' && roleAllows(actor.role, access.permission)) {
    request.actor = actor;
    return undefined;
  }
  const permission = access.kind === 'permission' ? access.permission : access.kind;
  const detail = `The role ${actor.role} lacks the permission ${permission}.`;
  return sendProblem(request, reply, { status: 403, detail });
}

function unauthenticated(forBrowsers: boolean) {
  return {
    status: 401,
    detail: 'Send "Authorization: Bearer atoll_…" with a key that is valid, not expired and not revoked.',
    headers: { 'www-authenticate': forBrowsers ? 'Basic realm="atoll", charset="UTF-8"' : 'Bearer realm="atoll"' },
  };
}

function refuseRate(request: FastifyRequest, reply: FastifyReply, bound: AttemptBound): FastifyReply {
  const seconds = bound.retryAfterSeconds(request.ip);
  const detail = `Too many attempts from this address; wait ${seconds} s.`;
  return sendProblem(request, reply, { status: 429, detail, headers: { 'retry-after': String(seconds) } });
}
