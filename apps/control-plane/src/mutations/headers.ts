// The request headers that make mutations safe to repeat and to race: Idempotency-Key and If-Match.

import type { FastifyReply } from 'fastify';
import { RefusedError, refuse } from '#domain';
import type { Repeatable } from './mutations.ts';

const IDEMPOTENCY_KEY = /^[!-~]{1,128}$/;

/** @throws RefusedError when the key is not 1 to 128 visible ASCII characters */
export function repeatable(key: string | undefined, request: unknown): Repeatable | null {
  if (key === undefined) return null;
  if (!IDEMPOTENCY_KEY.test(key)) {
    throw new RefusedError(refuse.invalid('Idempotency-Key', 'must be 1 to 128 visible ASCII characters'));
  }
  return { key, request };
}

export function etagOf(resource: { readonly revision: number }): string {
  return `"${resource.revision}"`;
}

/** The resource as an answer, with its ETag. */
export function tagged<Resource extends { readonly revision: number }>(
  reply: Pick<FastifyReply, 'header'>,
  resource: Resource,
): Resource {
  reply.header('etag', etagOf(resource));
  return resource;
}

/**
 * What was made, as an answer that says where it is.
 *
 * @param address of its collection, without a slash at the end
 * @param query with its question mark; default: none
 */
export function located<Resource extends { readonly name: string } | { readonly number: number }>(
  reply: Pick<FastifyReply, 'header'>,
  address: string,
  resource: Resource,
  query = '',
): Resource {
  reply.header('location', `${address}/${'number' in resource ? resource.number : resource.name}${query}`);
  return resource;
}

/** @throws RefusedError precondition unless If-Match is absent, `*`, or names the revision */
export function demandMatch(ifMatch: string | undefined, resource: { readonly revision: number }): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  const tags = ifMatch.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  if (tags.includes(etagOf(resource))) return;
  const reason = `If-Match names ${ifMatch.slice(0, 64)}, but the present ETag is ${etagOf(resource)}; read it again.`;
  throw new RefusedError(refuse.precondition(reason));
}
