import { describe, expect, it } from '@jest/globals';
import type { Rollout } from '#domain';
import { SoakClock } from './soak-clock.ts';

const BEGAN_MS = 1_800_000_000_000;
const MINUTE = 60_000;

function clockAt(atMs = BEGAN_MS) {
  const clock = { atMs, nowMs: () => clock.atMs };
  const soaks = new SoakClock(clock);
  const ageOf = (rowMs: number) => {
    const { waveReadyAt } = soaks.apply({ id: 'r', waveReadyAt: new Date(rowMs) } as Rollout);
    return clock.nowMs() - waveReadyAt!.getTime();
  };
  return { clock, soaks, ageOf };
}

describe('how long a wave has soaked', () => {
  it('is exact where this leader wrote the time', () => {
    const { clock, soaks, ageOf } = clockAt();
    soaks.wrote('r', new Date(BEGAN_MS));
    clock.atMs += 90_000;
    expect(ageOf(BEGAN_MS)).toBe(90_000);
  });

  it.each([
    { name: 'of a former leader counts less ten minutes', rowAgeMs: 45 * MINUTE, want: 35 * MINUTE },
    { name: 'R22 of a clock that is behind counts from the first look', rowAgeMs: 9 * MINUTE, want: 0 },
    { name: 'R22 of a clock that is ahead counts from the first look', rowAgeMs: -9 * MINUTE, want: 0 },
  ])('$name, and then by the own clock', ({ rowAgeMs, want }) => {
    const { clock, ageOf } = clockAt();
    const rowMs = BEGAN_MS - rowAgeMs;
    const first = ageOf(rowMs);
    clock.atMs += 30_000;
    expect([first, ageOf(rowMs)]).toEqual([want, want + 30_000]);
  });

  it('begins anew with another wave, and says nothing of one that does not serve yet', () => {
    const { clock, soaks, ageOf } = clockAt();
    ageOf(BEGAN_MS);
    clock.atMs += MINUTE;
    expect(ageOf(BEGAN_MS + MINUTE)).toBe(0);
    expect(soaks.apply({ id: 'r', waveReadyAt: null } as Rollout).waveReadyAt).toBeNull();
  });

  it('of rollouts that are over is forgotten', () => {
    const { clock, soaks, ageOf } = clockAt();
    soaks.wrote('r', new Date(BEGAN_MS));
    clock.atMs += MINUTE;
    soaks.retain(new Set());
    expect(ageOf(BEGAN_MS)).toBe(0);
  });
});
