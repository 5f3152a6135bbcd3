import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** After so much silence a follower's machine is asked by TCP whether it is still there. */
const KEEP_ALIVE_MS = 30_000;

/**
 * Answers with a log's pieces as they come. `read` is told by the signal when the client goes, and is not called for one
 * that has gone.
 */
export async function sendLog(
  request: FastifyRequest,
  reply: FastifyReply,
  follows: boolean,
  read: (listening: AbortSignal) => Promise<AsyncGenerator<string>>,
): Promise<void> {
  const listening = new AbortController();
  reply.raw.once('close', () => listening.abort());
  // One that went while its key was checked closes no second time.
  if (reply.raw.closed || request.raw.socket.destroyed) return;
  const pieces = await read(listening.signal);
  if (follows) {
    // What says nothing for a minute is no idle socket; but one whose other end is dead must not follow for ever.
    request.raw.socket.setTimeout(0);
    request.raw.socket.setKeepAlive(true, KEEP_ALIVE_MS);
  }
  const body = follows ? announced(reply, pieces) : pieces;
  await reply.type('text/plain; charset=utf-8').send(Readable.from(body, { objectMode: false }));
}

/** The head of the answer goes at once: what has written nothing yet may be silent for long, and proxies wait for a head. */
async function* announced(reply: FastifyReply, pieces: AsyncGenerator<string>): AsyncGenerator<string> {
  // Nobody asks for the first piece before the head is complete.
  reply.raw.flushHeaders();
  yield* pieces;
}
