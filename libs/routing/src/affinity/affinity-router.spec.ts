import { describe, expect, it } from '@jest/globals';
import { DEFAULT_ROUTING_POLICY, REPLICA_PICKS, type RoutingPolicy } from '#domain';
import type { Ticket } from './affinity-ledger.ts';
import { AffinityRouter, PLAIN_REQUEST, type RoutedRequest } from './affinity-router.ts';
import type { ReplicaFacts } from './replicas.ts';

const facts = (id: string, rest: Partial<ReplicaFacts> = {}): ReplicaFacts => ({
  id,
  isCordoned: false,
  labels: {},
  isLoaded: true,
  coldStartMs: 5_000,
  freeMemoryBytes: 40e9,
  memoryBytes: 80e9,
  holds: new Set(),
  ...rest,
});

/** 1,000 tokens in four blocks, of which nobody has any. */
const request = (rest: Partial<RoutedRequest> = {}): RoutedRequest => {
  return { ...PLAIN_REQUEST, promptTokens: 1_000, blocks: [1, 2, 3, 4], blockTokens: 250, ...rest };
};

/** Linear congruential generator: the only randomness here, from a seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

const PREDICTED = 'predicted-first-token';
const prompt = (...blocks: number[]) => request({ blocks });
const needing = (fetchMs: number | null) => request({ needs: [{ name: 'adapter-1', fetchMs }] });

/** What was sent where before, at 0 ms; `done` ones have been answered at 100 ms. */
interface Past {
  readonly to: string;
  readonly sent?: RoutedRequest;
  readonly isDone?: boolean;
  /** From the first token to the end. Default 0. */
  readonly answerMs?: number;
}

interface Case {
  readonly name: string;
  readonly replicas?: readonly ReplicaFacts[];
  readonly past?: readonly Past[];
  readonly request?: RoutedRequest;
  readonly policy?: Partial<RoutingPolicy>;
  /** Default 0.5, always. */
  readonly draws?: readonly number[];
  readonly want: string;
}

const done = (to: string, sent = request()): Past => ({ to, sent, isDone: true });
/** So many milliseconds of work, at 0.1 ms a token; a prompt that nobody sends again. */
const busy = (to: string, ms: number): Past => ({ to, sent: request({ promptTokens: 10 * ms, blocks: [] }) });

/** Replicas a and b, at 100 ms. */
function choose({
  replicas = [facts('a'), facts('b')],
  past = [],
  request: wanted = request(),
  policy,
  draws = [],
}: Case): string {
  const router = new AffinityRouter();
  for (const { to, sent = request(), isDone = false, answerMs = 0 } of past) {
    const ticket = router.dispatched(replicas.find(({ id }) => id === to)!, sent, 0);
    if (!isDone) continue;
    router.firstToken(ticket, 100 - answerMs);
    router.finished(ticket, 'answered', 100);
  }
  const left = [...draws];
  const random = () => left.shift() ?? 0.5;
  const choice = router.choose(replicas, wanted, { ...DEFAULT_ROUTING_POLICY, ...policy }, 100, random);
  return 'replica' in choice ? `${choice.replica.id} by ${choice.by}` : [...choice.rejected.keys()].join(', ');
}

