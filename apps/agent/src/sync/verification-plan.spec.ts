import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { dueAfter, filesOfRound, type HeldFile } from './verification-plan.ts';

const file = (path: string, sizeBytes: number, verifiedAtMs: number): HeldFile => ({
  versionDigest: 'v',
  path,
  digest: path,
  sizeBytes,
  verifiedAtMs,
});

describe('the files of a round', () => {
  const [a, b, c, empty] = [file('a', 60, 3), file('b', 60, 1), file('c', 60, 2), file('e', 0, 0)];
  it.each<[string, HeldFile[], 'full' | 'sample', number, HeldFile[]]>([
    ['full: all, the longest unverified first', [a, b, c], 'full', 1, [b, c, a]],
    ['sample: whole files until it is enough', [a, b, c], 'sample', 100, [b, c]],
    ['sample: exactly enough', [a, b, c], 'sample', 60, [b]],
    ['sample: a file beyond the measure is still hashed whole', [a], 'sample', 1, [a]],
    ['sample: an empty file is no round by itself', [a, b, empty], 'sample', 60, [empty, b]],
    ['nothing is held', [], 'sample', 100, []],
  ])('%s', (_name, files, mode, sampleBytes, want) => {
    expect(filesOfRound(files, mode, sampleBytes)).toEqual(want);
  });

  it('by sample, everything is covered within the stated number of rounds, whatever the sizes', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 2_000 }), (of, sampleBytes) => {
        let files = of.map((sizeBytes, index) => file(String(index), sizeBytes, 0));
        const total = of.reduce((sum, size) => sum + size, 0);
        for (let round = 1; round <= Math.max(1, Math.ceil(total / sampleBytes)); round += 1) {
          const taken = new Set(filesOfRound(files, 'sample', sampleBytes).map(({ path }) => path));
          files = files.map((each) => (taken.has(each.path) ? { ...each, verifiedAtMs: round } : each));
        }
        // An empty file that stands behind the last of a round has no byte to cover.
        expect(files.filter(({ verifiedAtMs, sizeBytes }) => verifiedAtMs === 0 && sizeBytes > 0)).toEqual([]);
      }),
    );
  });
});

describe('when the next round is due', () => {
  const [NOW, DAY] = [1_000_000_000, 86_400_000];
  it.each<[string, { dueAtMs: number; beganAtMs?: number }, number, number]>([
    ['as told', { dueAtMs: NOW + 5 * DAY }, DAY, NOW + DAY],
    ['later than before', { dueAtMs: NOW + DAY }, 2 * DAY, NOW + 2 * DAY],
    ['at once', { dueAtMs: NOW + DAY }, 0, NOW],
    ['an answer made just after the moment takes no round back', { dueAtMs: NOW + 40 }, DAY, NOW + 40],
    ['nor when our timer is late', { dueAtMs: NOW - 40 }, DAY, NOW - 40],
    [
      'an answer made just before the moment runs nothing twice',
      { dueAtMs: NOW + DAY, beganAtMs: NOW - 60 },
      30,
      NOW + DAY,
    ],
    ['the one after that counts again', { dueAtMs: NOW + DAY, beganAtMs: NOW - 60 }, 60_000, NOW + 60_000],
    ['an imminent one may come sooner', { dueAtMs: NOW + 5_000 }, 1_000, NOW + 1_000],
  ])('%s', (_name, { dueAtMs, beganAtMs }, toldInMs, want) => {
    expect(dueAfter({ dueAtMs, beganAtMs }, toldInMs, NOW)).toBe(want);
  });
});
