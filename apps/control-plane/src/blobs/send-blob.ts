// A blob as an answer: whole or one byte range, never changed under its name.

import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RefusedError, refuse } from '#domain';
import { RequestError } from '../errors.ts';
import type { ControlPlaneMetrics } from '../federation/metrics.ts';
import type { BlobStore } from './blob-store.ts';
import { judgeRange } from './ranges.ts';

/** @throws RefusedError not-found; RequestError 416 when the range begins behind the end */
export async function sendBlob(
  request: FastifyRequest,
  reply: FastifyReply,
  digest: string,
  { blobs, counted }: { readonly blobs: BlobStore; readonly counted: ControlPlaneMetrics },
): Promise<void> {
  const sizeBytes = await blobs.sizeBytes(digest);
  if (sizeBytes === null) throw new RefusedError(refuse.notFound('blob', digest));
  const etag = `"${digest}"`;
  reply.headers({ 'accept-ranges': 'bytes', etag, 'cache-control': 'private, immutable, max-age=31536000' });
  reply.type('application/octet-stream');
  const { range, 'if-range': ifRange } = request.headers;
  const answer = judgeRange(range, typeof ifRange === 'string' ? ifRange : undefined, etag, sizeBytes);
  if (answer.kind === 'unsatisfiable') {
    throw new RequestError(416, 'range-not-satisfiable', `The blob has ${sizeBytes} bytes.`, {
      'content-range': `bytes */${sizeBytes}`,
    });
  }
  const { first, last } = answer.kind === 'part' ? answer : { first: 0, last: sizeBytes - 1 };
  reply.header('content-length', last - first + 1);
  if (answer.kind === 'part') reply.status(206).header('content-range', `bytes ${first}-${last}/${sizeBytes}`);
  if (request.method === 'HEAD' || sizeBytes === 0) {
    await reply.send(Readable.from([]));
    return;
  }
  const stream = blobs.read(digest, { first, last });
  stream.once('close', () => counted.metrics.blobBytesServedTotal.inc(stream.bytesRead));
  await reply.send(stream);
}
