import { describe, expect, it } from '@jest/globals';
import type { EngineLoad } from './engine-adapter.ts';
import { LoadReadings } from './load-readings.ts';

/** An engine that answers when it is told to. */
function engine() {
  const asked: { answer: (load: EngineLoad | null) => void; fail: (cause: Error) => void }[] = [];
  const readings = new LoadReadings(
    () => new Promise((resolve, reject) => void asked.push({ answer: resolve, fail: reject })),
  );
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const answer = async (load: EngineLoad | null) => {
    asked.at(-1)!.answer(load);
    await settle();
  };
  const fail = async () => {
    asked.at(-1)!.fail(new Error('reset by peer'));
    await settle();
  };
  return { readings, asked, answer, fail };
}

describe('what an engine says of its load', () => {
  it('E07: is what it says, and what it does not say is absent', async () => {
    const { readings, answer } = engine();
    readings.poll(0);
    expect(readings.at(0)).toBeNull();
    await answer({ waiting: 2 });
    expect(readings.at(0)).toEqual({ waiting: 2 });
  });

  it('R8: is believed for three seconds from when it was asked', async () => {
    const { readings, answer } = engine();
    readings.poll(1_000);
    await answer({ running: 1 });
    expect([readings.at(4_000), readings.at(4_001)]).toEqual([{ running: 1 }, null]);
  });

  it.each(['null', 'a failure'])('R8: %s in the place of a reading leaves the last one', async (what) => {
    const { readings, answer, fail } = engine();
    readings.poll(0);
    await answer({ running: 1 });
    readings.poll(1_000);
    await (what === 'null' ? answer(null) : fail());
    expect([readings.at(1_000), readings.at(3_001)]).toEqual([{ running: 1 }, null]);
  });

  it('is asked for once at a time: one that hangs piles up nothing', async () => {
    const { readings, asked, answer } = engine();
    for (const nowMs of [0, 1_000, 2_000]) readings.poll(nowMs);
    expect(asked).toHaveLength(1);
    await answer(null);
    readings.poll(3_000);
    expect(asked).toHaveLength(2);
  });
});

describe('our own requests at it', () => {
  it('are the most that it had since the reading before the last, for its numbers lag', async () => {
    const { readings, answer } = engine();
    const next = async (nowMs: number) => {
      readings.poll(nowMs);
      await answer({ running: 0 });
      return readings.inflightOfLate;
    };
    for (const count of [1, 2, 3, 2, 1]) readings.noteInflight(count);
    expect(readings.inflightOfLate).toBe(3);
    expect([await next(0), await next(1_000), await next(2_000)]).toEqual([3, 1, 1]);
    readings.noteInflight(0);
    expect([await next(3_000), await next(4_000)]).toEqual([1, 0]);
  });
});
