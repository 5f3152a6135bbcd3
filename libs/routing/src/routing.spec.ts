import { describe, expect, it } from '@jest/globals';
import type { RouteCluster, RouteDeployment } from '#domain';
import {
  Breaker,
  type Candidate,
  DispatchLedger,
  describeRejections,
  findCandidates,
  PICK_POLICIES,
  PICK_POLICY_NAMES,
  RetryBudget,
} from './index.ts';

const cluster = (id: string, change: Partial<RouteCluster> = {}): RouteCluster => ({
  id,
  name: `name-${id}`,
  kind: 'edge',
  region: '',
  phase: 'Ready',
  endpoint: null,
  publicKey: 'U',
  ...change,
});

type ReplicaRow = [replicaId: string, clusterId: string, ready?: boolean, versionNumber?: number];

const deployment = (...replicas: ReplicaRow[]): RouteDeployment => ({
  id: 'd',
  tenantId: 't',
  name: 'tiny',
  servedModel: 'tiny',
  versionDigest: 'v',
  createdAtSeconds: 0,
  replicas: replicas.map(([replicaId, clusterId, ready = true, versionNumber = 1]) => ({
    replicaId,
    clusterId,
    versionDigest: `v${versionNumber}`,
    versionNumber,
    ready,
  })),
});

const open = {
  clusterProblem: () => null,
  replicaProblem: () => null,
  openPaths: () => ['dialled'] as const,
  tried: new Set<string>(),
  versionNumberMin: 0,
};
const clusters = new Map([cluster('a'), cluster('b')].map((one) => [one.id, one]));

describe('candidates', () => {
  const cases: {
    name: string;
    replicas: Parameters<typeof deployment>;
    filters?: Partial<Parameters<typeof findCandidates>[2]>;
    wantReplicas: string[];
    wantReason: string;
  }[] = [
    {
      name: 'every ready replica counts',
      replicas: [
        ['1', 'a'],
        ['2', 'b'],
      ],
      wantReplicas: ['1', '2'],
      wantReason: '',
    },
    {
      name: 'a replica that is not ready does not',
      replicas: [
        ['1', 'a', false],
        ['2', 'b'],
      ],
      wantReplicas: ['2'],
      wantReason: '1 not ready',
    },
    {
      name: 'a cluster that the routes do not know',
      replicas: [['1', 'x']],
      wantReplicas: [],
      wantReason: '1 its cluster is not in the routes',
    },
    {
      name: 'a cluster with a problem names it',
      replicas: [
        ['1', 'a'],
        ['2', 'b'],
      ],
      filters: { clusterProblem: (one) => (one.id === 'a' ? 'silent' : null) },
      wantReplicas: ['2'],
      wantReason: '1 silent',
    },
    {
      name: 'no open path',
      replicas: [
        ['1', 'a'],
        ['2', 'a'],
      ],
      filters: { openPaths: () => [] },
      wantReplicas: [],
      wantReason: '2 no open path to its cluster',
    },
    {
      name: 'R15: another cluster before another replica of the cluster that failed',
      replicas: [
        ['1', 'a'],
        ['2', 'a'],
        ['3', 'b'],
      ],
      filters: { tried: new Set(['1']) },
      wantReplicas: ['3'],
      wantReason: '1 already tried',
    },
    {
      name: 'R15: the same cluster again when there is no other',
      replicas: [
        ['1', 'a'],
        ['2', 'a'],
      ],
      filters: { tried: new Set(['1']) },
      wantReplicas: ['2'],
      wantReason: '1 already tried',
    },
    {
      name: 'old and new versions side by side are all candidates',
      replicas: [
        ['1', 'a', true, 1],
        ['2', 'a', true, 2],
        ['3', 'b', true, 2],
      ],
      wantReplicas: ['1', '2', '3'],
      wantReason: '',
    },
    {
      name: 'a wanted version leaves older ones out, and takes newer ones',
      replicas: [
        ['1', 'a', true, 1],
        ['2', 'a', true, 3],
        ['3', 'b', true, 4],
        ['4', 'b', true, 0],
      ],
      filters: { versionNumberMin: 3 },
      wantReplicas: ['2', '3'],
      wantReason: '1 of a version whose number is not known, 3 is wanted, 1 version 1 is below the wanted 3',
    },
    {
      name: 'a wanted version still holds when the only one that has it was tried',
      replicas: [
        ['1', 'a', true, 1],
        ['2', 'b', true, 3],
      ],
      filters: { versionNumberMin: 3, tried: new Set(['2']) },
      wantReplicas: [],
      wantReason: '1 already tried, 1 version 1 is below the wanted 3',
    },
    {
      name: 'a new version that is not ready yet says so, not that it is too old',
      replicas: [['1', 'a', false, 3]],
      filters: { versionNumberMin: 3 },
      wantReplicas: [],
      wantReason: '1 not ready',
    },
  ];
  it.each(cases)('$name', ({ replicas, filters, wantReplicas, wantReason }) => {
    const found = findCandidates([deployment(...replicas)], clusters, { ...open, ...filters });
    expect({
      replicas: found.candidates.map((one) => one.replica.replicaId),
      reason: describeRejections(found.rejected),
    }).toEqual({
      replicas: wantReplicas,
      reason: wantReason,
    });
  });
});

