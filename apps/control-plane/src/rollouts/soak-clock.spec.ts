import { describe, expect, it } from '@jest/globals';
import type { Rollout } from '#domain';
import { SoakClock } from './soak-clock.ts';

const WALL_MS = 1_800_000_000_000;
const MINUTE = 60_000;

function clockAt(wallMs = WALL_MS) {
  const monotonic = { atMs: 5_000, nowMs: () => monotonic.atMs };
  const soaks = new SoakClock(monotonic, wallMs);
  const ageOf = (rowMs: number) => {
    const { waveReadyAt } = soaks.apply({ id: 'r', waveReadyAt: new Date(rowMs) } as Rollout);
    return soaks.nowMs() - waveReadyAt!.getTime();
  };
  return { monotonic, soaks, ageOf };
}

describe('how long a wave has soaked', () => {
  it('is exact where this leader wrote the time', () => {
    const { monotonic, soaks, ageOf } = clockAt();
    soaks.wrote('r', new Date(WALL_MS));
    monotonic.atMs += 90_000;
    expect(ageOf(WALL_MS)).toBe(90_000);
  });

  it.each([
    { name: 'of a former leader counts less ten minutes', rowAgeMs: 45 * MINUTE, want: 35 * MINUTE },
    { name: 'R22 of a clock that is behind counts from the first look', rowAgeMs: 9 * MINUTE, want: 0 },
    { name: 'R22 of a clock that is ahead counts from the first look', rowAgeMs: -9 * MINUTE, want: 0 },
  ])('$name, and then by the own clock', ({ rowAgeMs, want }) => {
    const { monotonic, ageOf } = clockAt();
    const rowMs = WALL_MS - rowAgeMs;
    const first = ageOf(rowMs);
    monotonic.atMs += 30_000;
    expect([first, ageOf(rowMs)]).toEqual([want, want + 30_000]);
  });

  it('begins anew with another wave, and says nothing of one that does not serve yet', () => {
    const { monotonic, soaks, ageOf } = clockAt();
    ageOf(WALL_MS);
    monotonic.atMs += MINUTE;
    expect(ageOf(WALL_MS + MINUTE)).toBe(0);
    expect(soaks.apply({ id: 'r', waveReadyAt: null } as Rollout).waveReadyAt).toBeNull();
  });

  it('of rollouts that are over is forgotten', () => {
    const { monotonic, soaks, ageOf } = clockAt();
    soaks.wrote('r', new Date(WALL_MS));
    monotonic.atMs += MINUTE;
    soaks.retain(new Set());
    expect(ageOf(WALL_MS)).toBe(0);
  });
});
