// What a request is charged: reserved before an engine is asked, settled by what it came to. Who was asked by the client
// charges, and nobody else: a cluster's own endpoint what it answers, a gateway what it forwards.
import type { OpenAiError } from '../errors.ts';
import type { ForwardOutcome } from '../forward-outcome.ts';
import type { AnsweredBy } from './usage-journal.ts';

/** Of a key, what charging needs. */
export interface ChargedKey {
  readonly publicId: string;
  readonly tenantId: string;
  /** All must have room; empty: no budget asks for any. */
  readonly budgetIds: readonly string[];
}

/** Of an answer whose length the client did not bound. */
const ANSWER_TOKENS_DEFAULT = 1_024;
/** Choices of one request that are reckoned with; an engine takes no more. */
const CHOICES_MAX = 128;
const RESERVED_TOKENS_MAX = 10_000_000;

export interface ChargedRequest {
  readonly deploymentId: string;
  readonly servedModel: string;
  readonly versionDigest: string;
  /** Estimated. */
  readonly promptTokens: number;
  /** The prompt among them. */
  readonly reservedTokens: number;
}

export interface SpentTokens {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** The engine did not say. */
  readonly isEstimated: boolean;
}

export interface Charge {
  /** Once: null when nothing came of the request. `by`: who answered, where it was another one. */
  end(spent: SpentTokens | null, by?: AnsweredBy): void;
}

/** Whoever ends it first has ended it. */
export function chargeOnce(end: Charge['end']): Charge {
  let isEnded = false;
  return {
    end: (spent, by) => {
      if (isEnded) return;
      isEnded = true;
      end(spent, by);
    },
  };
}

export interface Charging {
  /** The refusal names the budget, or what is wrong with the disk. */
  begin(key: ChargedKey, request: ChargedRequest): Promise<Charge | OpenAiError>;
}

/** What a request may come to, for its reservation: its prompts, and the longest answer for each of their choices. */
export function tokensReserved(
  promptTokens: number,
  maxTokens: number | null,
  { n, best_of: drawn, prompt }: { readonly n?: unknown; readonly best_of?: unknown; readonly prompt?: unknown },
): number {
  const answers = promptsIn(prompt) * Math.max(choicesOf(n), choicesOf(drawn));
  return Math.min(RESERVED_TOKENS_MAX, promptTokens + answers * (maxTokens ?? ANSWER_TOKENS_DEFAULT));
}

function choicesOf(asked: unknown): number {
  return typeof asked === 'number' && asked >= 1 ? Math.min(CHOICES_MAX, Math.floor(asked)) : 1;
}

/** A list of texts, or of lists of tokens, is as many prompts, each of which is answered; a list of tokens is one. */
function promptsIn(prompt: unknown): number {
  return Array.isArray(prompt) && typeof prompt[0] !== 'number' ? Math.max(1, prompt.length) : 1;
}

/** Null: the client was sent nothing, or the engine said that the request was wrong. */
export function tokensOf(outcome: ForwardOutcome, promptTokens: number): SpentTokens | null {
  if (outcome.kind === 'refused' || (outcome.kind === 'client-gone' && outcome.bytesSent === 0)) return null;
  if ('status' in outcome && outcome.status >= 400) return null;
  const { usage, contentEvents } = outcome;
  if (usage !== null) {
    const { prompt_tokens, completion_tokens } = usage;
    return { promptTokens: prompt_tokens, completionTokens: completion_tokens, isEstimated: false };
  }
  return { promptTokens, completionTokens: contentEvents || bytesAsTokens(outcome.bytesSent), isEstimated: true };
}

/** An answer in one piece that does not say: its size, JSON included, tells the most that it can be. */
function bytesAsTokens(bytes: number): number {
  return Math.ceil(bytes / 4);
}

/** Whether a stream's usage must be asked for because its client did not. */
export function asksForStreamUsage(body: Readonly<Record<string, unknown>>): boolean {
  const options = body.stream_options as { include_usage?: unknown } | null | undefined;
  return body.stream === true && options?.include_usage !== true;
}
