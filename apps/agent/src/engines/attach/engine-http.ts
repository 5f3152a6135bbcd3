// Short questions to an engine's server, each bounded in time and bytes. Redirects are not followed, and every end is a
// value: what cannot be reached is the ordinary case here.
import type { Pool } from 'undici';
import { createUpstreamPool } from '#inference';
import { hasCode, messageOf } from '../../errors.ts';
import { type CheckedAddress, pinnedLookup } from '../checked-address.ts';

/** vLLM's metrics are some 100 KB, more with many buckets; lists of models are smaller. */
const ANSWER_BYTES_MAX = 2_097_152;
const CONNECTIONS_MAX = 4;

export type EngineReply =
  | { readonly kind: 'answer'; readonly status: number; readonly text: string; readonly location: string }
  /** Nobody listens there: the engine is not up, or gone. */
  | { readonly kind: 'refused' }
  /** No connection, or it broke, or no whole answer in time. */
  | { readonly kind: 'unanswered'; readonly reason: string; readonly wasClosed?: boolean };

export interface EngineHttpOptions {
  readonly url: string;
  readonly addresses: readonly CheckedAddress[];
  readonly token: string | null;
  readonly timeoutMs: number;
}

export class EngineHttp {
  readonly #options: EngineHttpOptions;
  readonly #pool: Pool;
  readonly #basePath: string;

  constructor(options: EngineHttpOptions) {
    this.#options = options;
    const { origin, pathname } = new URL(options.url);
    this.#basePath = pathname.replace(/\/$/, '');
    this.#pool = createUpstreamPool(origin, {
      connectionsMax: CONNECTIONS_MAX,
      connectTimeoutMs: options.timeoutMs,
      connect: { lookup: pinnedLookup(options.addresses) },
    });
  }

  /** Asked once more where the connection was one that the server had closed meanwhile. */
  async get(path: string): Promise<EngineReply> {
    const reply = await this.#ask('GET', path, undefined, this.#options.timeoutMs);
    if (reply.kind !== 'unanswered' || !reply.wasClosed) return reply;
    return this.#ask('GET', path, undefined, this.#options.timeoutMs);
  }

  post(path: string, body: object, timeoutMs: number): Promise<EngineReply> {
    return this.#ask('POST', path, JSON.stringify(body), timeoutMs);
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #ask(method: 'GET' | 'POST', path: string, body: string | undefined, timeoutMs: number): Promise<EngineReply> {
    const { token } = this.#options;
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const answer = await this.#pool.request({
        method,
        path: `${this.#basePath}${path}`,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body,
        signal,
      });
      const { location } = answer.headers;
      const text = await readBounded(answer.body);
      return {
        kind: 'answer',
        status: answer.statusCode,
        text,
        location: typeof location === 'string' ? location : '',
      };
    } catch (cause) {
      if (isRefused(cause)) return { kind: 'refused' };
      if (signal.aborted) return { kind: 'unanswered', reason: `no answer in ${timeoutMs} ms` };
      return {
        kind: 'unanswered',
        reason: messageOf(cause),
        wasClosed: hasCode(cause, 'UND_ERR_SOCKET', 'ECONNRESET'),
      };
    }
  }
}

/** What is longer is cut: whoever reads it finds it wanting. Leaving the loop ends the body. */
async function readBounded(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) break;
  }
  return Buffer.concat(chunks).subarray(0, ANSWER_BYTES_MAX).toString('utf8');
}

/** Where a name has several addresses, the error holds one of each. */
function isRefused(cause: unknown): boolean {
  const { code, errors } = cause as { readonly code?: string; readonly errors?: readonly { readonly code?: string }[] };
  return code === 'ECONNREFUSED' || (errors?.length ? errors.every((each) => each.code === 'ECONNREFUSED') : false);
}
