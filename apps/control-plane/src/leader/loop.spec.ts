import { describe, expect, it } from '@jest/globals';
import { StaleEpochError } from '#domain';
import { type LoopOptions, runLoop } from './loop.ts';

const HOUR_MS = 3_600_000;

/** A loop whose runs are counted, and what stops it. */
function start(run: (count: number) => Promise<void> | void, options: Partial<LoopOptions> = {}) {
  const stop = new AbortController();
  const errors: unknown[] = [];
  let runs = 0;
  let wake = () => {};
  let isListening = false;
  const over = runLoop(
    {
      name: 'spec',
      intervalMs: HOUR_MS,
      wakes: [
        (ring) => {
          wake = ring;
          isListening = true;
          return () => {
            isListening = false;
          };
        },
      ],
      run: async () => {
        runs += 1;
        await run(runs);
      },
      onError: (_name, error) => void errors.push(error),
      ...options,
    },
    stop.signal,
  );
  return { stop, over, errors, wake: () => wake(), runs: () => runs, isListening: () => isListening };
}

describe('a loop of the leader', () => {
  it('runs at once, when woken, and ends promptly', async () => {
    const loop = start((count) => {
      if (count === 1) queueMicrotask(() => loop.wake());
      if (count === 2) loop.stop.abort();
    });
    await loop.over;
    expect([loop.runs(), loop.isListening()]).toEqual([2, false]);
  });

  it('does not lose what rings while it runs', async () => {
    const loop = start((count) => {
      if (count === 1) loop.wake();
      if (count === 2) loop.stop.abort();
    });
    await loop.over;
    expect(loop.runs()).toBe(2);
  });

  it('takes many rings during a run for one', async () => {
    const loop = start(async (count) => {
      if (count === 1) for (let ring = 0; ring < 10; ring += 1) loop.wake();
      if (count === 2) setTimeout(() => loop.stop.abort(), 20);
    });
    await loop.over;
    expect(loop.runs()).toBe(2);
  });

  it('reports an error and tries again without being woken', async () => {
    const loop = start((count) => {
      if (count === 1) throw new Error('first');
      loop.stop.abort();
    });
    await loop.over;
    expect([loop.runs(), loop.errors]).toEqual([2, [new Error('first')]]);
  });

  it('ends when its epoch is over, without a word', async () => {
    const loop = start(() => {
      throw new StaleEpochError(1, 2);
    });
    await loop.over;
    expect([loop.runs(), loop.errors, loop.isListening()]).toEqual([1, [], false]);
  });

  it('does not run for a signal that is already over', async () => {
    const stop = new AbortController();
    stop.abort();
    await runLoop(
      { name: 'spec', intervalMs: 1, run: () => Promise.reject(new Error('ran')), onError: () => {} },
      stop.signal,
    );
  });
});