describe('the router', () => {
  const cases: Case[] = [
    {
      name: 'A01 a session goes on where it was, though nothing of it is cached there',
      past: [done('b', request({ sessionId: 's', blocks: [9] })), done('a')],
      request: request({ sessionId: 's', blocks: [7] }),
      want: 'b by session',
    },
    {
      name: 'A01 not at a replica that takes nothing new',
      replicas: [facts('a'), facts('b', { isCordoned: true })],
      past: [done('b', request({ sessionId: 's' }))],
      request: request({ sessionId: 's' }),
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A01 not where it would wait longer than the bound',
      past: [done('b', request({ sessionId: 's', blocks: [] })), busy('b', 400)],
      request: request({ sessionId: 's' }),
      want: `a by ${PREDICTED}`,
    },
    { name: 'A02 a prompt goes to where it is cached', past: [done('b'), busy('b', 180)], want: 'b by prefix' },
    {
      name: 'A02 or to another that is sooner by the bound',
      past: [done('b'), busy('b', 400)],
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A02 three quarters of it do not stick, but count',
      past: [done('b', prompt(1, 2, 3, 9)), busy('b', 120)],
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A02 unless the deployment says that they do',
      past: [done('b', prompt(1, 2, 3, 9)), busy('b', 220)],
      policy: { prefixHitMin: 0.7 },
      want: 'b by prefix',
    },
    { name: 'A02 what a queued prompt will have cached counts already', past: [{ to: 'b' }], want: 'b by prefix' },
    {
      name: 'A04 a free slot beats one that must be waited for, though the prompt is cached there',
      replicas: [facts('a', { slots: 1 }), facts('b', { slots: 1 })],
      past: [{ to: 'a', sent: prompt(9), isDone: true, answerMs: 5_000 }, { to: 'b' }],
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A04 loaded beats cold',
      replicas: [facts('cold', { isLoaded: false }), facts('warm')],
      past: [busy('warm', 4_900)],
      want: `warm by ${PREDICTED}`,
    },
    {
      name: 'A04 unless the queue costs more than the start',
      replicas: [facts('cold', { isLoaded: false }), facts('warm')],
      past: [busy('warm', 5_200)],
      want: `cold by ${PREDICTED}`,
    },
    {
      name: 'A05 who holds the adapter, within what fetching it costs',
      replicas: [facts('a'), facts('b', { holds: new Set(['adapter-1']) })],
      past: [busy('b', 500)],
      request: needing(500),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A05 and not beyond',
      replicas: [facts('a'), facts('b', { holds: new Set(['adapter-1']) })],
      past: [busy('b', 700)],
      request: needing(500),
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A05 one that nobody fetches for a request is asked where it is, however late',
      replicas: [facts('a'), facts('b', { holds: new Set(['adapter-1']) })],
      past: [done('a'), busy('b', 9_000)],
      request: needing(null),
      want: `b by ${PREDICTED}`,
    },
    { name: 'A05 and nowhere else', request: needing(null), want: 'without adapter-1' },
    {
      name: 'A06 who waits at a shared engine for others is ahead',
      replicas: [facts('a', { foreign: { running: 0, waiting: 2 } }), facts('b')],
      past: [busy('b', 150)],
      request: request({ blocks: [] }),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A06 and no more than that',
      replicas: [facts('a', { foreign: { running: 0, waiting: 2 } }), facts('b')],
      past: [busy('b', 450)],
      request: request({ blocks: [] }),
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A06 what an engine computes for others is work of late',
      replicas: [facts('a', { foreign: { running: 3, waiting: 0 } }), facts('b')],
      request: request({ blocks: [] }),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A08 nothing new for the cordoned, whatever is cached there',
      replicas: [facts('a'), facts('b', { isCordoned: true })],
      past: [done('b'), busy('a', 9_000)],
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A10 memory before a prefix',
      replicas: [facts('a'), facts('b', { freeMemoryBytes: 1 })],
      past: [done('b'), busy('a', 9_000)],
      request: request({ memoryBytes: 2 }),
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A10 memory that is not known refuses nobody',
      replicas: [facts('a', { freeMemoryBytes: 1 }), facts('b', { freeMemoryBytes: undefined })],
      past: [busy('b', 9_000)],
      request: request({ memoryBytes: 2 }),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A11 an empty prompt, and replicas of which nothing is known',
      request: request({ promptTokens: 0, blocks: [] }),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A12 required labels before everything',
      replicas: [facts('a'), facts('b', { labels: { tier: 'gold' } })],
      past: [done('a'), busy('b', 9_000)],
      request: request({ requiredLabels: { tier: 'gold' } }),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A12 preferred labels before a cached prompt and soonness, within the bound',
      replicas: [facts('a'), facts('b', { labels: { tier: 'gold' } })],
      past: [done('a')],
      request: request({ preferredLabels: { tier: 'gold' } }),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A12 and not beyond: one node that is preferred does not take it all',
      replicas: [facts('a'), facts('b', { labels: { tier: 'gold' } })],
      past: [busy('b', 9_000)],
      request: request({ preferredLabels: { tier: 'gold' } }),
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'A12 of two labels the one that has both',
      replicas: [facts('a', { labels: { tier: 'gold' } }), facts('b', { labels: { tier: 'gold', zone: 'z' } })],
      request: request({ preferredLabels: { tier: 'gold', zone: 'z' } }),
      want: `b by ${PREDICTED}`,
    },
    {
      name: 'A09 of equals, the one that was given less of late',
      past: [done('b', prompt(9))],
      want: `a by ${PREDICTED}`,
    },
    {
      name: 'power-of-two takes the one with less in flight of those drawn',
      past: [busy('b', 1)],
      policy: { pick: 'power-of-two' },
      draws: [0.9, 0],
      want: 'a by power-of-two',
    },
    {
      name: 'power-of-two does not see the one that it did not draw',
      past: [busy('b', 1)],
      policy: { pick: 'power-of-two' },
      draws: [0.9, 0.6],
      want: 'b by power-of-two',
    },
    { name: 'nobody at all', replicas: [], want: '' },
  ];
  it.each(cases)('$name', (each) => {
    expect(choose(each)).toBe(each.want);
  });

  it('A08 what is in flight at a cordoned replica drains, and is forgotten only then', () => {
    const router = new AffinityRouter();
    const ticket = router.dispatched(facts('a'), request(), 0);
    router.retain(new Set());
    expect(router.outstanding('a', 0)).toBe(1);
    router.finished(ticket, 'answered', 10);
    router.finished(ticket, 'answered', 20);
    expect(router.outstanding('a', 20)).toBe(0);
  });

  it('an engine that started anew has neither cache, nor queue, nor sessions', () => {
    const router = new AffinityRouter();
    const [a, b] = [facts('a'), facts('b')];
    const lost = router.dispatched(b, request({ sessionId: 's' }), 0);
    router.finished(router.dispatched(a, prompt(9), 0), 'answered', 0);
    router.forget('b');
    router.finished(lost, 'failed', 5);
    const choice = router.choose([a, b], request({ sessionId: 's' }), DEFAULT_ROUTING_POLICY, 10, () => 0.5);
    // By soonness alone, to the one with less work of late; what was measured of `a` makes `b` the unknown one.
    expect('replica' in choice && [choice.replica.id, choice.by, choice.replica.queuedMs]).toEqual(['b', PREDICTED, 0]);
  });

  it('R8 a replica that failed is left alone for a second, if another can take it, and told twice it failed once', () => {
    const router = new AffinityRouter();
    const replicas = [facts('a'), facts('b')];
    const chosenAt = (nowMs: number, among = replicas) => {
      const choice = router.choose(among, request(), DEFAULT_ROUTING_POLICY, nowMs, () => 0.5);
      return 'replica' in choice ? choice.replica.id : [...choice.rejected.keys()].join(', ');
    };
    router.finished(router.dispatched(facts('a'), request(), 0), 'answered', 0);
    const failed = router.dispatched(facts('b'), prompt(9), 0);
    router.dispatched(facts('a'), request({ promptTokens: 90_000, blocks: [] }), 0);
    for (const nowMs of [10, 20]) router.finished(failed, 'failed', nowMs);
    router.firstToken(failed, 20);
    expect([20, 1_009, 1_010].map((nowMs) => chosenAt(nowMs))).toEqual(['a', 'a', 'b']);
    expect(chosenAt(20, [facts('b')])).toBe('b');
    expect(chosenAt(20, [facts('a', { isCordoned: true }), facts('b')])).toBe('b');
  });

  it('a replica that answers again is believed at once', () => {
    const router = new AffinityRouter();
    router.finished(router.dispatched(facts('a'), request(), 0), 'failed', 0);
    router.firstToken(router.dispatched(facts('a'), request(), 10), 20);
    const choice = router.choose([facts('a'), facts('b')], request(), DEFAULT_ROUTING_POLICY, 30, () => 0);
    expect('replica' in choice && [choice.replica.id, choice.by]).toEqual(['a', 'prefix']);
  });

  it('choosing alone changes nothing', () => {
    const router = new AffinityRouter();
    const replicas = [facts('a'), facts('b')];
    const once = router.choose(replicas, request({ sessionId: 's' }), DEFAULT_ROUTING_POLICY, 0, () => 0);
    expect(router.choose(replicas, request({ sessionId: 's' }), DEFAULT_ROUTING_POLICY, 0, () => 0)).toEqual(once);
    expect('replica' in once && [once.replica.cachedTokens, once.replica.queuedMs, once.by]).toEqual([0, 0, PREDICTED]);
  });

  it.each(REPLICA_PICKS)('A09 %s: equals are taken equally often (chi-square)', (pick) => {
    const random = seeded(7);
    const replicas = ['a', 'b', 'c', 'd'].map((id) => facts(id));
    const counts = new Map(replicas.map(({ id }) => [id, 0]));
    for (let draw = 0; draw < 4_000; draw += 1) {
      const choice = new AffinityRouter().choose(replicas, request(), { ...DEFAULT_ROUTING_POLICY, pick }, 0, random);
      if ('replica' in choice) counts.set(choice.replica.id, counts.get(choice.replica.id)! + 1);
    }
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - 1_000) ** 2 / 1_000, 0);
    expect(chiSquare).toBeLessThan(16.27); // three degrees of freedom, p = 0.001
  });

  it('A07 a replica that was never measured gets a hundredth of the requests, however it looks', () => {
    const router = new AffinityRouter();
    const [known, unknown] = [facts('known'), facts('new', { isLoaded: false, coldStartMs: 60_000 })];
    router.finished(router.dispatched(known, request(), 0), 'answered', 100);
    const random = seeded(3);
    const explored = Array.from({ length: 20_000 }, () => {
      const choice = router.choose([known, unknown], request({ blocks: [] }), DEFAULT_ROUTING_POLICY, 200, random);
      return 'replica' in choice && choice.by === 'exploration' && choice.replica.id === 'new';
    });
    const share = explored.filter(Boolean).length / explored.length;
    expect([share > 0.007, share < 0.013]).toEqual([true, true]);
  });
});

