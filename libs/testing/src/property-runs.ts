/**
 * How many runs a property gets: `count`, or `countLong` with ATOLL_TEST_LONG=1; from the seed in ATOLL_SEED, or from a
 * new one, which fast-check prints when the property does not hold.
 */
export function propertyRuns(count: number, countLong: number): { readonly numRuns: number; readonly seed?: number } {
  const { ATOLL_SEED: given, ATOLL_TEST_LONG: isLong } = process.env;
  const numRuns = isLong === '1' ? countLong : count;
  if (given === undefined || given === '') return { numRuns };
  const seed = Number(given);
  if (!Number.isSafeInteger(seed)) throw new RangeError(`ATOLL_SEED is ${given}; it must be a whole number`);
  return { numRuns, seed };
}
