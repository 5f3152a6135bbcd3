import { describe, expect, it } from '@jest/globals';
import { judgePosition } from './desired.ts';
import { type ClusterDrain, type DrainMode, type DrainStage, drainStage } from './drains.ts';

const SINCE = '2026-01-01T00:00:00.000Z';
const drain = (mode: DrainMode, deadlineSeconds: number): ClusterDrain => ({
  mode,
  deadlineSeconds,
  since: SINCE,
  requestedBy: 'key:a',
});

describe('what a drain asks for', () => {
  it.each<[DrainMode, number, number, DrainStage]>([
    ['move', 600, 0, 'move'],
    ['move', 600, 599, 'move'],
    ['move', 600, 600, 'stop'],
    ['move', 0, 0, 'stop'],
    ['wait', 100, 0, 'hold'],
    ['wait', 100, 99, 'hold'],
    ['wait', 100, 100, 'move'],
    ['wait', 100, 699, 'move'],
    ['wait', 100, 700, 'stop'],
    ['stop', 0, 0, 'stop'],
    ['stop', 900, 0, 'stop'],
    // A clock that was set back: as if it had just begun.
    ['move', 600, -3_600, 'move'],
    ['wait', 100, -3_600, 'hold'],
  ])('%s with %i s, after %i s: %s', (mode, deadlineSeconds, ageSeconds, want) => {
    expect(drainStage(drain(mode, deadlineSeconds), Date.parse(SINCE) + ageSeconds * 1_000)).toBe(want);
  });

  it('nothing where there is none', () => expect(drainStage(null, 0)).toBeNull());
});

describe('R20: how a reported position stands to the stored document', () => {
  it.each([
    ['the newest', [9, 812], [9, 812], 'current'],
    ['an agent that is new', [9, 812], [0, 0], 'behind'],
    ['a lost hint', [9, 812], [9, 811], 'behind'],
    ['of an epoch before', [9, 812], [7, 640], 'behind'],
    ['the database was restored', [7, 640], [9, 812], 'ahead'],
    ['restored, and led anew', [10, 641], [9, 812], 'ahead'],
    ['restored within one epoch', [9, 640], [9, 641], 'ahead'],
    ['the same number, written by another leader', [10, 812], [9, 812], 'ahead'],
    ['a lower number of a later epoch', [8, 900], [9, 812], 'ahead'],
    ['no document yet', null, [0, 0], 'current'],
    ['no document any more', null, [9, 812], 'ahead'],
  ] as const)('%s', (_name, stored, [epoch, revision], want) => {
    const document = stored === null ? null : { epoch: stored[0], revision: stored[1] };
    expect(judgePosition(document, { epoch, revision })).toBe(want);
  });
});