interface Serving {
  readonly ticket: Ticket;
  readonly doneMs: number;
}

/** Requests that come at about 90 % of what eight replicas can do, one after the other at each; work done by each. */
function serve(count: number, promptOf: (index: number) => RoutedRequest): number[] {
  const random = seeded(5);
  const router = new AffinityRouter();
  const replicas = Array.from({ length: 8 }, (_, index) => facts(String(index)));
  const caches = replicas.map(() => new Set<number>());
  const queues = replicas.map((): Serving[] => []);
  const workMs = replicas.map(() => 0);
  let nowMs = 0;
  for (let index = 0; index < count; index += 1) {
    const wanted = promptOf(index);
    nowMs += (random() * 2 * 100) / (0.9 * replicas.length);
    for (const queue of queues) {
      while (queue[0] !== undefined && queue[0].doneMs <= nowMs) {
        const { ticket, doneMs } = queue.shift()!;
        router.firstToken(ticket, doneMs);
        router.finished(ticket, 'answered', doneMs);
      }
    }
    const choice = router.choose(replicas, wanted, DEFAULT_ROUTING_POLICY, nowMs, random);
    if (!('replica' in choice)) throw new Error('nobody took it');
    const place = Number(choice.replica.id);
    const cached = wanted.blocks.filter((block) => caches[place]!.has(block)).length * wanted.blockTokens;
    const tookMs = 0.1 * (wanted.promptTokens - cached);
    const queue = queues[place]!;
    const ticket = router.dispatched(choice.replica, wanted, nowMs);
    queue.push({ ticket, doneMs: Math.max(nowMs, queue.at(-1)?.doneMs ?? 0) + tookMs });
    for (const block of wanted.blocks) caches[place]!.add(block);
    workMs[place]! += tookMs;
  }
  return workMs;
}

const imbalance = (work: readonly number[]) =>
  (Math.max(...work) * work.length) / work.reduce((sum, each) => sum + each, 0);

describe('a whole cluster behind the router', () => {
  it('A03 a first block that everybody shares piles up nowhere', () => {
    expect(imbalance(serve(4_000, (index) => prompt(0, index + 1)))).toBeLessThanOrEqual(1.1);
  });

  it('A03 nor does a prompt that everybody sends', () => {
    const work = serve(4_000, () => request({ promptTokens: 1_250, blocks: [1, 2] }));
    expect(imbalance(work)).toBeLessThanOrEqual(1.25);
  });

  it('A06 the work is even to a tenth by the ledger alone, which no report is needed for', () => {
    expect(imbalance(serve(4_000, (index) => prompt(index)))).toBeLessThanOrEqual(1.1);
  });
});
