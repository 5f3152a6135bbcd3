import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ReplayClass } from '../classes.ts';
import { REQUEST_POLICIES, REQUEST_POLICY_NAMES } from './policies.ts';
import { replayRequests } from './replay-requests.ts';
import { promptMsOf, workerMsOf } from './service-model.ts';
import { makeRequestWorkload, REQUEST_PRIORITIES, type ReplayRequest, type RequestWorkload } from './workload.ts';

function request(id: string, arrivalMs: number, workerMs: number, className: ReplayClass = 'low'): ReplayRequest {
  const priority = REQUEST_PRIORITIES[className];
  return {
    id,
    className,
    class: priority,
    arrivalMs,
    promptMs: 0,
    workerMs,
    predictedWorkerMs: workerMs,
    demand: workerMs / 1_000,
  };
}

function workload(requests: readonly ReplayRequest[], workers = 1): RequestWorkload {
  return { requests, workers, seed: 1, load: 1 };
}

/** While the first is served, the others come: a long one, then a short one, then one of the high class. */
const busy = workload([
  request('first', 0, 100),
  request('long', 10, 400),
  request('short', 20, 100),
  request('high', 30, 200, 'high'),
]);

describe('replaying requests', () => {
  it.each([
    // [mean wait, wait of the high class]
    ['fcfs', [(0 + 90 + 480 + 570) / 4, 570]],
    ['static-priority', [(0 + 70 + 290 + 680) / 4, 70]],
    ['class-shortest', [(0 + 70 + 280 + 390) / 4, 70]],
    ['c-mu', [(0 + 70 + 280 + 390) / 4, 70]],
  ] as const)('%s: golden waits on one worker', (policy, [wantMean, wantHigh]) => {
    const { all, classes } = replayRequests(busy, REQUEST_POLICIES[policy]);
    expect(all.waitMsMean).toBeCloseTo(wantMean);
    expect(classes.high.waitMsMean).toBeCloseTo(wantHigh);
  });

  it('serves at once with as many workers as requests', () => {
    const { all } = replayRequests({ ...busy, workers: 4 }, REQUEST_POLICIES.fcfs);
    expect(all).toMatchObject({ requests: 4, waitMsMean: 0, waitMsP99: 0, completionMsMean: 200, passPercent: 100 });
  });

  it('judges by the deadline of the class until the first token', () => {
    const late = workload([request('busy', 0, 10_000), request('high', 0, 1, 'high'), request('low', 0, 1)]);
    const { classes } = replayRequests(late, REQUEST_POLICIES.fcfs);
    expect([classes.high.passPercent, classes.low.passPercent, classes.medium.passPercent]).toEqual([0, 100, null]);
  });

  it('every order keeps all workers at work while anything waits: the last one is done at the same time', () => {
    const arrivals = fc.array(
      fc.tuple(
        fc.integer({ min: 0, max: 2_000 }),
        fc.integer({ min: 1, max: 500 }),
        fc.constantFrom<ReplayClass>('high', 'low'),
      ),
      { minLength: 1, maxLength: 40 },
    );
    fc.assert(
      fc.property(arrivals, (each) => {
        const sorted = [...each].sort(([left], [right]) => left - right);
        const requests = sorted.map(([atMs, workMs, name], index) => request(`r${index}`, atMs, workMs, name));
        const used = REQUEST_POLICY_NAMES.map(
          (policy) => replayRequests(workload(requests), REQUEST_POLICIES[policy]).utilisationPercent,
        );
        for (const utilisation of used) expect(utilisation).toBeCloseTo(used[0]!);
      }),
      { numRuns: 50 },
    );
  });
});

describe('the workload of requests', () => {
  const traced = Array.from({ length: 200 }, (_, index) => ({
    arrivalMs: index * 7,
    contextTokens: 100 + index * 20,
    generatedTokens: index,
  }));
  const options = { seed: 1, workers: 3, load: 0.9, estimateSigma: 0.5 };

  it('is the same for a seed, and asks for the load', () => {
    const made = makeRequestWorkload(traced, options);
    expect(makeRequestWorkload(traced, options)).toEqual(made);
    const workMs = made.requests.reduce((sum, { workerMs }) => sum + workerMs, 0);
    expect(workMs / (3 * made.requests.at(-1)!.arrivalMs)).toBeCloseTo(0.9);
  });

  it('draws classes alike whatever the estimates are', () => {
    const exact = makeRequestWorkload(traced, { ...options, estimateSigma: 0 });
    const wrong = makeRequestWorkload(traced, options);
    expect(wrong.requests.map(({ className }) => className)).toEqual(exact.requests.map(({ className }) => className));
    expect(exact.requests.every(({ workerMs, predictedWorkerMs }) => workerMs === predictedWorkerMs)).toBe(true);
    expect(wrong.requests.some(({ workerMs, predictedWorkerMs }) => workerMs !== predictedWorkerMs)).toBe(true);
  });

  it('of one moment has no load', () => {
    expect(() => makeRequestWorkload([traced[0]!], options)).toThrow('at one moment');
    expect(() => makeRequestWorkload(traced, { ...options, load: 0 })).toThrow('more than 0');
  });
});

describe('the service model', () => {
  it.each([
    [1, 58.2],
    [128, 58.2],
    [768, 65.9],
    [1_024, 77.9],
    [8_192, 844.9],
    [16_384, 1_689.8],
  ])('%d prompt tokens take %d ms', (tokens, want) => {
    expect(promptMsOf(tokens)).toBeCloseTo(want, 1);
  });

  it('charges an output token its share of a step of the batch', () => {
    expect(workerMsOf(1_024, 320)).toBeCloseTo(77.9 + 386, 1);
  });
});
