import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { RequestError } from '../errors.ts';

/** The body as it comes; an empty one has no stream. @throws RequestError 415 when it was parsed as something else */
export function bytesOf({ body }: Pick<FastifyRequest, 'body'>): AsyncIterable<Buffer> {
  if (body === undefined || body === null) return Readable.from([]);
  if (body instanceof Readable) return body;
  throw new RequestError(415, 'unsupported-media-type', 'Send the bytes as application/octet-stream.');
}
