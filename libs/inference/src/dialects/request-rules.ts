/**
 * What is changed in a request on its way to an engine that knows OpenAI's dialect less than whole. Each rule is a named
 * pure function of the parsed body that gives the very object back when it has nothing to change, and says where it is
 * known from. A field that no rule names passes untouched: engines have fields of their own.
 */
import type { InferenceSurface } from '../routing-fields.ts';

export type RequestBody = Readonly<Record<string, unknown>>;
export type RequestRule = (body: RequestBody, surface: InferenceSurface) => RequestBody;

/**
 * `max_completion_tokens` → `max_tokens`, which wins when both are there. Ollama lists `max_tokens` only
 * (docs.ollama.com/api/openai-compatibility), MindIE too (hiascend.com, MindIE LLM, v1/chat/completions); llama.cpp before
 * 2024-09 and LMDeploy before 0.8 did not know the newer name and would generate without a bound.
 */
export const olderTokenLimit: RequestRule = (body) => {
  if (!('max_completion_tokens' in body)) return body;
  const { max_completion_tokens: limit, ...rest } = body;
  return 'max_tokens' in rest && rest.max_tokens !== null ? rest : { ...rest, max_tokens: limit };
};

/**
 * Role `developer` → `system`. OpenAI renamed the role in 2024; chat templates of most open models know the old name only
 * and raise or drop the message (ggml-org/llama.cpp `common/chat.cpp` works around it for some templates). Engines that
 * serve models with such a role themselves (vLLM, SGLang: gpt-oss) keep it.
 */
export const developerAsSystem: RequestRule = (body) =>
  mapMessages(body, (message) => (message.role === 'developer' ? { ...message, role: 'system' } : message));

/**
 * Content that is a list of text parts only → one string. MindIE takes lists for multimodal models only (hiascend.com,
 * MindIE LLM, v1/chat/completions, `content`); so did Ollama before 0.1.35 (ollama/ollama docs/openai.md of that time).
 */
export const joinedTextParts: RequestRule = (body) =>
  mapMessages(body, (message) => {
    const text = textOfParts(message.content);
    return text === null ? message : { ...message, content: text };
  });

/** Says nothing of streams: MindIE tells usage in the last chunk of every stream and knows no `stream_options`. */
export const withoutStreamOptions: RequestRule = (body) => without(body, ['stream_options']);

/**
 * Fields about OpenAI's own service. They steer caches, storage and billing there and mean nothing to a single engine;
 * servers that check their input refuse them, and a key of somebody's cache is nobody else's business.
 */
export const withoutServiceFields: RequestRule = (body) =>
  without(body, [
    'prompt_cache_key',
    'prompt_cache_retention',
    'safety_identifier',
    'service_tier',
    'store',
    'metadata',
    'verbosity',
  ]);

const exactName = /^[a-z0-9_]+$/;

/**
 * Fields that only look like those that were read here. Ollama knows names in any case (Go's encoding/json, which takes `ſ`
 * for an `s` too), so that `MODEL` beside `model` names another model than the one that the key was judged by, and
 * `Max_Tokens` another bound than the one that was reserved for.
 */
export const withoutLookalikes: RequestRule = (body) =>
  without(
    body,
    Object.keys(body).filter((name) => !exactName.test(name)),
  );

/** Asks a stream for its usage, which the client did not: `stream_options.include_usage`. */
export const withStreamUsage: RequestRule = (body) => {
  if (body.stream !== true) return body;
  const options = isObject(body.stream_options) ? body.stream_options : {};
  return options.include_usage === true ? body : { ...body, stream_options: { ...options, include_usage: true } };
};

/** Named fields taken out; the same object when none of them is there. */
function without(body: RequestBody, names: readonly string[]): RequestBody {
  if (!names.some((name) => name in body)) return body;
  return Object.fromEntries(Object.entries(body).filter(([name]) => !names.includes(name)));
}

function mapMessages(body: RequestBody, change: (message: RequestBody) => RequestBody): RequestBody {
  if (!Array.isArray(body.messages)) return body;
  const messages = body.messages as readonly unknown[];
  const changed = messages.map((message) => (isObject(message) ? change(message) : message));
  return changed.every((message, index) => message === messages[index]) ? body : { ...body, messages: changed };
}

/** Null where there is something else than text in it, or no list. */
function textOfParts(content: unknown): string | null {
  if (!Array.isArray(content) || content.length === 0) return null;
  const texts = content.map((part) => (isObject(part) && part.type === 'text' ? part.text : null));
  return texts.every((text) => typeof text === 'string') ? texts.join('') : null;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
