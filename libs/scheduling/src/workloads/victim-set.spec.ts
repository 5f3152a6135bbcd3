/** What a domain must lose at least, against what its cheapest victims do lose. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { propertyRuns } from '#testing';
import { cheapestSet, compareLosses, LossBound, lossOf, type VictimOption } from './victim-set.ts';

const option = (parts: Partial<VictimOption> = {}): VictimOption => ({
  ...{ devices: 2, priority: 2, overdraws: 0, borrowerRank: 0, cost: 0.1, startedAtMs: 1_000 },
  ...parts,
});

const optionArbitrary = fc.record({
  devices: fc.integer({ min: 1, max: 8 }),
  priority: fc.constantFrom(1, 2, 5),
  overdraws: fc.constantFrom<0 | 1>(0, 0, 1),
  borrowerRank: fc.constantFrom(0, 0, 1),
  cost: fc.constantFrom(0, 0.1, 0.3, 1, 60.7, 3_600),
  startedAtMs: fc.constantFrom(0, 1_000, 2_000),
});

function boundOf(options: readonly VictimOption[], need: number) {
  const bound = new LossBound();
  bound.reset();
  for (const { priority, devices, cost, startedAtMs } of options) bound.add(priority, devices, cost, startedAtMs);
  return bound.of(need);
}

describe('what a domain must lose at least', () => {
  it('is never more than its cheapest victims lose, and nothing where they free too little', () => {
    const options = fc.array(optionArbitrary, { maxLength: 8 });
    fc.assert(
      fc.property(options, fc.integer({ min: 1, max: 12 }), (candidates, need) => {
        const [bound, set] = [boundOf(candidates, need), cheapestSet(candidates, need)];
        if (bound === null || set === null) expect([bound, set]).toEqual([null, null]);
        else expect(compareLosses(bound, lossOf(set))).toBeLessThanOrEqual(0);
      }),
      propertyRuns(2_000, 20_000),
    );
  });

  it.each([
    ['one is enough', 4, 2, 1],
    ['several are needed, whose costs do not add up evenly', 4, 7, 4],
    ['the last one frees more than is needed', 3, 5, 3],
  ])('is what they lose, to the last bit, where all are alike: %s', (_name, count, need, wantVictims) => {
    const options = Array.from({ length: count }, () => option());
    const bound = boundOf(options, need);
    expect(bound).toEqual(lossOf(cheapestSet(options, need)!));
    expect(bound!.victims).toBe(wantVictims);
  });
});
