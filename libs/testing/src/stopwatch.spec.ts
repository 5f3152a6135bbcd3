import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { startStopwatch } from './stopwatch.ts';

const inMs = (ms: number) => performance.now() + ms;

describe('a stopwatch', () => {
  it('counts what passes while the process lives', async () => {
    const passedMs = startStopwatch();
    for (const untilMs = inMs(200); performance.now() < untilMs; ) await setImmediate();
    const first = passedMs();
    for (const untilMs = inMs(200); performance.now() < untilMs; ) await setImmediate();
    expect(first).toBeGreaterThan(40);
    expect(passedMs()).toBeGreaterThan(first + 40);
  });

  it('counts next to nothing of what passes while the process does not run', () => {
    const passedMs = startStopwatch();
    for (const untilMs = inMs(300); performance.now() < untilMs; );
    expect(passedMs()).toBeLessThanOrEqual(30);
  });
});
