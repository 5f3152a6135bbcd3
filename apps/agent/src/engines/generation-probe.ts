// One real generation of one token, before an engine takes traffic: a port that answers and a model that computes are two
// things (a model can load and fail at its first token: out of device memory, a broken kernel, weights of nonsense shape).
import { z } from 'zod';
import { adaptError } from '#inference';
import { messageOf } from '../errors.ts';
import type { EngineEndpoint } from './replica.ts';

/** What an engine says of one token is a few hundred bytes. */
const ANSWER_BYTES_MAX = 65_536;
const WORDS_MAX = 300;

/** Asked in order: an engine that has no way for text alone (404, 405, 501) has one for chats. */
const ASKED = [
  { path: '/v1/completions', prompt: { prompt: 'Hello' } },
  { path: '/v1/chat/completions', prompt: { messages: [{ role: 'user', content: 'Hello' }] } },
] as const;
const NO_SUCH_WAY: ReadonlySet<number> = new Set([404, 405, 501]);

const completionSchema = z.object({
  choices: z.array(z.union([z.object({ text: z.string() }), z.object({ message: z.object({}) })])).min(1),
});

export type ProbeAnswer =
  | { readonly answer: 'generated' }
  /** It is full, or not up yet: another try may succeed. */
  | { readonly answer: 'busy'; readonly reason: string }
  /** It did not answer: it may be gone, or on its way. */
  | { readonly answer: 'silent'; readonly reason: string }
  /** It answered, and it cannot do it. */
  | { readonly answer: 'failed'; readonly reason: string };

/** Asks an engine for one token of `servedModel`. Never throws; `signal` makes it silent. */
export async function probeGeneration(
  endpoint: EngineEndpoint,
  servedModel: string,
  signal: AbortSignal,
): Promise<ProbeAnswer> {
  try {
    let [status, text] = [404, ''];
    for (const way of ASKED) {
      if (NO_SUCH_WAY.has(status)) [status, text] = await ask(endpoint, servedModel, way, signal);
    }
    return judgeAnswer(status, text);
  } catch (cause) {
    return { answer: 'silent', reason: `The engine did not answer the probe (${messageOf(cause)}).` };
  }
}

async function ask(
  { pool, basePath, token, upstreamModel }: EngineEndpoint,
  servedModel: string,
  { path, prompt }: (typeof ASKED)[number],
  signal: AbortSignal,
): Promise<[status: number, text: string]> {
  const { statusCode, body } = await pool.request({
    method: 'POST',
    path: `${basePath}${path}`,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      'content-type': 'application/json',
    },
    body: JSON.stringify({ model: upstreamModel ?? servedModel, ...prompt, max_tokens: 1, temperature: 0 }),
    // A large model on a slow machine takes its time: the caller's signal is the bound.
    headersTimeout: 0,
    bodyTimeout: 0,
    signal,
  });
  return [statusCode, await readText(body)];
}

/** What an answer to the probe says of the engine. Pure. */
export function judgeAnswer(status: number, text: string): ProbeAnswer {
  const body = parseJson(text);
  if (status === 200) {
    if (completionSchema.safeParse(body).success) return { answer: 'generated' };
    return { answer: 'failed', reason: `The engine answered the probe without a completion: ${short(text)}` };
  }
  const words = text.trim() === '' ? 'nothing more' : adaptError(status, Buffer.from(text)).body.error.message;
  const reason = `The engine answered ${status} to the probe: ${short(words)}`;
  return { answer: status === 429 || status === 503 ? 'busy' : 'failed', reason };
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function short(text: string): string {
  return text.trim().slice(0, WORDS_MAX);
}
