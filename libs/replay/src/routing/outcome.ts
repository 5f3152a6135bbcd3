/** What a replay of prompts came to. */
import { mean, quantile } from '../statistics.ts';
import type { Worker } from './worker.ts';
import type { PromptWorkload } from './workload.ts';

export interface PromptOutcome {
  readonly seed: number;
  readonly load: number;
  /** From arrival until the first token. */
  readonly firstTokenMsMean: number | null;
  readonly firstTokenMsP50: number | null;
  readonly firstTokenMsP99: number | null;
  /** Tokens of prompts that were cached where they were computed. */
  readonly cachedPercent: number;
  /** Time on prompts of the worker with the most, over the mean of all. */
  readonly imbalance: number;
}

export function promptOutcomeOf(
  firstTokenMs: readonly number[],
  workers: readonly Worker[],
  { seed, load }: PromptWorkload,
): PromptOutcome {
  const total = (of: (worker: Worker) => number) => workers.reduce((sum, worker) => sum + of(worker), 0);
  return {
    seed,
    load,
    firstTokenMsMean: mean(firstTokenMs),
    firstTokenMsP50: quantile(firstTokenMs, 0.5),
    firstTokenMsP99: quantile(firstTokenMs, 0.99),
    cachedPercent: (100 * total(({ cachedTokens }) => cachedTokens)) / total(({ promptTokens }) => promptTokens),
    imbalance: (Math.max(...workers.map(({ workMs }) => workMs)) * workers.length) / total(({ workMs }) => workMs),
  };
}
