/**
 * Errors of engines in OpenAI's shape, so that a client meets the same fields whoever refused. Recognised by their shape
 * and not by the dialect, for one engine uses several: its own, its framework's, and that of what stands before it.
 *
 * Invariants: the sentence of the engine is kept (bounded); a refusal of *our* token is never told as one of the client's
 * key, nor in the engine's words, for some repeat parts of the token (S8); a redirect is never handed on (S6).
 */
import { type OpenAiErrorBody, openAiError } from '../errors.ts';

/** An error's answer as the client gets it. */
export interface AdaptedError {
  readonly status: number;
  readonly body: OpenAiErrorBody;
}

const messageCharactersMax = 4_000;

/** Statuses whose answers are adapted: everything that is no success. Give it to `forwardRequest`. */
export const adaptedStatuses: ReadonlySet<number> = new Set(Array.from({ length: 300 }, (_, index) => 300 + index));

interface Fault {
  readonly message: string;
  readonly type?: string;
  readonly param?: string;
  readonly code?: string;
}
type Shape = (body: unknown, text: string) => Fault | null;

/** Shape → what is in it; the first that fits is taken. */
const shapes: Readonly<Record<string, Shape>> = {
  /** OpenAI; vLLM from 0.10; llama.cpp with a number for its code; Ollama on `/v1`. */
  nested: (body) => faultOf(fieldOf(body, 'error')),
  /** Ollama's own API `{"error": "…"}`; vLLM and SGLang on a wrong key; MindIE, with `error_type` beside it. */
  bare: (body) => {
    const message = fieldOf(body, 'error');
    return typeof message === 'string' ? { message, type: textOf(fieldOf(body, 'error_type')) } : null;
  },
  /** `{"object": "error", "message": …}`: vLLM before 0.10, SGLang, LMDeploy. */
  flat: (body) => faultOf(body),
  /** FastAPI: `{"detail": "…"}`, or a list with the place of each fault. */
  detail: (body) => faultOfDetail(fieldOf(body, 'detail')),
  text: (_body, text) => (text.trim() === '' || text.trimStart().startsWith('<') ? null : { message: text.trim() }),
};

/** An engine's refusal, adapted. `body` null: it was too long or broke off. */
export function adaptError(status: number, body: Buffer | null): AdaptedError {
  if (status < 400) return upstreamFault(`The engine answered with status ${status}, which is not followed.`);
  if (status === 401 || status === 403) {
    return upstreamFault(`The engine refused the token that this cluster is configured with (${status}).`);
  }
  return { status: status === 422 ? 400 : status, body: { error: errorOf(status, faultIn(body)) } };
}

function faultIn(body: Buffer | null): Fault {
  const text = body?.toString('utf8') ?? '';
  const parsed = parse(text);
  for (const shape of Object.values(shapes)) {
    const fault = shape(parsed, text);
    if (fault !== null) return fault;
  }
  return { message: 'The engine gave no reason.' };
}

function errorOf(status: number, fault: Fault): OpenAiErrorBody['error'] {
  const message = fault.message.slice(0, messageCharactersMax);
  const isTooLong =
    fault.type === 'exceed_context_size_error' || /maximum context length|context (size|window)/i.test(message);
  if (isTooLong && status === 400)
    return openAiError('context_length_exceeded', { message, param: fault.param }).body.error;
  const isUnknownModel = status === 404 && /model/i.test(message);
  return {
    message,
    type: status >= 500 ? 'server_error' : status === 429 ? 'rate_limit_error' : 'invalid_request_error',
    param: fault.param ?? (isUnknownModel ? 'model' : null),
    code: fault.code ?? (isUnknownModel ? 'model_not_found' : null),
  };
}

function upstreamFault(message: string): AdaptedError {
  const { status, body } = openAiError('upstream_error', { message: message.slice(0, messageCharactersMax) });
  return { status, body };
}

function faultOf(value: unknown): Fault | null {
  const message = textOf(fieldOf(value, 'message'));
  if (message === undefined) return null;
  // A code that is the status again (vLLM, llama.cpp, LMDeploy: a number) says nothing; OpenAI's are words.
  return {
    message,
    type: textOf(fieldOf(value, 'type')),
    param: textOf(fieldOf(value, 'param')),
    code: textOf(fieldOf(value, 'code')),
  };
}

function faultOfDetail(detail: unknown): Fault | null {
  if (typeof detail === 'string') return { message: detail };
  if (!Array.isArray(detail)) return faultOf(fieldOf(detail, 'error')) ?? faultOf(detail);
  const message = textOf(fieldOf(detail[0], 'msg'));
  if (message === undefined) return null;
  const place = fieldOf(detail[0], 'loc');
  const path = Array.isArray(place) ? place.filter((part) => part !== 'body').join('.') : '';
  return path === '' ? { message } : { message: `Invalid '${path}': ${message}.`, param: path };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
