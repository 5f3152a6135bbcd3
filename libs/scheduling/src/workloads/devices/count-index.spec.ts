/** The index against a plain list, at sizes at which its words and summaries matter. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Bitset } from './bitset.ts';
import { CountIndex } from './count-index.ts';

const SIZES = [1, 31, 32, 33, 1_023, 1_024, 1_025, 5_000, 70_000];
const sizeArbitrary = fc.constantFrom(...SIZES);
const numbers = (size: number) => fc.nat(size - 1);

const bitsetArbitrary = sizeArbitrary.chain((size) =>
  fc.record({
    size: fc.constant(size),
    added: fc.array(numbers(size), { maxLength: 40 }),
    removed: fc.array(numbers(size), { maxLength: 40 }),
    asked: fc.array(numbers(size), { minLength: 1, maxLength: 20 }),
  }),
);

describe('a set of numbers', () => {
  it('finds the next and the previous member', () => {
    fc.assert(
      fc.property(bitsetArbitrary, ({ size, added, removed, asked }) => {
        const bits = new Bitset(size);
        for (const member of added) bits.add(member);
        const gone = [...removed, ...added.slice(0, 5)];
        for (const member of gone) bits.remove(member);
        const members = added.filter((member) => !gone.includes(member));
        for (const from of [...asked, ...added]) {
          const next = Math.min(...members.filter((member) => member >= from));
          const previous = Math.max(...members.filter((member) => member <= from));
          expect([bits.next(from), bits.previous(from)]).toEqual([
            Number.isFinite(next) ? next : -1,
            Number.isFinite(previous) ? previous : -1,
          ]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('has nothing past its end', () => {
    for (const size of SIZES) expect(new Bitset(size).next(size)).toBe(-1);
  });
});

const COUNT_MAX = 12;
const indexArbitrary = fc.constantFrom(3, 40, 2_100).chain((size) =>
  fc.record({
    size: fc.constant(size),
    changes: fc.array(fc.tuple(numbers(size), fc.nat(COUNT_MAX)), { maxLength: 60 }),
    range: fc
      .tuple(numbers(size), numbers(size))
      .map(([left, right]) => [Math.min(left, right), Math.max(left, right) + 1]),
    count: fc.integer({ min: 1, max: COUNT_MAX + 2 }),
  }),
);

describe('domains by count', () => {
  it('finds the tightest that is enough, and goes from the most to the least, the first of equal ones first', () => {
    fc.assert(
      fc.property(indexArbitrary, ({ size, changes, range, count }) => {
        const index = new CountIndex(size, COUNT_MAX);
        const counts = new Array<number>(size).fill(0);
        for (const [domain, to] of changes) {
          index.set(domain, to);
          counts[domain] = to;
        }
        const [from, end] = range as [number, number];
        const inRange = counts
          .map((has, domain) => ({ has, domain }))
          .filter(({ has, domain }) => has > 0 && domain >= from && domain < end);
        const enough = inRange.filter(({ has }) => has >= count).sort((left, right) => left.has - right.has);
        expect(index.tightest(count, from, end)).toBe(enough[0]?.domain ?? -1);
        const falling = inRange.toSorted((left, right) => right.has - left.has).map(({ domain }) => domain);
        expect(walk(index, from, end)).toEqual(falling);
      }),
      { numRuns: 500 },
    );
  });
});

function walk(index: CountIndex, from: number, end: number): number[] {
  const walked: number[] = [];
  for (let domain = index.largest(from, end); domain !== -1; domain = index.following(domain, from, end)) {
    walked.push(domain);
  }
  return walked;
}
