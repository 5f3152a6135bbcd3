/** Jobs in the whole fleet on production code, a seed a run: safety at every step, liveness once the faults stop. */
import { describe, expect, it } from '@jest/globals';
import { type Rules, simulate, WITH_JOBS } from './fleet.ts';
import { chosenSeeds, replayAdvice } from './seeds.ts';

const SECONDS_A_SEED_MAX = 10;
const CLOCKS_APART_MS = 600_000;
const seeds = chosenSeeds(25, 300);
const seedsApart = chosenSeeds(10, 100);

/** @returns what was reached on all of them together */
async function holds(rules: Rules, on: readonly number[]): Promise<Set<string>> {
  const reached = new Set<string>();
  for (const seed of on) {
    const { violation, history, seen } = await simulate(seed, rules);
    if (violation !== null) throw new Error(`${violation}\n${replayAdvice(seed)}\n\n${history.join('\n')}`);
    for (const what of seen.keys()) reached.add(what);
  }
  return reached;
}

/** Without these the checks would have had nothing to look at. */
const REACHED = [
  ...[
    'gang',
    'resumed',
    'preempted',
    'reclaimed',
    'told',
    'killed',
    'silence: ask',
    'silence: tell',
    'silence: kill',
    'given up',
  ],
  ...['succeeded', 'failed', 'preempted', 'suspended', 'cancelled', 'lost'].map((outcome) => `attempt ${outcome}`),
];

const DEADLINES = ['start deadline kept', 'start deadline over'];

describe(`R19: jobs, simulated on ${seeds.length} seeds`, () => {
  it(
    'invariants 1, 2, 3, 4, 7, 11: no device twice, no attempt twice, no preemption upwards, nothing lost, all ends',
    async () => {
      const reached = await holds(WITH_JOBS, seeds);
      if (seeds.length > 1) expect([...reached]).toEqual(expect.arrayContaining(REACHED));
    },
    seeds.length * SECONDS_A_SEED_MAX * 1_000,
  );

  it(
    'R22: the same with every wall clock wrong by up to 10 minutes, and jumping',
    async () => {
      const reached = await holds({ ...WITH_JOBS, clockSkewMsMax: CLOCKS_APART_MS }, seedsApart);
      if (seedsApart.length > 1) expect([...reached]).toEqual(expect.arrayContaining(DEADLINES));
    },
    seedsApart.length * SECONDS_A_SEED_MAX * 1_000,
  );

  it('a seed replays: the same history, event for event', async () => {
    for (const seed of [2, 7, 15]) {
      const [first, second] = [await simulate(seed, WITH_JOBS), await simulate(seed, WITH_JOBS)];
      expect(second).toEqual(first);
    }
  }, 120_000);
});
