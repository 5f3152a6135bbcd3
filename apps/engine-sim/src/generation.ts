// One simulated generation: tokens as they come, at the pace that the settings say, and the account of them.
import { setTimeout as delay } from 'node:timers/promises';
import { StopText, type Usage, usageOf } from '#inference';
import type { FinishReason } from './answer-shapes.ts';
import type { Failure } from './failures.ts';
import type { Load } from './load.ts';
import { makeText } from './made-text.ts';
import type { PrefixCache } from './prefix-cache.ts';
import type { Settings } from './settings.ts';
import type { SimRequest } from './sim-request.ts';

/** The failure that was wished for is due. */
export class FailureDue extends Error {
  constructor(readonly failure: Failure) {
    super(failure.kind);
    this.name = 'FailureDue';
  }
}

export interface GenerationEnd {
  readonly finishReason: FinishReason;
  readonly usage: Usage;
}

/**
 * Yields the text of each token (empty while a stop string may be beginning) and returns how it ended. Throws FailureDue
 * when its failure is due, and what the signal says when the client left.
 */
export async function* generate(
  request: SimRequest,
  settings: Settings,
  { cache, load }: { readonly cache: PrefixCache; readonly load: Load },
  failure: Failure | null,
  signal: AbortSignal,
): AsyncGenerator<string, GenerationEnd> {
  const startedAtMs = performance.now();
  const { promptTokens, tokensMax, isEndless, stops } = request;
  const cachedTokens = cache.take(promptTokens);
  const firstAtMs = settings.firstTokenMs + settings.prefillMsPerToken * (promptTokens.length - cachedTokens);
  const speaker = { model: settings.model, modelVersion: settings.modelVersion, adapter: request.adapter };
  const tokensWanted = isEndless ? tokensMax * 4 : settings.answerTokens;
  const made = makeText(speaker, request.prompt, { seed: request.seed ?? settings.seed, tokensMax, tokensWanted });
  const stopText = new StopText(stops);
  let count = 0;
  const end = (finishReason: FinishReason): GenerationEnd => ({
    finishReason,
    usage: usageOf(promptTokens.length, count, cachedTokens),
  });
  load.promptTokens += promptTokens.length;
  for (const token of made.tokens) {
    const dueAtMs = startedAtMs + firstAtMs + count * settings.tokenMs;
    await delay(Math.max(0, dueAtMs - performance.now()), undefined, { signal });
    if (failure !== null && count >= failure.tokens) throw new FailureDue(failure);
    if (count === 0) load.firstTokenAfter((performance.now() - startedAtMs) / 1_000);
    count += 1;
    load.generatedTokens += 1;
    const { text, isStopped } = stopText.push(token);
    yield text;
    if (isStopped) return end('stop');
  }
  const rest = stopText.flush();
  if (rest !== '') yield rest;
  return end(made.isWhole && !isEndless ? 'stop' : 'length');
}
