/** Which seeds a run takes: so many as it says, more with ATOLL_TEST_LONG=1, or the one in ATOLL_SEED. */
const SEEDS = 100;
const SEEDS_LONG = 500;

export function chosenSeeds(count = SEEDS, countLong = SEEDS_LONG): number[] {
  const { ATOLL_SEED: one, ATOLL_TEST_LONG: isLong } = process.env;
  if (one !== undefined && one !== '') {
    const seed = Number(one);
    if (!Number.isSafeInteger(seed)) throw new RangeError(`ATOLL_SEED is ${one}; it must be a whole number`);
    return [seed];
  }
  return Array.from({ length: isLong === '1' ? countLong : count }, (_, index) => index + 1);
}

export function replayAdvice(seed: number): string {
  return `seed ${seed}; replay it with: ATOLL_SEED=${seed} ./atoll test simulation`;
}
