import { describe, expect, it } from '@jest/globals';
import { BootWatch, isFenced, isReturn } from './rivals.ts';

const OLD = '01900000-0000-7000-8000-000000000001';
const NEW = '01900000-0000-7000-8000-000000000002';

/** Seconds, boot and sequence of reports, in the order in which they came. */
type Told = readonly [number, string, number];

function rivalsAfter(told: readonly Told[], of: string, atSeconds: number): string[] {
  const watch = new BootWatch();
  for (const [seconds, bootId, sequence] of told) watch.heard(bootId, sequence, seconds * 1_000);
  return watch.rivalsOf(of, atSeconds * 1_000);
}

const reports = (bootId: string, from: number, to: number, everySeconds = 5): Told[] =>
  Array.from({ length: Math.floor((to - from) / everySeconds) + 1 }, (_, index) => [
    from + index * everySeconds,
    bootId,
    index + 1,
  ]);
const inOrder = (...told: readonly Told[]) => [...told].sort(([left], [right]) => left - right);

describe('two agents with one identity', () => {
  it.each<[string, readonly Told[], number, string[]]>([
    ['one alone', reports(NEW, 0, 60), 60, []],
    ['both, side by side', inOrder(...reports(OLD, 0, 60), ...reports(NEW, 30, 60)), 60, [OLD]],
    ['too short a while to be certain', inOrder(...reports(OLD, 0, 35), ...reports(NEW, 30, 35)), 35, []],
    ['a restart', inOrder(...reports(OLD, 0, 30), ...reports(NEW, 31, 90)), 90, []],
    ['a restart, at once', inOrder(...reports(OLD, 0, 30), ...reports(NEW, 31, 45)), 45, []],
    [
      'a restart, and late messages',
      inOrder(...reports(OLD, 0, 30), ...reports(NEW, 31, 45), [33, OLD, 8], [34, OLD, 9]),
      45,
      [],
    ],
    [
      'a restart, and an old message again and again',
      inOrder(...reports(OLD, 0, 30), ...reports(NEW, 31, 90), ...[40, 50, 60].map((at): Told => [at, OLD, 7])),
      90,
      [],
    ],
    ['one that is gone since', inOrder(...reports(OLD, 0, 60), ...reports(NEW, 30, 100)), 100, []],
    [
      'one that was paused and goes on',
      inOrder(...reports(OLD, 0, 30), ...reports(NEW, 31, 90), [80, OLD, 8], [85, OLD, 9], [90, OLD, 10]),
      90,
      [OLD],
    ],
  ])('%s', (_name, told, at, want) => expect(rivalsAfter(told, NEW, at)).toEqual(want));

  it('the older goes, whoever looks', () => {
    const told = inOrder(...reports(OLD, 0, 60), ...reports(NEW, 30, 60));
    expect([isFenced(OLD, rivalsAfter(told, OLD, 60)), isFenced(NEW, rivalsAfter(told, NEW, 60))]).toEqual([
      true,
      false,
    ]);
  });

  it('R22: a restart by a clock that was set back is not fenced', () => {
    const told = inOrder(...reports(NEW, 0, 30), ...reports(OLD, 31, 90), [32, NEW, 8]);
    expect(isFenced(OLD, rivalsAfter(told, OLD, 90))).toBe(false);
  });

  it.each([
    { name: 'the first report', before: null, want: false },
    { name: 'the next of the same boot', before: { bootId: NEW, replacedBoots: [] }, want: false },
    { name: 'the first of a new boot', before: { bootId: OLD, replacedBoots: [] }, want: false },
    { name: 'one of a boot that was replaced', before: { bootId: OLD, replacedBoots: [`${NEW}/7`] }, want: true },
  ])('$name is a return: $want', ({ before, want }) => expect(isReturn(before, NEW)).toBe(want));

  it('the memory is bounded', () => {
    const watch = new BootWatch();
    for (let index = 0; index < 1_000; index += 1) watch.heard(`boot-${index}`, 1, index);
    expect(watch.rivalsOf('boot-999', 1_000)).toEqual([]);
  });
});
