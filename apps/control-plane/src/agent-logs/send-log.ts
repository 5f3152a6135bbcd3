import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Answers with a log's pieces as they come; `read` is told by the signal when the client goes. */
export async function sendLog(
  request: FastifyRequest,
  reply: FastifyReply,
  follows: boolean,
  read: (listening: AbortSignal) => Promise<AsyncGenerator<string>>,
): Promise<void> {
  const listening = new AbortController();
  reply.raw.once('close', () => listening.abort());
  const pieces = await read(listening.signal);
  // What says nothing for a minute is no idle socket.
  if (follows) request.raw.socket.setTimeout(0);
  await reply.type('text/plain; charset=utf-8').send(Readable.from(pieces, { objectMode: false }));
}
