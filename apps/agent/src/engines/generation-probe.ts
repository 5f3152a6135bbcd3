// One real generation of one token, before an engine takes traffic: a port that answers and a model that computes are two
// things (a model can load and fail at its first token: out of device memory, a broken kernel, weights of nonsense shape).
import { z } from 'zod';
import { messageOf } from '../errors.ts';
import type { EngineEndpoint } from './replica.ts';

/** What an engine says of one token is a few hundred bytes. */
const ANSWER_BYTES_MAX = 65_536;
const WORDS_MAX = 300;
const PATH = '/v1/completions';

const completionSchema = z.object({ choices: z.array(z.object({ text: z.string() })).min(1) });
const errorSchema = z.object({ error: z.object({ message: z.string() }) });

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
  { pool, basePath, token, upstreamModel }: EngineEndpoint,
  servedModel: string,
  signal: AbortSignal,
): Promise<ProbeAnswer> {
  try {
    const { statusCode, body } = await pool.request({
      method: 'POST',
      path: `${basePath}${PATH}`,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        'content-type': 'application/json',
      },
      body: JSON.stringify({ model: upstreamModel ?? servedModel, prompt: 'Hello', max_tokens: 1, temperature: 0 }),
      // A large model on a slow machine takes its time: the caller's signal is the bound.
      headersTimeout: 0,
      bodyTimeout: 0,
      signal,
    });
    return judgeAnswer(statusCode, await readText(body));
  } catch (cause) {
    return { answer: 'silent', reason: `The engine did not answer the probe (${messageOf(cause)}).` };
  }
}

/** What an answer to the probe says of the engine. Pure. */
export function judgeAnswer(status: number, text: string): ProbeAnswer {
  const body = parseJson(text);
  if (status === 200) {
    if (completionSchema.safeParse(body).success) return { answer: 'generated' };
    return { answer: 'failed', reason: `The engine answered the probe without a completion: ${short(text)}` };
  }
  const words = errorSchema.safeParse(body).data?.error.message ?? text;
  const reason = `The engine answered ${status} to the probe: ${short(words) || 'nothing more'}`;
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
