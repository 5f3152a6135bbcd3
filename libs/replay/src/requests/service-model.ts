/**
 * How long a worker works for a request. A worker is one engine on one machine that batches what it is given: a prompt
 * takes the whole worker, an output token a share of a step of the batch. What is queued for is this worker-time, not
 * the seconds until the last token, in which the worker does other things as well (SCHEDULING.md, finding 3).
 *
 * Measured: Llama-2-70B on eight H100 (tensor parallel), medians of splitwise-sim's `perf_model.csv` (Mutinifni, MIT;
 * Splitwise, ISCA '24).
 */

/** Prompt tokens → milliseconds, at batch 1. */
const PROMPT_MS: readonly (readonly [tokens: number, ms: number])[] = [
  [128, 58.2],
  [512, 53.9],
  [1_024, 77.9],
  [2_048, 136.8],
  [4_096, 390.3],
  [8_192, 844.9],
];
/** Requests in a batch, and milliseconds of one step that gives each of them a token. */
const BATCH = 32;
export const STEP_MS = 38.6;

/** Between measured sizes on a line; below the smallest as the smallest, above the largest in proportion to it. */
export function promptMsOf(contextTokens: number): number {
  const above = PROMPT_MS.findIndex(([tokens]) => contextTokens <= tokens);
  const [largestTokens, largestMs] = PROMPT_MS.at(-1)!;
  if (above === -1) return (largestMs * contextTokens) / largestTokens;
  const [toTokens, toMs] = PROMPT_MS[above]!;
  const [fromTokens, fromMs] = PROMPT_MS[Math.max(0, above - 1)]!;
  if (toTokens === fromTokens) return toMs;
  return fromMs + ((toMs - fromMs) * (contextTokens - fromTokens)) / (toTokens - fromTokens);
}

export function workerMsOf(contextTokens: number, generatedTokens: number): number {
  return promptMsOf(contextTokens) + (generatedTokens * STEP_MS) / BATCH;
}