describe('pick policies', () => {
  const candidates = findCandidates([deployment(['1', 'a'], ['2', 'b'])], clusters, open).candidates;
  const inputs = (load: Record<string, number>, random: () => number, service: Record<string, number> = {}) => ({
    outstanding: (id: string) => load[id] ?? 0,
    serviceMs: (id: string) => service[id] ?? null,
    roundTripMs: () => null,
    random,
  });

  /** Small linear congruential generator: the tests' only randomness, from a seed. */
  const seeded = (seed: number) => {
    let state = seed;
    return () => {
      state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
      return state / 2 ** 32;
    };
  };

  it.each(PICK_POLICY_NAMES)('%s never takes the busier of two', (name) => {
    const random = seeded(1);
    const drawn = Array.from({ length: 200 }, () => PICK_POLICIES[name].pick(candidates, inputs({ 1: 5 }, random)));
    const busier = drawn.filter((one: Candidate) => one.replica.replicaId === '1').length;
    // power-of-two draws the same replica twice in a quarter of the cases; the others never take the busier one.
    expect(busier).toBeLessThan(name === 'power-of-two' ? 80 : 1);
  });

  it.each(PICK_POLICY_NAMES)('A09: %s breaks ties uniformly (chi-square)', (name) => {
    const random = seeded(7);
    const counts = { 1: 0, 2: 0 };
    for (let draw = 0; draw < 2_000; draw += 1) {
      counts[PICK_POLICIES[name].pick(candidates, inputs({}, random)).replica.replicaId as '1' | '2'] += 1;
    }
    const chiSquare = ((counts[1] - 1_000) ** 2 + (counts[2] - 1_000) ** 2) / 1_000;
    expect(chiSquare).toBeLessThan(10.83); // one degree of freedom, p = 0.001
  });

  it('expected-finish prefers the faster replica until its queue outweighs that', () => {
    const pick = (load: Record<string, number>) =>
      PICK_POLICIES['expected-finish'].pick(
        candidates,
        inputs(load, () => 0, { 1: 10, 2: 100 }),
      ).replica.replicaId;
    expect([pick({}), pick({ 1: 5 }), pick({ 1: 50 })]).toEqual(['1', '1', '2']);
  });
});

describe('ledger', () => {
  it('counts what is in flight and smooths what finished; a failure says nothing of speed', () => {
    const ledger = new DispatchLedger();
    ledger.dispatched('1');
    ledger.dispatched('1');
    ledger.finished('1', 100, 0);
    ledger.finished('1', null, 0);
    ledger.finished('1', null, 0);
    expect([ledger.outstanding('1'), ledger.serviceMs('1', 0)]).toEqual([0, 100]);
    ledger.dispatched('1');
    ledger.finished('1', 200, 1_000);
    expect(ledger.serviceMs('1', 1_000)).toBe(120);
    ledger.retain(new Set());
    expect(ledger.serviceMs('1', 1_000)).toBeNull();
  });

  it('R8: a measurement is forgotten after 10 s, so a replica that was slow once is tried again', () => {
    const ledger = new DispatchLedger();
    ledger.dispatched('1');
    ledger.finished('1', 60_000, 0);
    expect([ledger.serviceMs('1', 10_000), ledger.serviceMs('1', 10_001)]).toEqual([60_000, null]);
    ledger.dispatched('1');
    ledger.finished('1', 100, 20_000);
    expect(ledger.serviceMs('1', 20_000)).toBe(100);
  });
});

