// What a request cost, in tokens of the model's own tokenizer. The engine's count is the truth; nobody else counts.

/** OpenAI's `usage` object. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens: number };
}

/** `cachedTokens`: how many of the prompt's tokens were not evaluated again; left out when nobody counted. */
export function usageOf(promptTokens: number, completionTokens: number, cachedTokens?: number): Usage {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    ...(cachedTokens === undefined ? {} : { prompt_tokens_details: { cached_tokens: cachedTokens } }),
  };
}

/** The `usage` of a parsed answer or chunk; null when there is none or it is not whole. */
export function readUsage(answer: unknown): Usage | null {
  if (typeof answer !== 'object' || answer === null || !('usage' in answer)) return null;
  const usage = answer.usage;
  if (typeof usage !== 'object' || usage === null) return null;
  const { prompt_tokens: prompt, completion_tokens: completion } = usage as Record<string, unknown>;
  if (!isCount(prompt)) return null;
  const generated = isCount(completion) ? completion : 0;
  return {
    ...(usage as object),
    prompt_tokens: prompt,
    completion_tokens: generated,
    total_tokens: prompt + generated,
  };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
