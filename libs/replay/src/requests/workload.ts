/** A request trace made into a workload for so many workers: stretched to a load, with classes drawn from a seed. */

import type { RequestOrder } from '#scheduling';
import { drawClass, type ReplayClass, replayId } from '../classes.ts';
import { ReplayInputError } from '../errors.ts';
import { logNormalFactor, seededRandom } from '../random.ts';
import type { TracedRequest } from '../traces/request-trace.ts';
import { promptMsOf, workerMsOf } from './service-model.ts';

/** Lowest, middle and highest priority, so that the levels of the reference formula are the ends and middle of theirs. */
export const REQUEST_PRIORITIES: Readonly<Record<ReplayClass, number>> = { high: 10, medium: 5, low: 0 };

export interface ReplayRequest extends RequestOrder {
  readonly className: ReplayClass;
  readonly promptMs: number;
  readonly workerMs: number;
}

export interface RequestWorkload {
  readonly requests: readonly ReplayRequest[];
  readonly workers: number;
  readonly seed: number;
  readonly load: number;
}

export interface RequestWorkloadOptions {
  readonly seed: number;
  readonly workers: number;
  /** Worker-time asked for over what the workers have from the first to the last arrival; above 1 is overload. */
  readonly load: number;
  /** σ of the log-normal error of `predictedWorkerMs`; 0: it is right, though no gateway knows how long an answer gets. */
  readonly estimateSigma: number;
}

/** Throws ReplayInputError when the load is none, or all of the trace arrives at one moment. */
export function makeRequestWorkload(
  traced: readonly TracedRequest[],
  { seed, workers, load, estimateSigma }: RequestWorkloadOptions,
): RequestWorkload {
  const span = traced.at(-1)!.arrivalMs;
  if (!(load > 0)) throw new ReplayInputError('the load must be more than 0');
  if (span === 0) throw new ReplayInputError('all of the trace arrives at one moment, so that it has no load to scale');
  const workerMs = traced.map(({ contextTokens, generatedTokens }) => workerMsOf(contextTokens, generatedTokens));
  const stretch = workerMs.reduce((sum, each) => sum + each, 0) / (workers * span * load);
  const [classes, errors] = [seededRandom(seed, 'classes'), seededRandom(seed, 'estimates')];
  const predicted = workerMs.map((each) => each * logNormalFactor(errors, estimateSigma));
  const largest = predicted.reduce((most, each) => Math.max(most, each), 0);
  const requests = traced.map(
    ({ arrivalMs, contextTokens }, index): ReplayRequest => ({
      ...drawnClass(classes()),
      id: replayId('request', index),
      arrivalMs: arrivalMs * stretch,
      promptMs: promptMsOf(contextTokens),
      workerMs: workerMs[index]!,
      predictedWorkerMs: predicted[index]!,
      demand: predicted[index]! / largest,
    }),
  );
  return { requests, workers, seed, load };
}

function drawnClass(uniform: number) {
  const className = drawClass(uniform);
  return { className, class: REQUEST_PRIORITIES[className] };
}