describe('breaker', () => {
  it('R8: is down for at most two heartbeats, and a success ends it at once', () => {
    const breaker = new Breaker();
    breaker.failed('1', 0);
    expect([breaker.isDown('1', 999), breaker.isDown('1', 1_000)]).toEqual([true, false]);
    for (let failure = 0; failure < 50; failure += 1) breaker.failed('1', 1_000);
    expect([breaker.isDown('1', 2_999), breaker.isDown('1', 3_000)]).toEqual([true, false]);
    breaker.failed('1', 3_000);
    breaker.succeeded('1');
    expect(breaker.isDown('1', 3_000)).toBe(false);
  });
});

describe('two versions side by side', () => {
  const rows: ReplicaRow[] = [
    ['old', 'a', true, 1],
    ['new', 'a', true, 2],
  ];
  const inputs = (ledger: DispatchLedger) => ({
    outstanding: (id: string) => ledger.outstanding(id),
    serviceMs: (id: string) => ledger.serviceMs(id, 0),
    roundTripMs: () => null,
    random: () => 0,
  });

  it('a new replica beside a busy old one is used at once, and judged by its own speed', () => {
    const { candidates } = findCandidates([deployment(...rows)], clusters, open);
    const ledger = new DispatchLedger();
    ledger.dispatched('old');
    ledger.finished('old', 10, 0);
    ledger.dispatched('old');
    const pick = () => PICK_POLICIES['expected-finish'].pick(candidates, inputs(ledger)).replica.replicaId;
    expect(pick()).toBe('new');
    ledger.dispatched('new');
    ledger.finished('new', 100, 0);
    expect(pick()).toBe('old');
  });

  it('the new one failing takes nothing away from the old one', () => {
    const breaker = new Breaker();
    breaker.failed('new', 0);
    const replicaProblem = (id: string) => (breaker.isDown(id, 1) ? 'failing a moment ago' : null);
    const found = findCandidates([deployment(...rows)], clusters, { ...open, replicaProblem });
    expect(found.candidates.map((one) => one.replica.replicaId)).toEqual(['old']);
  });

  it('what is in flight at the old one is settled after it left the routes, and then forgotten', () => {
    const ledger = new DispatchLedger();
    ledger.dispatched('old');
    ledger.retain(new Set(['new']));
    expect(ledger.outstanding('old')).toBe(1);
    ledger.finished('old', 10, 0);
    ledger.retain(new Set(['new']));
    expect([ledger.outstanding('old'), ledger.serviceMs('old', 0)]).toEqual([0, null]);
  });
});

describe('retry budget', () => {
  it('R13: with everything failing, 1,000 requests cause at most 1.2 times as many tries and the reserve', () => {
    const budget = new RetryBudget();
    let upstreamHits = 0;
    for (let request = 0; request < 1_000; request += 1) {
      budget.requested();
      upstreamHits += budget.trySpend() ? 2 : 1;
    }
    expect(upstreamHits).toBeLessThanOrEqual(1_210);
    expect(upstreamHits).toBeGreaterThanOrEqual(1_190);
  });

  it('R15: what good times earned moves all that waited at a cluster that dies', () => {
    const budget = new RetryBudget();
    for (let request = 0; request < 10_000; request += 1) budget.requested();
    let moved = 0;
    while (budget.trySpend()) moved += 1;
    expect(moved).toBe(1_000);
  });

  it('a quiet gateway may retry', () => {
    const budget = new RetryBudget();
    budget.requested();
    expect(budget.trySpend()).toBe(true);
  });
});
