import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ReplayInputError } from '../errors.ts';
import { promptMsOf, STEP_MS } from '../requests/service-model.ts';
import { finish } from '../study.ts';
import type { TracedPrompt } from '../traces/prompt-trace.ts';
import { PROMPT_POLICIES, PROMPT_POLICY_NAMES, type PromptPolicyName } from './policies.ts';
import { stepPromptReplay } from './replay-prompts.ts';
import { DEFAULT_WORKER, Worker } from './worker.ts';
import { makePromptWorkload, type PromptWorkload, type ReplayPrompt, recordedLoad } from './workload.ts';

function prompt(rest: Partial<ReplayPrompt> = {}): ReplayPrompt {
  const plain = {
    index: 0,
    arrivalMs: 0,
    promptTokens: 1_024,
    answerTokens: 10,
    blocks: [],
    estimate: 1,
    isSeen: true,
  };
  return { ...plain, ...rest };
}

/** What a worker does until nothing is left. */
function run(worker: Worker): [index: number, event: string, atMs: number][] {
  const events: [number, string, number][] = [];
  for (let atMs = worker.nextMs; atMs !== null; atMs = worker.nextMs) {
    const { prompt: of, event } = worker.step();
    events.push([of.index, event, Math.round(atMs)]);
  }
  return events;
}

const PROMPT_MS = Math.round(promptMsOf(1_024));
const ANSWER_MS = 10 * STEP_MS;

describe('a worker', () => {
  it('computes one prompt after the other, and answers stand meanwhile', () => {
    const worker = new Worker(DEFAULT_WORKER);
    for (const index of [0, 1]) worker.add(prompt({ index }), 0);
    expect(worker.outstanding).toBe(2);
    expect(run(worker)).toEqual([
      [0, 'first-token', 78],
      [1, 'first-token', 2 * PROMPT_MS],
      [0, 'finished', Math.round(2 * 77.9 + ANSWER_MS)],
      [1, 'finished', Math.round(2 * 77.9 + ANSWER_MS)],
    ]);
    expect([worker.outstanding, worker.workMs, worker.promptTokens]).toEqual([0, 2 * 77.9, 2_048]);
  });

  it('computes only what is not cached, and the cache has its bound', () => {
    const worker = new Worker({ slots: 32, cacheBlocks: 2 });
    const times = [[1, 2], [1, 2], [3], [1, 2]].map((blocks) => {
      const before = worker.workMs;
      worker.add(prompt({ blocks }), 0);
      run(worker);
      return worker.workMs - before;
    });
    expect(times).toEqual([1_024, 0, 1_024, 512].map((tokens) => expect.closeTo(promptMsOf(tokens))));
    expect(worker.cachedTokens).toBe(1_024 + 512);
  });

  it('begins no prompt while all slots answer', () => {
    const worker = new Worker({ slots: 1, cacheBlocks: 1 });
    for (const index of [0, 1]) worker.add(prompt({ index }), 0);
    const [, finished, second] = run(worker);
    expect(finished).toEqual([0, 'finished', Math.round(77.9 + ANSWER_MS)]);
    expect(second).toEqual([1, 'first-token', Math.round(2 * 77.9 + ANSWER_MS)]);
  });
});

function replay(policy: PromptPolicyName, workload: PromptWorkload) {
  return finish(stepPromptReplay(workload, PROMPT_POLICIES[policy], DEFAULT_WORKER));
}

const traced = (rest: Partial<TracedPrompt> = {}): TracedPrompt => {
  return { arrivalMs: 0, promptTokens: 1_024, answerTokens: 10, blocks: [], ...rest };
};

const options = { seed: 1, workers: 2, load: 0.5, estimateSigma: 0, unseenShare: 0 };

