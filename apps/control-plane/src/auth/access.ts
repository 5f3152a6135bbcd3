// Who may call a route, said at the route. Default deny: a route that says nothing stops the start (see access-hook.ts).
// It stands in Fastify's route configuration, so that callers are judged before a byte of the body is read.

import { applyDecorators, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiBearerAuth, ApiResponse } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { problemSchema } from '#contracts';
import type { Permission } from '#domain';
import type { Actor } from './actor.ts';

export type Access =
  | { readonly kind: 'permission'; readonly permission: Permission; readonly forBrowsers: boolean }
  /** Anybody; `reason` says why that is right. Bounded: at most so many calls an address. */
  | { readonly kind: 'open'; readonly reason: string; readonly bounded: boolean }
  /** The handler itself demands a proof other than an API key: an NKey's signature or a blob token. */
  | { readonly kind: 'own-proof'; readonly proof: string; readonly takesBytes: boolean };

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
  interface FastifyRequest {
    /** Set when the route needs a permission. */
    actor?: Actor;
  }
}

const tooMany = { status: 429, description: 'Too many attempts from this address' };
const refusals = [{ status: 401, description: 'No valid credentials' }, tooMany];

function withAccess(access: Access, ...decorators: MethodDecorator[]): MethodDecorator {
  return applyDecorators(RouteConfig({ access }), ...decorators);
}

function problems(rows: readonly { status: number; description: string }[]): MethodDecorator[] {
  return rows.map((row) => ApiResponse({ ...row, standardSchema: problemSchema }));
}

/**
 * The route needs an API key whose role has this permission.
 *
 * @param options.forBrowsers accept the key as HTTP Basic password too, and ask for it that way; for pages without effects
 */
export function RequirePermission(permission: Permission, options: { forBrowsers?: boolean } = {}): MethodDecorator {
  return withAccess(
    { kind: 'permission', permission, forBrowsers: options.forBrowsers ?? false },
    ApiBearerAuth('key'),
    ...problems([
      ...refusals,
      { status: 403, description: `The key's role lacks ${permission}, or another that what is asked for needs` },
    ]),
  );
}

/**
 * Anybody may call the route.
 *
 * @param options.bounded count calls an address, together with joins
 */
export function OpenRoute(reason: string, options: { bounded?: boolean } = {}): MethodDecorator {
  const { bounded = false } = options;
  return withAccess({ kind: 'open', reason, bounded }, ...problems(bounded ? [tooMany] : []));
}

/**
 * The route checks another proof itself and answers 401 without it. Its calls are bounded per address.
 *
 * @param options.takesBytes its body is a stream, which the handler reads only after it has looked at the proof; then only
 *   wrong proofs are bounded
 */
export function OwnProof(proof: string, options: { takesBytes?: boolean } = {}): MethodDecorator {
  const { takesBytes = false } = options;
  const foreign = { status: 403, description: 'The proof is right, and not for what is asked' };
  return withAccess({ kind: 'own-proof', proof, takesBytes }, ...problems([...refusals, foreign]));
}

/** The caller of a route that needs a permission. */
export const CurrentActor = createParamDecorator((_: unknown, context: ExecutionContext): Actor => {
  const { actor } = context.switchToHttp().getRequest<FastifyRequest>();
  if (actor === undefined) throw new Error('CurrentActor is for routes with RequirePermission only');
  return actor;
});
