/** The whole fleet on production code, a seed a run: safety at every step, liveness once the faults stop. */
import { describe, expect, it } from '@jest/globals';
import { PRODUCTION, type Rules, simulate } from './fleet.ts';
import { chosenSeeds, replayAdvice } from './seeds.ts';

const SECONDS_A_SEED_MAX = 5;
const CLOCKS_APART_MS = 600_000;
const seeds = chosenSeeds();
const timeoutMs = seeds.length * SECONDS_A_SEED_MAX * 1_000;

async function holds(rules: Rules): Promise<void> {
  for (const seed of seeds) {
    const { violation, history } = await simulate(seed, rules);
    if (violation !== null) throw new Error(`${violation}\n${replayAdvice(seed)}\n\n${history.join('\n')}`);
  }
}

describe(`R19: the fleet, simulated on ${seeds.length} seeds`, () => {
  it(
    'R1 R2 R5 R6 R7 R8 R11 and invariants 1, 2, 4, 5, 7, 11',
    async () => {
      await holds(PRODUCTION);
    },
    timeoutMs,
  );

  it(
    'R22: the same with every wall clock wrong by up to 10 minutes, and jumping',
    async () => {
      await holds({ ...PRODUCTION, clockSkewMsMax: CLOCKS_APART_MS });
    },
    timeoutMs,
  );

  it('a seed replays: the same history, event for event', async () => {
    for (const seed of [3, 7, 19]) {
      const [first, second] = [await simulate(seed), await simulate(seed)];
      expect(second).toEqual(first);
    }
  }, 60_000);
});
