import { describe, expect, it } from '@jest/globals';
import type { ClusterPhase } from './clusters.ts';
import { isMassUnknown, judgedPhase, judgeSilence, type Life, LivenessTracker } from './liveness.ts';

/** Ticks each second from `fromMs` to `toMs`, as an observer that is awake does. */
function awake(tracker: LivenessTracker, fromMs: number, toMs: number, hears?: string): void {
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 1_000) {
    tracker.tick(nowMs);
    if (hears !== undefined) tracker.seen(hears, nowMs);
  }
}

describe('judgeSilence: noticed fast, acted on slowly (R6)', () => {
  it.each<[number, Life]>([
    [0, 'Alive'],
    [3_000, 'Alive'],
    [3_001, 'Suspect'],
    [39_999, 'Suspect'],
    [40_000, 'Unknown'],
  ])('%i ms of silence: %s', (silenceMs, want) => {
    expect(judgeSilence(silenceMs)).toBe(want);
  });
});

describe('LivenessTracker', () => {
  it('R6: a cluster that falls silent is Suspect after 3 s and Unknown at 40 s', () => {
    const tracker = new LivenessTracker(0);
    awake(tracker, 0, 10_000, 'a');
    awake(tracker, 11_000, 60_000);
    expect([13_000, 13_001, 49_999, 50_000].map((nowMs) => tracker.judge('a', nowMs))).toEqual([
      'Alive',
      'Suspect',
      'Suspect',
      'Unknown',
    ]);
  });

  it('R6: an observer paused for 5 minutes calls nobody silent before a fresh lease window', () => {
    const tracker = new LivenessTracker(0);
    awake(tracker, 0, 10_000, 'a');
    tracker.tick(310_000);
    expect(tracker.judge('a', 310_000)).toBe('Alive');
    awake(tracker, 311_000, 360_000);
    expect([313_000, 313_001, 349_999, 350_000].map((nowMs) => tracker.judge('a', nowMs))).toEqual([
      'Alive',
      'Suspect',
      'Suspect',
      'Unknown',
    ]);
  });

  it('R6: a tick that is late by less than the gap is no pause', () => {
    const tracker = new LivenessTracker(0);
    tracker.seen('a', 0);
    for (let nowMs = 0; nowMs <= 40_000; nowMs += 2_500) tracker.tick(nowMs);
    expect(tracker.judge('a', 40_000)).toBe('Unknown');
  });

  it('R6: what was missed while blind counts against nobody', () => {
    const tracker = new LivenessTracker(0);
    awake(tracker, 0, 10_000, 'a');
    for (let nowMs = 11_000; nowMs <= 100_000; nowMs += 1_000) {
      tracker.tick(nowMs);
      tracker.blind(nowMs);
    }
    expect([tracker.judge('a', 103_000), tracker.judge('a', 103_001)]).toEqual(['Alive', 'Suspect']);
  });

  it('blindness never turns the watch back', () => {
    const tracker = new LivenessTracker(0);
    tracker.blind(50_000);
    tracker.blind(10_000);
    expect(tracker.silenceMs('a', 51_000)).toBe(1_000);
  });

  it('R8: one heartbeat ends any silence', () => {
    const tracker = new LivenessTracker(0);
    awake(tracker, 0, 100_000);
    tracker.seen('a', 100_000);
    expect([tracker.judge('a', 100_500), tracker.seenSinceWatching('a')]).toEqual(['Alive', true]);
  });

  it('one cluster’s silence is its own; a forgotten one is as never seen', () => {
    const tracker = new LivenessTracker(0);
    awake(tracker, 0, 50_000, 'a');
    expect([tracker.judge('a', 50_000), tracker.judge('b', 50_000)]).toEqual(['Alive', 'Unknown']);
    tracker.forget('a');
    expect([tracker.judge('a', 50_000), tracker.seenSinceWatching('a')]).toEqual(['Unknown', false]);
  });

  it('an observer that has just begun has seen nobody', () => {
    const tracker = new LivenessTracker(0);
    tracker.seen('a', 100);
    tracker.blind(200);
    expect([tracker.judge('a', 300), tracker.seenSinceWatching('a')]).toEqual(['Alive', false]);
  });
});

describe('judgedPhase', () => {
  it.each<[ClusterPhase, Life, boolean, ClusterPhase | null]>([
    ['Ready', 'Alive', true, null],
    ['Ready', 'Suspect', true, 'Suspect'],
    ['Ready', 'Unknown', true, 'Unknown'],
    ['Suspect', 'Alive', true, 'Ready'],
    ['Suspect', 'Alive', false, null],
    ['Suspect', 'Suspect', true, null],
    ['Suspect', 'Unknown', false, 'Unknown'],
    ['Unknown', 'Alive', true, 'Ready'],
    ['Unknown', 'Alive', false, null],
    ['Unknown', 'Suspect', true, null],
    ['PendingApproval', 'Unknown', false, null],
    ['Draining', 'Unknown', false, 'Unknown'],
    ['Draining', 'Alive', false, 'Ready'],
    ['Left', 'Alive', true, null],
  ])('%s, judged %s, seen since watching %s: %s', (phase, life, seen, want) => {
    expect(judgedPhase(phase, life, seen)).toBe(want);
  });
});

describe('judgedPhase of a cluster that is being drained', () => {
  it.each<[ClusterPhase, Life, boolean, ClusterPhase | null]>([
    ['Ready', 'Alive', false, 'Draining'],
    ['Draining', 'Alive', false, null],
    ['Draining', 'Suspect', true, 'Suspect'],
    ['Draining', 'Unknown', true, 'Unknown'],
    ['Suspect', 'Alive', true, 'Draining'],
    ['Unknown', 'Alive', true, 'Draining'],
    ['Unknown', 'Alive', false, null],
    ['Unknown', 'Suspect', true, null],
    ['PendingApproval', 'Alive', true, null],
    ['Left', 'Alive', true, null],
  ])('%s, judged %s, seen since watching %s: %s', (phase, life, seen, want) => {
    expect(judgedPhase(phase, life, seen, true)).toBe(want);
  });
});

describe('isMassUnknown: the fault is taken to be ours (invariant 7, X05)', () => {
  const phases = (unknown: number, ready: number, rest: ClusterPhase[] = []): ClusterPhase[] => [
    ...Array<ClusterPhase>(unknown).fill('Unknown'),
    ...Array<ClusterPhase>(ready).fill('Ready'),
    ...rest,
  ];
  it.each<[string, ClusterPhase[], boolean]>([
    ['nobody', [], false],
    ['one cluster only: its loss is a loss', phases(1, 0), false],
    ['half', phases(5, 5), false],
    ['54 %', phases(54, 46), false],
    ['55 %', phases(55, 45), true],
    ['all of two', phases(2, 0), true],
    ['Suspect ones are not Unknown yet', phases(5, 1, ['Suspect', 'Suspect', 'Suspect', 'Suspect']), false],
    ['those that never were members do not dilute', phases(2, 1, ['PendingApproval', 'Left', 'Left']), true],
    ['draining ones are members', phases(1, 0, ['Draining']), false],
  ])('%s', (_case, given, want) => {
    expect(isMassUnknown(given)).toBe(want);
  });
});
