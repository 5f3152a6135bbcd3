/** A trace of prompts made into a workload: stretched to a load, with the router's errors drawn from a seed. */
import { ReplayInputError } from '../errors.ts';
import { logNormalFactor, seededRandom } from '../random.ts';
import { promptMsOf } from '../requests/service-model.ts';
import type { TracedPrompt } from '../traces/prompt-trace.ts';

export interface ReplayPrompt extends TracedPrompt {
  readonly index: number;
  /** What the router takes a token of it to be: its error, which is in the prompt and in what is cached of it alike. */
  readonly estimate: number;
  /** False: the router does not know what of it is cached where. */
  readonly isSeen: boolean;
}

export interface PromptWorkload {
  readonly prompts: readonly ReplayPrompt[];
  readonly workers: number;
  readonly seed: number;
  readonly load: number;
}

export interface PromptWorkloadOptions {
  readonly seed: number;
  readonly workers: number;
  /** Time for all prompts, were nothing cached, over what the workers have from the first to the last arrival. */
  readonly load: number;
  /** σ of the log-normal error of `estimate`; 0: they are right. */
  readonly estimateSigma: number;
  /** Of the prompts are not seen. 0..1. */
  readonly unseenShare: number;
}

/** The load that a trace is to so many workers as it was recorded; null when all of it arrives at one moment. */
export function recordedLoad(traced: readonly TracedPrompt[], workers: number): number | null {
  const spanMs = traced.at(-1)!.arrivalMs;
  const promptsMs = traced.reduce((sum, { promptTokens }) => sum + promptMsOf(promptTokens), 0);
  return spanMs === 0 ? null : promptsMs / (workers * spanMs);
}

/** Throws ReplayInputError when the load is none, or all of the trace arrives at one moment. */
export function makePromptWorkload(
  traced: readonly TracedPrompt[],
  { seed, workers, load, estimateSigma, unseenShare }: PromptWorkloadOptions,
): PromptWorkload {
  if (!(load > 0)) throw new ReplayInputError('the load must be more than 0');
  const recorded = recordedLoad(traced, workers);
  if (recorded === null) {
    throw new ReplayInputError('all of the trace arrives at one moment, so that it has no load to scale');
  }
  const stretch = recorded / load;
  const [errors, sights] = [seededRandom(seed, 'estimates'), seededRandom(seed, 'sights')];
  const prompts = traced.map(
    (each, index): ReplayPrompt => ({
      ...each,
      index,
      arrivalMs: each.arrivalMs * stretch,
      estimate: logNormalFactor(errors, estimateSigma),
      isSeen: sights() >= unseenShare,
    }),
  );
  return { prompts, workers, seed, load };
}
