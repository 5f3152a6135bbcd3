// The shapes of answers, whole and in chunks, as vLLM writes them.
import { randomUUID } from 'node:crypto';
import { type InferenceSurface, sseEvent, type Usage } from '#inference';

export type FinishReason = 'stop' | 'length';

export class AnswerShapes {
  readonly #isChat: boolean;
  readonly #head: { readonly id: string; readonly created: number; readonly model: string };

  constructor(surface: InferenceSurface, model: string) {
    this.#isChat = surface === 'chat';
    const id = `${this.#isChat ? 'chatcmpl' : 'cmpl'}-${randomUUID().replaceAll('-', '')}`;
    this.#head = { id, created: Math.floor(Date.now() / 1_000), model };
  }

  /** The event before the first token; '' where there is none. */
  opening(): string {
    return this.#isChat ? this.#event({ delta: { role: 'assistant', content: '' } }, null) : '';
  }

  token(text: string): string {
    return this.#event(this.#isChat ? { delta: { content: text } } : { text }, null);
  }

  closing(finishReason: FinishReason): string {
    return this.#event(this.#isChat ? { delta: {} } : { text: '' }, finishReason);
  }

  usage(usage: Usage): string {
    return sseEvent({ ...this.#chunkHead(), choices: [], usage });
  }

  whole(text: string, finishReason: FinishReason, usage: Usage): object {
    const content = this.#isChat ? { message: { role: 'assistant', content: text, tool_calls: [] } } : { text };
    return {
      ...this.#head,
      object: this.#isChat ? 'chat.completion' : 'text_completion',
      choices: [{ index: 0, ...content, logprobs: null, finish_reason: finishReason, stop_reason: null }],
      usage,
    };
  }

  #event(content: object, finishReason: FinishReason | null): string {
    const choice = { index: 0, ...content, logprobs: null, finish_reason: finishReason };
    return sseEvent({ ...this.#chunkHead(), choices: [choice] });
  }

  #chunkHead(): object {
    return { ...this.#head, object: this.#isChat ? 'chat.completion.chunk' : 'text_completion' };
  }
}
