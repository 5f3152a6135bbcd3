import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { applyDiff, CorruptDiffError, encodeDiff, MemorySink, memorySource, WorkerPool } from '../index.ts';
import { safetensorsFile, updated, weights } from '../model-files.builders.ts';

const bytes = weights(100_000, 1);
const file = (content: Uint8Array) =>
  safetensorsFile([{ name: 'w', dtype: 'BF16', shape: [400, 250], bytes: content }]);
const badWork = {
  typeCode: 6,
  base: new Uint8Array(8),
  surroundings: new Uint8Array(0),
  model: new Uint8Array(0),
  firstElement: 0,
  codecCode: 3,
  payload: Uint8Array.of(99),
  bytes: 8,
  crc: 0,
};
const base = file(bytes);
const next = file(updated(bytes, 2, 0.5));

describe('WorkerPool', () => {
  let pool: WorkerPool;
  beforeAll(() => {
    pool = new WorkerPool(2);
  });
  afterAll(() => pool.close());

  it('gives what one thread gives, in the same order', async () => {
    const [inline, threaded] = [new MemorySink(), new MemorySink()];
    await encodeDiff(memorySource(base), memorySource(next), inline, { blockBytes: 8192 });
    await encodeDiff(memorySource(base), memorySource(next), threaded, { blockBytes: 8192, runner: pool });
    expect(Buffer.from(threaded.content()).equals(inline.content())).toBe(true);

    const result = new MemorySink();
    await applyDiff(memorySource(base), memorySource(inline.content()), result, { runner: pool });
    expect(Buffer.from(result.content()).equals(next)).toBe(true);
  });

  it('reports bad input as the same error', async () => {
    await expect(pool.decode(badWork)).rejects.toThrow(CorruptDiffError);
  });

  it('a thread that died fails its own work and is replaced for what comes next', async () => {
    const mortal = new WorkerPool(1);
    const threads = Reflect.get(mortal, 'threads') as { worker: Worker }[];
    try {
      const underWay = mortal.decode(badWork);
      const [ended] = await Promise.allSettled([underWay, threads[0]!.worker.terminate()]);
      expect(ended.status).toBe('rejected');
      await expect(mortal.decode(badWork)).rejects.toThrow(CorruptDiffError);
    } finally {
      await mortal.close();
    }
  }, 60_000);

  it('work that comes after its end fails instead of waiting for ever', async () => {
    const closed = new WorkerPool(1);
    await closed.close();
    await expect(closed.decode(badWork)).rejects.toThrow(/ended/);
  });

  it('refuses a number of threads that makes no sense', () => {
    expect(() => new WorkerPool(0)).toThrow(/threads/);
  });
});
