import { describe, expect, it } from '@jest/globals';
import { DEFAULT_ROUTING_POLICY, REPLICA_PICKS } from '#domain';
import { type ChoiceOptions, chooseReplica, inverseLoadShares, smoothedLoad } from './choose.ts';
import type { AffinityReplica, AffinityRequest } from './replicas.ts';

/** Linear congruential generator: the only randomness here, from a seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

const replica = (id: string, rest: Partial<AffinityReplica> = {}): AffinityReplica => ({
  id,
  isCordoned: false,
  labels: {},
  isLoaded: true,
  coldStartMs: 5_000,
  freeMemoryBytes: 40e9,
  memoryBytes: 80e9,
  holds: new Set(),
  cachedTokens: 0,
  prefillMsPerToken: 0.1,
  queuedMs: 0,
  outstanding: 0,
  recentMs: 0,
  latencyMs: 100,
  load: 0,
  ...rest,
});

const request = (rest: Partial<AffinityRequest> = {}): AffinityRequest => ({
  promptTokens: 1_000,
  sessionReplicaId: null,
  memoryBytes: 0,
  needs: [],
  requiredLabels: {},
  preferredLabels: {},
  ...rest,
});

const options = (rest: Partial<ChoiceOptions> = {}): ChoiceOptions => ({
  ...DEFAULT_ROUTING_POLICY,
  random: () => 0.5,
  ...rest,
});

function choose(replicas: AffinityReplica[], wanted: AffinityRequest, rest: Partial<ChoiceOptions> = {}): string {
  const choice = chooseReplica(replicas, wanted, options(rest));
  return 'replica' in choice ? `${choice.replica.id} by ${choice.by}` : [...choice.rejected.keys()].join(', ');
}

const PREDICTED = 'predicted-first-token';
const adapter = (fetchMs: number) => ({ needs: [{ name: 'adapter-1', fetchMs }] });

describe('which replica takes a request', () => {
  const cases: { name: string; replicas: AffinityReplica[]; request?: AffinityRequest; want: string }[] = [
    {
      name: 'A01 a session sticks',
      replicas: [replica('a'), replica('b', { queuedMs: 50 })],
      request: request({ sessionReplicaId: 'b' }),
      want: 'b by session',
    },
    {
      name: 'A01 while its replica may take anything',
      replicas: [replica('a'), replica('b', { isCordoned: true })],
      request: request({ sessionReplicaId: 'b' }),
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A01 and does not wait for ever',
      replicas: [replica('a'), replica('b', { queuedMs: 3_000 })],
      request: request({ sessionReplicaId: 'b' }),
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A02 a prefix of 80 % sticks',
      replicas: [replica('a'), replica('b', { queuedMs: 150, cachedTokens: 800 })],
      want: 'b by prefix',
    },
    {
      name: 'A02 one of less is a reason like any other',
      replicas: [replica('a'), replica('b', { queuedMs: 90, cachedTokens: 790 })],
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A02 spills when another is sooner by the bound',
      replicas: [replica('a'), replica('b', { queuedMs: 400, cachedTokens: 900 })],
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A04 loaded beats cold',
      replicas: [replica('cold', { isLoaded: false }), replica('busy', { queuedMs: 4_900 })],
      want: `busy by ${PREDICTED}`,
    },
    {
      name: 'A04 unless the queue costs more than the cold start',
      replicas: [replica('cold', { isLoaded: false }), replica('busy', { queuedMs: 5_100 })],
      want: `cold by ${PREDICTED}`,
    },
    {
      name: 'A05 an adapter that is held here',
      replicas: [replica('a'), replica('b', { holds: new Set(['adapter-1']), queuedMs: 400 })],
      request: request(adapter(500)),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A05 within what fetching it costs',
      replicas: [replica('a'), replica('b', { holds: new Set(['adapter-1']), queuedMs: 600 })],
      request: request(adapter(500)),
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A08 a cordoned one takes nothing new',
      replicas: [replica('a', { isCordoned: true }), replica('b', { queuedMs: 9_000 })],
      want: `b by ${PREDICTED}`,
    },
    { name: 'A08 nor when it is the only one', replicas: [replica('a', { isCordoned: true })], want: 'cordoned' },
    {
      name: 'A10 memory first, whatever else speaks for it',
      replicas: [replica('a', { freeMemoryBytes: 1, cachedTokens: 1_000 }), replica('b', { queuedMs: 9_000 })],
      request: request({ memoryBytes: 2, sessionReplicaId: 'a' }),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A10 and says what is missing',
      replicas: [replica('a', { freeMemoryBytes: 1 })],
      request: request({ memoryBytes: 2 }),
      want: 'has 1 bytes free, 2 are needed',
    },
    {
      name: 'A12 required labels filter',
      replicas: [replica('a'), replica('b', { labels: { tier: 'gold' }, queuedMs: 9_000 })],
      request: request({ requiredLabels: { tier: 'gold' } }),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A12 preferred labels score',
      replicas: [replica('a'), replica('b', { labels: { tier: 'gold' }, queuedMs: 90 })],
      request: request({ preferredLabels: { tier: 'gold' } }),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A12 and refuse nobody',
      replicas: [replica('a')],
      request: request({ preferredLabels: { tier: 'gold' } }),
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A11 nothing measured, nothing loaded, no prompt',
      replicas: [replica('a', { latencyMs: null })],
      request: request({ promptTokens: 0 }),
      want: `a by ${PREDICTED}`,
    },
  ];
  it.each(cases)('$name', ({ replicas, request: wanted = request(), want }) => {
    expect(choose(replicas, wanted)).toBe(want);
  });

  it.each(REPLICA_PICKS)('A09 %s: ties are uniform (chi-square)', (pick) => {
    const random = seeded(11);
    const counts: Record<string, number> = { a: 0, b: 0, c: 0, d: 0 };
    const replicas = Object.keys(counts).map((id) => replica(id));
    for (let draw = 0; draw < 4_000; draw += 1) {
      const choice = chooseReplica(replicas, request(), options({ pick, random }));
      if ('replica' in choice) counts[choice.replica.id]! += 1;
    }
    const chiSquare = Object.values(counts).reduce((sum, count) => sum + (count - 1_000) ** 2 / 1_000, 0);
    expect(chiSquare).toBeLessThan(16.27); // three degrees of freedom, p = 0.001
  });

  it('A07 one that was never measured gets a hundredth of the requests', () => {
    const random = seeded(3);
    const replicas = [replica('known'), replica('new', { latencyMs: null, queuedMs: 10_000 })];
    let explored = 0;
    for (let draw = 0; draw < 20_000; draw += 1) {
      const choice = chooseReplica(replicas, request(), options({ random }));
      if ('replica' in choice && choice.by === 'exploration') explored += 1;
    }
    expect(explored / 20_000).toBeGreaterThan(0.007);
    expect(explored / 20_000).toBeLessThan(0.013);
  });
});

/** Requests that arrive one after the other at replicas that work one after the other; the router's ledger is exact. */
function simulate(count: number, replicas: number, sharedTokens: number): { requests: number[]; workMs: number[] } {
  const random = seeded(5);
  const state = Array.from({ length: replicas }, () => ({ busyUntilMs: 0, cached: 0 }));
  const requests = state.map(() => 0);
  const workMs = state.map(() => 0);
  let nowMs = 0;
  for (let index = 0; index < count; index += 1) {
    nowMs += (random() * 2 * 100) / replicas; // about 90 % of what the replicas can do
    const here = state.map(({ busyUntilMs, cached }, place) => {
      const queuedMs = Math.max(0, busyUntilMs - nowMs);
      return replica(String(place), { queuedMs, cachedTokens: cached, prefillMsPerToken: 0.09 });
    });
    const choice = chooseReplica(here, request(), options({ random }));
    if (!('replica' in choice)) throw new Error('nobody took it');
    const chosen = state[Number(choice.replica.id)]!;
    const costMs = 0.09 * (1_000 - chosen.cached);
    chosen.busyUntilMs = Math.max(nowMs, chosen.busyUntilMs) + costMs;
    chosen.cached = sharedTokens;
    requests[Number(choice.replica.id)]! += 1;
    workMs[Number(choice.replica.id)]! += costMs;
  }
  return { requests, workMs };
}

