/** What a replay of requests came to. */
import { byClass, type ReplayClass } from '../classes.ts';
import { mean, quantile } from '../statistics.ts';
import type { ReplayRequest, RequestWorkload } from './workload.ts';

/** Until the first token, milliseconds: a request within it passes. */
export const DEADLINES_MS: Readonly<Record<ReplayClass, number>> = { high: 5_000, medium: 20_000, low: 60_000 };

export interface ServedRequest {
  readonly request: ReplayRequest;
  readonly startedMs: number;
}

export interface RequestClassOutcome {
  readonly requests: number;
  /** From arrival until a worker takes it. Null: there were none. */
  readonly waitMsMean: number | null;
  readonly waitMsP50: number | null;
  readonly waitMsP99: number | null;
  /** From arrival until the worker is done with it: waiting and worker-time. */
  readonly completionMsMean: number | null;
  readonly passPercent: number | null;
}

export interface RequestOutcome {
  readonly seed: number;
  readonly load: number;
  readonly classes: Readonly<Record<ReplayClass, RequestClassOutcome>>;
  readonly all: RequestClassOutcome;
  /** Worker-time used until the last request was served. */
  readonly utilisationPercent: number;
}

export function requestOutcomeOf(served: readonly ServedRequest[], workload: RequestWorkload): RequestOutcome {
  const { seed, load, workers } = workload;
  const endMs = served.reduce((latest, { request, startedMs }) => Math.max(latest, startedMs + request.workerMs), 0);
  const workedMs = served.reduce((sum, { request }) => sum + request.workerMs, 0);
  return {
    seed,
    load,
    classes: byClass((name) => classOutcomeOf(served.filter(({ request }) => request.className === name))),
    all: classOutcomeOf(served),
    utilisationPercent: (100 * workedMs) / (workers * endMs),
  };
}

function classOutcomeOf(served: readonly ServedRequest[]): RequestClassOutcome {
  const waits = served.map(({ request, startedMs }) => startedMs - request.arrivalMs);
  const passed = served.filter(hasPassed).length;
  return {
    requests: served.length,
    waitMsMean: mean(waits),
    waitMsP50: quantile(waits, 0.5),
    waitMsP99: quantile(waits, 0.99),
    completionMsMean: mean(served.map(({ request }, index) => waits[index]! + request.workerMs)),
    passPercent: served.length === 0 ? null : (100 * passed) / served.length,
  };
}

function hasPassed({ request, startedMs }: ServedRequest): boolean {
  return startedMs + request.promptMs - request.arrivalMs <= DEADLINES_MS[request.className];
}
