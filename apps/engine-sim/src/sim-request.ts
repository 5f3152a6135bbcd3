// From a request to what is to be generated, or to why not. Values that the simulator cannot honour are refused by name.
import type { IncomingMessage } from 'node:http';
import {
  bodyBytesMaxDefault,
  chatCompletionRequestSchema,
  completionRequestSchema,
  type InferenceSurface,
  invalidRequestFromSchema,
  modelNotFound,
  type OpenAiError,
  openAiError,
  readBody as readBodyWithin,
  readRoutingFields,
} from '#inference';
import { renderChat, tokensOf } from './tokens.ts';

export interface SimRequest {
  readonly surface: InferenceSurface;
  /** Null: the base itself. */
  readonly adapter: string | null;
  readonly prompt: string;
  readonly promptTokens: readonly string[];
  readonly tokensMax: number;
  readonly seed: number | null;
  readonly stops: readonly string[];
  /** Never ends by itself. */
  readonly isEndless: boolean;
  readonly isStreamed: boolean;
  readonly isUsageStreamed: boolean;
}

export type SimRequestResult =
  | { readonly kind: 'request'; readonly request: SimRequest }
  | { readonly kind: 'error'; readonly error: OpenAiError };

/** OpenAI's own default for the older endpoint. */
const COMPLETION_TOKENS = 16;

export interface Served {
  readonly model: string;
  readonly adapters: ReadonlyMap<string, string>;
  readonly contextSize: number;
}

export function readSimRequest(body: Buffer, surface: InferenceSurface, served: Served): SimRequestResult {
  const routing = readRoutingFields(body, surface);
  if (routing.kind === 'error') return routing;
  const { model } = routing.fields;
  if (model !== served.model && !served.adapters.has(model)) {
    return refuse(modelNotFound(model, [served.model, ...served.adapters.keys()]));
  }
  const value: unknown = JSON.parse(body.toString('utf8'));
  const schema = surface === 'chat' ? chatCompletionRequestSchema : completionRequestSchema;
  const parsed = schema.safeParse(value);
  if (!parsed.success) return refuse(invalidRequestFromSchema(parsed.error));
  const fields = parsed.data as Readonly<Record<string, unknown>>;
  if ((parsed.data.n ?? 1) !== 1) {
    return refuse(openAiError('unsupported_value', { param: 'n', message: "'n' must be 1." }));
  }
  const prompt = surface === 'chat' ? renderChat(fields.messages as never) : textOfPrompt(fields.prompt);
  return withinContext(prompt, fields, surface, model === served.model ? null : model, served.contextSize);
}

function withinContext(
  prompt: string,
  fields: Readonly<Record<string, unknown>>,
  surface: InferenceSurface,
  adapter: string | null,
  contextSize: number,
): SimRequestResult {
  const promptTokens = tokensOf(prompt);
  const room = contextSize - promptTokens.length;
  if (room < 1) {
    const message = `This model's maximum context length is ${contextSize} tokens, and the prompt has ${promptTokens.length}.`;
    return refuse(
      openAiError('context_length_exceeded', { message, param: surface === 'chat' ? 'messages' : 'prompt' }),
    );
  }
  const asked = (fields.max_completion_tokens ?? fields.max_tokens) as number | null | undefined;
  const stop = fields.stop as string | readonly string[] | null | undefined;
  const isStreamed = fields.stream === true;
  return {
    kind: 'request',
    request: {
      ...{ surface, adapter, prompt, promptTokens, isStreamed },
      tokensMax: Math.min(room, asked ?? (surface === 'chat' ? room : COMPLETION_TOKENS)),
      seed: typeof fields.seed === 'number' ? fields.seed : null,
      stops: (typeof stop === 'string' ? [stop] : (stop ?? [])).filter((each) => each !== ''),
      isEndless: fields.ignore_eos === true,
      isUsageStreamed:
        isStreamed && (fields.stream_options as { include_usage?: unknown } | null)?.include_usage === true,
    },
  };
}

function textOfPrompt(prompt: unknown): string {
  if (typeof prompt === 'string') return prompt;
  return Array.isArray(prompt) ? prompt.flat().join(' ') : '';
}

function refuse(error: OpenAiError): SimRequestResult {
  return { kind: 'error', error };
}

/** The whole body; null when it is longer than its bound or the client left. */
export async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const body = await readBodyWithin(request, bodyBytesMaxDefault);
  return typeof body === 'string' ? null : body;
}
