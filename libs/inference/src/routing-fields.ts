// The hot path's reading of a request body: one JSON.parse, then only the fields that routing and budgets need. Every
// refusal names the field and what would be right. The body itself is never changed: the original bytes are forwarded.
import { isUtf8 } from 'node:buffer';
import { type OpenAiError, openAiError } from './errors.ts';

/** Which request a body belongs to: `messages` is required of the one, `prompt` of the other. */
export type InferenceSurface = 'chat' | 'completions';

export interface RoutingFields {
  readonly model: string;
  /** Default false. */
  readonly stream: boolean;
  readonly user: string | null;
  /** The larger of `max_completion_tokens` and `max_tokens`, since engines differ in which one counts; null: neither. */
  readonly maxTokens: number | null;
}

export type RoutingFieldsResult =
  /** `value`: the parsed body, for whoever needs more of it. */
  | { readonly kind: 'fields'; readonly fields: RoutingFields; readonly value: Readonly<Record<string, unknown>> }
  | { readonly kind: 'error'; readonly error: OpenAiError };

/** Default bound on a request body. */
export const bodyBytesMaxDefault = 8 * 1024 * 1024;
const depthMax = 64;
const modelLengthMax = 256;
const userLengthMax = 512;

/**
 * Reads the routing fields of a request body.
 * Bounds: `bodyBytesMax` (default 8 MiB) → 413; nesting deeper than 64, model above 256 and user above 512
 * characters → 400.
 */
export function readRoutingFields(
  body: Buffer,
  surface: InferenceSurface = 'chat',
  bodyBytesMax = bodyBytesMaxDefault,
): RoutingFieldsResult {
  if (body.length > bodyBytesMax) {
    return refuse(
      openAiError('body_too_large', {
        message: `The request body has ${body.length} bytes; at most ${bodyBytesMax} are allowed.`,
      }),
    );
  }
  const parsed = parseObject(body);
  if (parsed.kind === 'error') return parsed;
  const { value } = parsed;
  const found =
    modelProblem(value.model) ??
    surfaceProblem(value, surface) ??
    optionalProblem(value.stream, 'stream', 'boolean') ??
    optionalProblem(value.user, 'user', 'string') ??
    countProblem(value.max_tokens, 'max_tokens') ??
    countProblem(value.max_completion_tokens, 'max_completion_tokens');
  if (found !== null) return refuse(found);
  return {
    kind: 'fields',
    value,
    fields: {
      model: value.model as string,
      stream: value.stream === true,
      user: (value.user as string | null | undefined) ?? null,
      maxTokens: Math.max(Number(value.max_completion_tokens ?? 0), Number(value.max_tokens ?? 0)) || null,
    },
  };
}

function parseObject(
  body: Buffer,
):
  | { readonly kind: 'object'; readonly value: Record<string, unknown> }
  | { readonly kind: 'error'; readonly error: OpenAiError } {
  if (body.length === 0) return refuse(invalid(null, 'The request body is empty; send a JSON object.'));
  if (!isUtf8(body)) return refuse(invalid(null, 'The request body is not valid UTF-8.'));
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    // The parser's own message quotes the body, which may hold a prompt: it is not repeated.
    return refuse(invalid(null, 'The request body is not valid JSON.'));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse(invalid(null, `The request body must be a JSON object, not ${describe(value)}.`));
  }
  if (isDeeperThan(value, depthMax)) {
    return refuse(invalid(null, `The request body is nested more than ${depthMax} levels deep.`));
  }
  return { kind: 'object', value: value as Record<string, unknown> };
}

function modelProblem(model: unknown): OpenAiError | null {
  if (model === undefined) return invalid('model', "Missing required field 'model': the name of a served model.");
  if (typeof model !== 'string') return wrongType('model', 'a string', model);
  if (model.trim() === '') return invalid('model', "'model' must not be empty.");
  if (model.length > modelLengthMax) {
    return invalid('model', `'model' has ${model.length} characters; at most ${modelLengthMax} are allowed.`);
  }
  return null;
}

function surfaceProblem(value: Record<string, unknown>, surface: InferenceSurface): OpenAiError | null {
  if (surface === 'chat') {
    const { messages } = value;
    if (messages === undefined) return invalid('messages', "Missing required field 'messages': a list of messages.");
    if (!Array.isArray(messages)) return wrongType('messages', 'a list of messages', messages);
    if (messages.length === 0) return invalid('messages', "'messages' must have at least one message.");
    return null;
  }
  const { prompt } = value;
  if (prompt === undefined) return invalid('prompt', "Missing required field 'prompt': a string or a list.");
  if (typeof prompt !== 'string' && !Array.isArray(prompt)) return wrongType('prompt', 'a string or a list', prompt);
  if (Array.isArray(prompt) && prompt.length === 0) return invalid('prompt', "'prompt' must not be an empty list.");
  return null;
}

function optionalProblem(value: unknown, field: string, wantType: 'boolean' | 'string'): OpenAiError | null {
  if (value === undefined || value === null) return null;
  const want = `a ${wantType}`;
  if (wantType === 'boolean') return typeof value === 'boolean' ? null : wrongType(field, want, value);
  if (typeof value !== 'string') return wrongType(field, want, value);
  return value.length <= userLengthMax
    ? null
    : invalid(field, `'${field}' has ${value.length} characters; at most ${userLengthMax} are allowed.`);
}

function countProblem(value: unknown, field: string): OpenAiError | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'number') return wrongType(field, 'a whole number of at least 1', value);
  if (!Number.isSafeInteger(value) || value < 1) {
    return invalid(field, `'${field}' must be a whole number of at least 1, not ${value}.`);
  }
  return null;
}

/** Looks no deeper than the bound, so that hostile nesting cannot exhaust the stack. */
function isDeeperThan(value: object, levels: number): boolean {
  if (levels === 0) return true;
  for (const key in value) {
    const child = (value as Record<string, unknown>)[key];
    if (typeof child === 'object' && child !== null && isDeeperThan(child, levels - 1)) return true;
  }
  return false;
}

function wrongType(param: string, want: string, got: unknown): OpenAiError {
  return invalid(param, `'${param}' must be ${want}, not ${describe(got)}.`);
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function invalid(param: string | null, message: string): OpenAiError {
  return openAiError('invalid_request', { param: param ?? undefined, message });
}

function refuse(error: OpenAiError): { readonly kind: 'error'; readonly error: OpenAiError } {
  return { kind: 'error', error };
}
