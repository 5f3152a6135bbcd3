/** Moments at which something is killed: from a seed, so that a run can be tried again, though never to the millisecond. */
import { setTimeout as delay } from 'node:timers/promises';

const ROUNDS = 8;
const ROUNDS_LONG = 100;

export interface Kills {
  readonly seed: number;
  readonly rounds: number;
  /** Waits for a random time below `msMax`, then runs it. */
  readonly soon: (msMax: number, kill: () => Promise<void>) => Promise<void>;
}

/** 8 rounds, 100 with ATOLL_TEST_LONG=1; the seed of ATOLL_SEED or a new one, which the caller prints. */
export function chosenKills(): Kills {
  const { ATOLL_SEED: given, ATOLL_TEST_LONG: isLong } = process.env;
  const seed = Number(given) || 1 + Math.floor(Math.random() * 1_000_000);
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return {
    seed,
    rounds: isLong === '1' ? ROUNDS_LONG : ROUNDS,
    soon: async (msMax, kill) => {
      await delay(random() * msMax);
      await kill();
    },
  };
}
