/**
 * A workload of requests through one queue and some workers, each serving one after the other in worker-time: whenever
 * a worker is free it takes what the order puts first. Nothing that began is stopped (finding 4: harmful for requests).
 */
import { nextRequest } from '#scheduling';
import { type RequestOutcome, requestOutcomeOf, type ServedRequest } from './outcome.ts';
import type { RequestPolicy } from './policies.ts';
import type { ReplayRequest, RequestWorkload } from './workload.ts';

export function replayRequests(workload: RequestWorkload, { order, options }: RequestPolicy): RequestOutcome {
  const { requests, workers } = workload;
  const freeAtMs = new Array<number>(workers).fill(0);
  const waiting: ReplayRequest[] = [];
  const served: ServedRequest[] = [];
  let [come, nowMs] = [0, 0];
  while (served.length < requests.length) {
    const worker = earliestOf(freeAtMs);
    nowMs = Math.max(nowMs, freeAtMs[worker]!);
    if (waiting.length === 0) nowMs = Math.max(nowMs, requests[come]!.arrivalMs);
    while (come < requests.length && requests[come]!.arrivalMs <= nowMs) waiting.push(requests[come++]!);
    const request = nextRequest(waiting, order, nowMs, options)!;
    removeFrom(waiting, request);
    freeAtMs[worker] = nowMs + request.workerMs;
    served.push({ request, startedMs: nowMs });
  }
  return requestOutcomeOf(served, workload);
}

function earliestOf(times: readonly number[]): number {
  return times.reduce((earliest, time, index) => (time < times[earliest]! ? index : earliest), 0);
}

/** Order does not matter among those that wait: the policy orders them. */
function removeFrom(waiting: ReplayRequest[], request: ReplayRequest): void {
  const last = waiting.pop()!;
  if (last !== request) waiting[waiting.indexOf(request)] = last;
}