describe('replaying prompts', () => {
  it('takes turns, and sends to the idle', () => {
    const trace = [0, 0, 0, 4_000].map((arrivalMs) => traced({ arrivalMs }));
    const workload = makePromptWorkload(trace, { ...options, load: recordedLoad(trace, 2)! });
    for (const policy of ['round-robin', 'least-requests', 'predicted'] as const) {
      const { firstTokenMsMean, firstTokenMsP99 } = replay(policy, workload);
      expect([firstTokenMsMean, firstTokenMsP99]).toEqual([expect.closeTo((5 * 77.9) / 4), expect.closeTo(2 * 77.9)]);
    }
  });

  it('the ledger sends a conversation to where it was, and turns do not', () => {
    const conversation = Array.from({ length: 20 }, (_, turn) =>
      traced({ arrivalMs: turn * 10_000, promptTokens: 512 * (turn + 1), blocks: numbers(turn + 1) }),
    );
    const workload = makePromptWorkload(conversation, { ...options, load: 0.01 });
    const [ledger, turns] = [replay('atoll', workload), replay('round-robin', workload)];
    // Each turn computes one block of those that it has.
    expect(ledger.cachedPercent).toBeCloseTo(100 * (1 - 20 / 210));
    expect(ledger.cachedPercent).toBeGreaterThan(turns.cachedPercent);
    expect(ledger.firstTokenMsMean!).toBeLessThan(turns.firstTokenMsMean!);
  });

  it('what is old is so old: least requests does not see a burst of the last second', () => {
    const burst = Array.from({ length: 40 }, (_, index) => traced({ arrivalMs: Math.floor(index / 20) * 100_000 }));
    const workload = makePromptWorkload(burst, { ...options, load: 0.02 });
    expect(replay('least-requests', workload).imbalance).toBeCloseTo(1);
    expect(replay('least-requests-old', workload).imbalance).toBeGreaterThan(1);
  });

  it.each(PROMPT_POLICY_NAMES)(
    '%s: every prompt is computed once, at no more than all of it, the same by the same seed',
    (policy) => {
      const prompts = fc.array(
        fc.record({
          arrivalMs: fc.nat(5_000),
          promptTokens: fc.integer({ min: 1, max: 8_000 }),
          answerTokens: fc.nat(50),
          blocks: fc.nat(5).map(numbers),
        }),
        { minLength: 2, maxLength: 30 },
      );
      fc.assert(
        fc.property(prompts, (drawn) => {
          const sorted = [...drawn, traced({ arrivalMs: 5_001 })].sort(
            (left, right) => left.arrivalMs - right.arrivalMs,
          );
          const workload = makePromptWorkload(sorted, { ...options, estimateSigma: 0.5, unseenShare: 0.5 });
          const outcome = replay(policy, workload);
          expect(replay(policy, workload)).toEqual(outcome);
          expect(outcome.firstTokenMsMean!).toBeGreaterThanOrEqual(promptMsOf(512));
          expect(outcome.cachedPercent).toBeLessThanOrEqual(100);
          expect(outcome.imbalance).toBeGreaterThanOrEqual(1 - 1e-9);
          expect(outcome.imbalance).toBeLessThanOrEqual(2 + 1e-9);
        }),
        { numRuns: 20 },
      );
    },
  );
});

describe('a workload of prompts', () => {
  it('is stretched to a load', () => {
    const trace = [0, 1_000].map((arrivalMs) => traced({ arrivalMs }));
    expect(recordedLoad(trace, 2)).toBeCloseTo((2 * 77.9) / 2_000);
    const { prompts } = makePromptWorkload(trace, { ...options, load: recordedLoad(trace, 2)! / 2 });
    expect(prompts.map(({ arrivalMs }) => arrivalMs)).toEqual([0, expect.closeTo(2_000)]);
  });

  it('has the errors that are asked for, and none otherwise', () => {
    const trace = Array.from({ length: 2_000 }, (_, index) => traced({ arrivalMs: index }));
    const exact = makePromptWorkload(trace, options).prompts;
    expect(exact.every(({ estimate, isSeen }) => estimate === 1 && isSeen)).toBe(true);
    const rough = makePromptWorkload(trace, { ...options, estimateSigma: 0.6, unseenShare: 0.2 }).prompts;
    expect(rough.filter(({ isSeen }) => !isSeen).length / 2_000).toBeCloseTo(0.2, 1);
    expect(rough.filter(({ estimate }) => estimate > 1).length / 2_000).toBeCloseTo(0.5, 1);
  });

  it.each([
    ['no load', 0, [0, 1]],
    ['all at once', 1, [5, 5]],
  ])('is refused: %s', (_name, load, arrivals) => {
    const trace = arrivals.map((arrivalMs) => traced({ arrivalMs: arrivalMs - arrivals[0]! }));
    expect(() => makePromptWorkload(trace, { ...options, load })).toThrow(ReplayInputError);
  });
});

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
