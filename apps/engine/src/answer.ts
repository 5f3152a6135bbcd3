// Writes a generation to the client: token by token as events, or as one object. Usage counts the model's own tokens.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import {
  openAiError,
  StopText,
  sseContentType,
  sseDone,
  sseError,
  sseEvent,
  usageOf,
  writeOpenAiError,
} from '#inference';
import type { GenerationRequest } from './generation-request.ts';
import type { TextGenerator } from './text-generator.ts';

/** Which model answers, in the words that the client reads. */
export interface AnswerIdentity {
  readonly servedModel: string;
  readonly versionDigest: string;
}

export type AnswerEnd =
  | { readonly kind: 'finished'; readonly promptTokens: number; readonly completionTokens: number }
  | { readonly kind: 'client-gone'; readonly completionTokens: number }
  | { readonly kind: 'failed'; readonly completionTokens: number; readonly error: Error };

type FinishReason = 'stop' | 'length';

/** How long a client may leave what was written unread. */
const clientIdleMs = 60_000;

/** Generates and answers. Stops generating at the next token once the signal fires. Never rejects. */
export async function answer(
  request: GenerationRequest,
  generator: TextGenerator,
  identity: AnswerIdentity,
  res: ServerResponse,
  signal: AbortSignal,
): Promise<AnswerEnd> {
  const format = new AnswerFormat(request, identity);
  const stopText = new StopText(request.stops);
  let completionTokens = 0;
  let finishReason: FinishReason = 'stop';
  let text = '';
  const show = async (piece: string): Promise<void> => {
    if (piece === '') return;
    if (request.isStreamed) await write(res, format.chunk(piece, null), signal);
    else text += piece;
  };
  try {
    let isStopped = false;
    for await (const piece of generator.generate(request.prompt, request.options)) {
      if (signal.aborted) return { kind: 'client-gone', completionTokens };
      completionTokens += 1;
      if (request.isStreamed && completionTokens === 1) startStream(res, format);
      const step = stopText.push(piece);
      await show(step.text);
      isStopped = step.isStopped;
      if (isStopped) break;
      if (completionTokens >= request.tokensMax) {
        finishReason = 'length';
        break;
      }
    }
    if (!isStopped) await show(stopText.flush());
    if (signal.aborted) return { kind: 'client-gone', completionTokens };
  } catch (error) {
    if (signal.aborted) return { kind: 'client-gone', completionTokens };
    fail(res);
    return { kind: 'failed', completionTokens, error: error as Error };
  }
  const promptTokens = request.prompt.length;
  if (request.isStreamed) {
    if (completionTokens === 0) startStream(res, format);
    const usage = request.isUsageStreamed ? format.usageChunk(promptTokens, completionTokens) : '';
    res.end(format.chunk('', finishReason) + usage + sseDone);
  } else {
    const whole = Buffer.from(JSON.stringify(format.whole(text, finishReason, promptTokens, completionTokens)));
    res.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'content-length': whole.length });
    res.end(whole);
  }
  return { kind: 'finished', promptTokens, completionTokens };
}

function startStream(res: ServerResponse, format: AnswerFormat): void {
  res.writeHead(200, { 'content-type': sseContentType, 'cache-control': 'no-cache' });
  const opening = format.opening();
  if (opening !== '') res.write(opening);
}

/** Waits for a slow reader, which so slows the generation down; one that stops reading is let go. */
async function write(res: ServerResponse, text: string, signal: AbortSignal): Promise<void> {
  if (res.write(text)) return;
  const bound = setTimeout(() => res.destroy(), clientIdleMs);
  try {
    await once(res, 'drain', { signal });
  } finally {
    clearTimeout(bound);
  }
}

function fail(res: ServerResponse): void {
  const error = openAiError('internal_error', { message: 'The engine failed while it generated.' });
  if (!res.headersSent) writeOpenAiError(res, error);
  else res.end(sseError(error.body));
}

/** The shapes of the two endpoints, whole and in chunks. */
class AnswerFormat {
  readonly #isChat: boolean;
  readonly #head: { id: string; created: number; model: string; system_fingerprint: string };
  readonly #chunkObject: string;
  readonly #hasUsage: boolean;

  constructor(request: GenerationRequest, identity: AnswerIdentity) {
    this.#isChat = request.surface === 'chat';
    this.#hasUsage = request.isUsageStreamed;
    this.#chunkObject = this.#isChat ? 'chat.completion.chunk' : 'text_completion';
    this.#head = {
      id: `${this.#isChat ? 'chatcmpl' : 'cmpl'}-${randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: identity.servedModel,
      system_fingerprint: identity.versionDigest,
    };
  }

  opening(): string {
    if (!this.#isChat) return '';
    return this.#event([{ index: 0, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }]);
  }

  chunk(text: string, finishReason: FinishReason | null): string {
    const content = this.#isChat ? { delta: text === '' ? {} : { content: text } } : { text };
    return this.#event([{ index: 0, ...content, logprobs: null, finish_reason: finishReason }]);
  }

  usageChunk(promptTokens: number, completionTokens: number): string {
    const usage = usageOf(promptTokens, completionTokens);
    return sseEvent({ ...this.#head, object: this.#chunkObject, choices: [], usage });
  }

  whole(text: string, finishReason: FinishReason, promptTokens: number, completionTokens: number): object {
    const content = this.#isChat ? { message: { role: 'assistant', content: text, refusal: null } } : { text };
    return {
      ...this.#head,
      object: this.#isChat ? 'chat.completion' : 'text_completion',
      choices: [{ index: 0, ...content, logprobs: null, finish_reason: finishReason }],
      usage: usageOf(promptTokens, completionTokens),
    };
  }

  #event(choices: readonly object[]): string {
    // With include_usage, OpenAI sends `usage: null` in every chunk but the last.
    const usage = this.#hasUsage ? { usage: null } : {};
    return sseEvent({ ...this.#head, object: this.#chunkObject, choices, ...usage });
  }
}
