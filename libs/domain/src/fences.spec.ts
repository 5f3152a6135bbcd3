/** Who may be believed: the agent's fence for documents, the centre's fence for reports. */
import { describe, expect, it } from '@jest/globals';
import { judgeDesired } from './desired.ts';
import { judgeReport, REPLACED_BOOTS_MAX, replacedBootsAfter } from './reports.ts';

describe('judgeDesired: an agent never goes back (invariant 4)', () => {
  const held = { clusterId: 'a', epoch: 5, revision: 40 };
  it.each([
    ['a later revision of the same epoch', { epoch: 5, revision: 41 }, 'accepted'],
    ['a much later revision, for hints may be lost', { epoch: 5, revision: 99 }, 'accepted'],
    ['the same document again', { epoch: 5, revision: 40 }, 'same'],
    ['a lower revision of the same epoch', { epoch: 5, revision: 39 }, 'older-revision'],
    ['an older epoch', { epoch: 4, revision: 40 }, 'older-epoch'],
    ['an older epoch, whatever its revision', { epoch: 4, revision: 1_000 }, 'older-epoch'],
    ['a newer epoch', { epoch: 6, revision: 41 }, 'accepted'],
    ['R20 a newer epoch with a lower revision: the epoch counts', { epoch: 6, revision: 1 }, 'accepted'],
    ['another cluster’s document', { clusterId: 'b', epoch: 6, revision: 41 }, 'foreign'],
  ] as const)('%s', (_case, incoming, want) => {
    expect(judgeDesired(held, { ...held, ...incoming })).toBe(want);
  });

  it('an agent without any document takes the empty one', () => {
    const none = { clusterId: 'a', epoch: 0, revision: -1 };
    expect(judgeDesired(none, { clusterId: 'a', epoch: 0, revision: 0 })).toBe('accepted');
  });
});

describe('judgeReport: late messages of dead processes change nothing (invariant 1)', () => {
  const known = { bootId: 'boot-2', sequence: 10, epoch: 5, replacedBoots: ['boot-1', 'boot-0'] };
  it.each([
    ['the next one', { sequence: 11 }, 'accepted'],
    ['one after some that were lost', { sequence: 30 }, 'accepted'],
    ['the same one again', { sequence: 10 }, 'repeated'],
    ['one that was overtaken', { sequence: 9 }, 'stale'],
    ['a new boot begins at one', { bootId: 'boot-3', sequence: 1 }, 'accepted'],
    ['a replaced boot', { bootId: 'boot-1', sequence: 99 }, 'stale'],
    ['a boot replaced long ago', { bootId: 'boot-0', sequence: 99 }, 'stale'],
    ['an agent that has applied a newer epoch', { sequence: 11, epoch: 6 }, 'accepted'],
    ['an older epoch', { sequence: 11, epoch: 4 }, 'older-epoch'],
    ['another cluster’s report on this subject (S2)', { clusterId: 'b', sequence: 11 }, 'foreign'],
  ] as const)('%s', (_case, incoming, want) => {
    const present = { clusterId: 'a', bootId: 'boot-2', epoch: 5 };
    expect(judgeReport('a', known, { ...present, ...incoming })).toBe(want);
  });

  it('the first report of a cluster is taken, but not from a foreign subject', () => {
    const first = { clusterId: 'a', bootId: 'boot-1', sequence: 1, epoch: 0 };
    expect([judgeReport('a', null, first), judgeReport('b', null, first)]).toEqual(['accepted', 'foreign']);
  });

  it('R8: a late message of a dead boot does not shut out the living one', () => {
    const living = (sequence: number) => ({ clusterId: 'a', bootId: 'living', sequence, epoch: 5 });
    const dead = (sequence: number) => ({ clusterId: 'a', bootId: 'dead', sequence, epoch: 5 });
    const taking = (report: ReturnType<typeof living>, before: Parameters<typeof replacedBootsAfter>[0]) => ({
      ...report,
      replacedBoots: replacedBootsAfter(before, report.bootId),
    });
    const first = taking(living(3), null);
    expect(judgeReport('a', first, dead(9))).toBe('accepted'); // it was never heard of: it could be a new one
    const misled = taking(dead(9), first);
    expect([3, 4].map((sequence) => judgeReport('a', misled, living(sequence)))).toEqual(['stale', 'accepted']);
    const healed = taking(living(4), misled);
    expect(healed.replacedBoots).toEqual(['dead/9']);
    expect([8, 9].map((sequence) => judgeReport('a', healed, dead(sequence)))).toEqual(['stale', 'stale']);
  });

  it('remembers a bounded number of boots', () => {
    let known: Parameters<typeof replacedBootsAfter>[0] = null;
    for (let boot = 1; boot <= 20; boot += 1) {
      known = { bootId: `b${boot}`, sequence: 1, replacedBoots: replacedBootsAfter(known, `b${boot}`) };
    }
    expect([known?.replacedBoots.length, known?.replacedBoots[0]]).toEqual([REPLACED_BOOTS_MAX, 'b19/1']);
  });
});