const imbalance = (loads: number[]) => Math.max(...loads) / (loads.reduce((sum, load) => sum + load, 0) / loads.length);

describe('a whole cluster', () => {
  it('A03 a first block that everybody shares piles up nowhere', () => {
    expect(imbalance(simulate(4_000, 8, 512).workMs)).toBeLessThan(1.25);
  });

  it('A06 by the own ledger the work is even to a tenth, however old the metrics are', () => {
    expect(imbalance(simulate(4_000, 8, 0).workMs)).toBeLessThanOrEqual(1.1);
  });
});

describe('the reference formulas', () => {
  it.each<[number[], number[]]>([
    [
      [0, 0],
      [0.5, 0.5],
    ],
    [
      [1, 1, 2],
      [0.4, 0.4, 0.2],
    ],
    [[1], [1]],
  ])('A11 inverse loads of %j are %j', (loads, want) => {
    const shares = inverseLoadShares(loads);
    for (const [index, share] of shares.entries()) expect(share).toBeCloseTo(want[index]!, 9);
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
  });

  it('A11 one idle replica among busy ones takes nearly all, and nothing is not a number', () => {
    const shares = inverseLoadShares([0, 1e9, 1e-12]);
    expect(shares.every((share) => Number.isFinite(share) && share >= 0)).toBe(true);
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
  });

  it('the smoothed load follows the newest by α', () => {
    expect(smoothedLoad(10, 20)).toBeCloseTo(18);
    expect(smoothedLoad(10, 20, 0.7)).toBeCloseTo(17);
  });

  it('least-cost herds: with equal loads everything goes to whoever last looked fast', () => {
    const replicas = [replica('a', { latencyMs: 99, outstanding: 500, queuedMs: 60_000 }), replica('b')];
    expect(choose(replicas, request(), { pick: 'least-cost' })).toBe('a by least-cost');
    expect(choose(replicas, request())).toBe(`b by ${PREDICTED}`);
  });
});
