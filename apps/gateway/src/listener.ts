/**
 * The gateway's one listener: what it does with a request before Nest sees it. In this order: operational routes, the
 * data plane's hot path, then default deny (S1): without a valid key every other path is 401, unknown ones included.
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { RouteKey } from '#domain';
import {
  type Authentication,
  createPublicServer,
  isOpenAiError,
  type KeyAuthenticator,
  type PublicServerLimits,
  requestIdOf,
  writeOpenAiError,
} from '#inference';
import { isLinkRequest } from '#messaging';
import type { OperationalHandler } from '#telemetry';
import type { DataPlane } from './data-plane/data-plane.ts';
import type { LinkIntake } from './links/link-intake.ts';

export interface ListenerParts {
  readonly operational: OperationalHandler;
  readonly dataPlane: DataPlane;
  readonly keys: KeyAuthenticator<RouteKey>;
  readonly intake: LinkIntake;
  readonly limits: PublicServerLimits;
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
  const server = createPublicServer(limits, answer, isLinkRequest);
  server.on('upgrade', parts.intake.onUpgrade);
  return server;
}

function admit(
  key: Authentication<RouteKey>,
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
