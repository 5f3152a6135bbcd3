import { beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { RivalGuard } from './rival-guard.ts';

const OLD = '01900000-0000-7000-8000-000000000001';
const NEW = '01900000-0000-7000-8000-000000000002';

let nowMs: number;
let fencedBy: string[];
beforeEach(() => {
  nowMs = 0;
  fencedBy = [];
});

function guardOf(bootId: string): RivalGuard {
  const onFenced = (rival: string) => void fencedBy.push(rival);
  return new RivalGuard({ bootId, onFenced, log: pino({ level: 'silent' }), nowMs: () => nowMs });
}

/** Hints come every five seconds; `rivalAdvances`: the other boot's reports go on. */
function hear(guard: RivalGuard, rivalAdvances: (count: number) => boolean): void {
  let [old, newer] = [10, 1];
  for (let count = 0; count < 10; count += 1) {
    nowMs += 5_000;
    if (rivalAdvances(count)) old += 1;
    newer += 1;
    guard.heard({
      boots: [
        { bootId: NEW, sequence: newer },
        { bootId: OLD, sequence: old },
      ],
    });
  }
}

describe('two agents with one identity', () => {
  it('the older hears of the newer, and is fenced once', () => {
    const guard = guardOf(OLD);
    hear(guard, () => true);
    expect(fencedBy).toEqual([NEW]);
  });

  it('the newer says who the other is, and goes on', () => {
    const guard = guardOf(NEW);
    hear(guard, () => true);
    expect([guard.rivals, fencedBy]).toEqual([[OLD], []]);
  });

  it('a restart, with a late message of the process before, fences nobody', () => {
    for (const guard of [guardOf(OLD), guardOf(NEW)]) hear(guard, (count) => count === 0);
    expect(fencedBy).toEqual([]);
  });

  it('R21: hints of an older control plane say nothing of boots', () => {
    const guard = guardOf(OLD);
    guard.heard({});
    expect([guard.rivals, fencedBy]).toEqual([[], []]);
  });
});
