// From an OpenAI request to what the generator is asked. Refuses by name what this engine cannot do: a value that is
// ignored silently is worse than one that is refused.
import { randomInt } from 'node:crypto';
import {
  type ChatCompletionRequest,
  type ChatMessage,
  type CompletionRequest,
  chatCompletionRequestSchema,
  completionRequestSchema,
  type InferenceSurface,
  invalidRequestFromSchema,
  modelNotFound,
  type OpenAiError,
  openAiError,
  readRoutingFields,
} from '#inference';
import type { GenerationOptions, PromptMessage, TextGenerator } from './text-generator.ts';

export interface GenerationRequest {
  readonly surface: InferenceSurface;
  readonly prompt: readonly number[];
  readonly options: GenerationOptions;
  /** Never more than the context has room for. */
  readonly tokensMax: number;
  readonly stops: readonly string[];
  readonly isStreamed: boolean;
  readonly isUsageStreamed: boolean;
}

export type GenerationRequestResult =
  | { readonly kind: 'request'; readonly request: GenerationRequest }
  | { readonly kind: 'error'; readonly error: OpenAiError };

/** OpenAI's own default for the older endpoint. */
const completionTokensDefault = 16;
const seedMax = 2 ** 31;

/** Parses, checks and encodes one body for the model served as `servedModel`. */
export function readGenerationRequest(
  body: Buffer,
  surface: InferenceSurface,
  servedModel: string,
  generator: TextGenerator,
): GenerationRequestResult {
  const routing = readRoutingFields(body, surface);
  if (routing.kind === 'error') return routing;
  if (routing.fields.model !== servedModel) return refuse(modelNotFound(routing.fields.model, [servedModel]));
  const value: unknown = JSON.parse(body.toString('utf8'));
  if (surface === 'chat') {
    const parsed = chatCompletionRequestSchema.safeParse(value);
    if (!parsed.success) return refuse(invalidRequestFromSchema(parsed.error));
    const problem = sharedProblem(parsed.data) ?? chatProblem(parsed.data) ?? messagesProblem(parsed.data.messages);
    if (problem !== null) return refuse(problem);
    const prompt = generator.encodeChat(parsed.data.messages.map(toPromptMessage));
    const tokensAsked = parsed.data.max_completion_tokens ?? parsed.data.max_tokens;
    return fit(surface, parsed.data, prompt, tokensAsked ?? generator.contextSize, generator.contextSize);
  }
  const parsed = completionRequestSchema.safeParse(value);
  if (!parsed.success) return refuse(invalidRequestFromSchema(parsed.error));
  const problem = sharedProblem(parsed.data) ?? completionProblem(parsed.data);
  if (problem !== null) return refuse(problem);
  const text = Array.isArray(parsed.data.prompt) ? String(parsed.data.prompt[0]) : parsed.data.prompt;
  const tokensAsked = parsed.data.max_tokens ?? completionTokensDefault;
  return fit(surface, parsed.data, generator.encodeText(text), tokensAsked, generator.contextSize);
}

function fit(
  surface: InferenceSurface,
  body: ChatCompletionRequest | CompletionRequest,
  prompt: readonly number[],
  tokensAsked: number,
  contextSize: number,
): GenerationRequestResult {
  if (prompt.length === 0) return refuse(unsupported('prompt', 'must have at least one token'));
  if (prompt.length >= contextSize) {
    const message =
      `This model's context has ${contextSize} tokens and the prompt alone has ${prompt.length}. ` +
      'Shorten it so that at least one token is left for the answer.';
    return refuse(
      openAiError('context_length_exceeded', { param: surface === 'chat' ? 'messages' : 'prompt', message }),
    );
  }
  const stop = body.stop ?? [];
  return {
    kind: 'request',
    request: {
      surface,
      prompt,
      options: {
        temperature: body.temperature ?? 1,
        topP: body.top_p ?? 1,
        seed: body.seed === undefined || body.seed === null ? randomInt(seedMax) : Math.abs(body.seed) % seedMax,
      },
      tokensMax: Math.min(tokensAsked, contextSize - prompt.length),
      stops: typeof stop === 'string' ? [stop] : stop,
      isStreamed: body.stream === true,
      isUsageStreamed: body.stream === true && body.stream_options?.include_usage === true,
    },
  };
}

function sharedProblem(body: ChatCompletionRequest | CompletionRequest): OpenAiError | null {
  if ((body.n ?? 1) !== 1) return unsupported('n', 'must be 1');
  if ((body.presence_penalty ?? 0) !== 0) return unsupported('presence_penalty', 'must be 0');
  if ((body.frequency_penalty ?? 0) !== 0) return unsupported('frequency_penalty', 'must be 0');
  if (Object.keys(body.logit_bias ?? {}).length > 0) return unsupported('logit_bias', 'must be empty');
  const stops = typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []);
  if (stops.includes('')) return unsupported('stop', 'must not hold an empty string');
  if (body.stream !== true && body.stream_options) {
    return unsupported('stream_options', 'is only allowed when stream is true');
  }
  return null;
}

function chatProblem(body: ChatCompletionRequest): OpenAiError | null {
  if (body.logprobs === true) return unsupported('logprobs', 'must be false');
  if ((body.tools ?? []).length > 0) return unsupported('tools', 'must be empty');
  const format = body.response_format?.type ?? 'text';
  return format === 'text' ? null : unsupported('response_format.type', "must be 'text'");
}

function completionProblem(body: CompletionRequest): OpenAiError | null {
  if (body.echo === true) return unsupported('echo', 'must be false');
  if (typeof body.suffix === 'string' && body.suffix !== '') return unsupported('suffix', 'must be empty');
  if ((body.best_of ?? 1) !== 1) return unsupported('best_of', 'must be 1');
  if (typeof body.logprobs === 'number') return unsupported('logprobs', 'must be left out');
  if (Array.isArray(body.prompt) && (body.prompt.length !== 1 || typeof body.prompt[0] !== 'string')) {
    return unsupported('prompt', 'must be a string or a list of one string');
  }
  return null;
}

const spokenRoles = new Set(['system', 'developer', 'user', 'assistant']);

function messagesProblem(messages: readonly ChatMessage[]): OpenAiError | null {
  for (const [index, { role, content }] of messages.entries()) {
    const at = `messages[${index}]`;
    if (!spokenRoles.has(role)) return unsupported(`${at}.role`, 'must be system, developer, user or assistant');
    if (content === null || content === undefined) return unsupported(`${at}.content`, 'must be text');
    if (typeof content === 'string') continue;
    const other = content.findIndex((part) => part.type !== 'text' || part.text === undefined);
    if (other !== -1) return unsupported(`${at}.content[${other}]`, "must be a part of type 'text' with its text");
  }
  return null;
}

function toPromptMessage({ role, content }: ChatMessage): PromptMessage {
  const text = typeof content === 'string' ? content : (content ?? []).map((part) => part.text ?? '').join('');
  return { role: role === 'assistant' || role === 'user' ? role : 'system', text };
}

function unsupported(param: string, want: string): OpenAiError {
  return openAiError('unsupported_value', { param, message: `This engine does not support that: '${param}' ${want}.` });
}

function refuse(error: OpenAiError): GenerationRequestResult {
  return { kind: 'error', error };
}
