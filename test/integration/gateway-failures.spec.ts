// R13, R14, R15: upstreams that fail before the first byte, after it, and all at once.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { eventually, startStopwatch } from '#testing';
import { answering, breakingAfter, failing, resetting, silent } from '../bench/gateway/behaviours.ts';
import type { Behaviour, FakeCluster } from '../bench/gateway/fake-cluster.ts';
import { errorOf, GatewayWorld } from './gateway-world.ts';

let world: GatewayWorld;
let one: FakeCluster;
let two: FakeCluster;

async function startPair(behave: Behaviour, limits: Record<string, number> = {}) {
  const pair = await world.startPair(behave, limits);
  [one, two] = [pair[0]!, pair[1]!];
}

beforeEach(async () => {
  world = await GatewayWorld.start();
}, 60_000);
afterEach(() => world.stop());

describe('R13: retries do not amplify', () => {
  it.each([
    ['answering 503', failing(503), 503],
    ['resetting', resetting, 502],
  ])(
    'every upstream $name: at most 1.2 times the requests and the start',
    async (_name, behave, wantStatus) => {
      await startPair(behave);
      const requests = 300;
      let attemptsMax = 0;
      for (let sent = 0; sent < requests; sent += 20) {
        const answers = await Promise.all(Array.from({ length: 20 }, () => world.chat()));
        for (const answer of answers) {
          expect([wantStatus, 503]).toContain(answer.status);
          attemptsMax = Math.max(attemptsMax, Number(answer.headers['x-atoll-attempts'] ?? 0));
        }
      }
      expect(one.hits + two.hits).toBeLessThanOrEqual(requests * 1.2 + 10);
      expect(attemptsMax).toBe(2);
    },
    60_000,
  );

  it('a refusal that no retry helped says who refused and after how many attempts', async () => {
    await startPair(failing(503));
    const answer = await world.chat();
    expect(answer.headers['x-atoll-attempts']).toBe('2');
    expect(['one', 'two']).toContain(answer.headers['x-atoll-cluster']);
    expect(errorOf(answer).message).toBe('broken');
  }, 60_000);

  it('an engine that fails fast does not attract requests', async () => {
    await startPair(answering({ headMs: 20 }));
    one.behave = failing(500);
    for (let sent = 0; sent < 10; sent += 1) await world.chat();
    const before = one.hits;
    for (let sent = 0; sent < 20; sent += 1) await world.chat();
    expect(one.hits - before).toBeLessThanOrEqual(2);
  }, 60_000);
});

describe('R14: a broken stream never ends as a clean one', () => {
  const breaks: [string, Behaviour, string][] = [
    ['closes', breakingAfter(40, (response) => response.end()), 'unfinished'],
    [
      'resets',
      breakingAfter(40, (response) => (response.socket as import('node:net').Socket).resetAndDestroy()),
      'reset',
    ],
    ['stalls', breakingAfter(40, () => undefined), 'timeout'],
    ['sends broken JSON', breakingAfter(40, (response) => response.write('data: {"choices": [\n\n')), 'malformed'],
  ];
  it.each(breaks)(
    'upstream %s after 40 tokens',
    async (_name, behave, cause) => {
      await startPair(behave, { idleSecondsMax: 1 });
      const answer = await world.chat({ stream: true });
      const events = answer.text.split('\n\n').filter((event) => event !== '');
      expect(events).toHaveLength(41);
      expect(answer.text).not.toContain('[DONE]');
      expect(events.at(-1)).toContain(`(${cause})`);
      expect(JSON.parse(events.at(-1)!.slice(6))).toMatchObject({ error: { type: 'server_error' } });
      expect(one.hits + two.hits).toBe(1);
    },
    60_000,
  );

  it('a client that goes away cancels upstream within 1 s', async () => {
    await startPair(answering({ tokens: 10_000, intervalMs: 10 }));
    const leaving = new AbortController();
    const left = world.chat({ stream: true }, { signal: leaving.signal, onChunk: () => leaving.abort() });
    await left.catch(() => undefined);
    const passedMs = startStopwatch();
    await eventually(() => expect(one.cancelled + two.cancelled).toBe(1));
    expect(passedMs()).toBeLessThan(1_000);
  }, 60_000);

  it('a client that goes away before the first byte cancels upstream too', async () => {
    await startPair(silent);
    const leaving = new AbortController();
    const left = world.chat({}, { signal: leaving.signal });
    await eventually(() => expect(one.hits + two.hits).toBe(1));
    leaving.abort();
    await left.catch(() => undefined);
    await eventually(() => expect(one.cancelled + two.cancelled).toBe(1));
  }, 60_000);
});

describe('R15: failover before the first byte', () => {
  it.each(['one', 'two'])(
    'cluster %s dies under load: no client sees an error',
    async (name) => {
      await startPair(answering({ headMs: 20 }));
      const dying = name === 'one' ? one : two;
      const statuses: number[] = [];
      let stop = false;
      const client = async () => {
        while (!stop) statuses.push((await world.chat()).status);
      };
      const clients = Array.from({ length: 16 }, client);
      try {
        await eventually(() => expect(statuses.length).toBeGreaterThan(200));
        await dying.die();
        const atDeath = statuses.length;
        await eventually(() => expect(statuses.length).toBeGreaterThan(atDeath + 500));
      } finally {
        stop = true;
        await Promise.all(clients);
      }
      expect(statuses.filter((status) => status !== 200)).toEqual([]);
      expect(dying.hits).toBeGreaterThan(0);
    },
    60_000,
  );

  it('what waits at a cluster that turns suspect goes elsewhere, at no cost to the retry budget', async () => {
    await startPair(answering());
    // Two is silent in every way: takes requests, answers none, and is not heard of any more.
    two.behave = silent;
    // One answers nothing either until two has its share, so that it does not draw all requests on a slow machine.
    const shared = Promise.withResolvers<void>();
    const usual = one.behave;
    one.behave = (request, response, body) => void shared.promise.then(() => usual(request, response, body));
    const answers = Array.from({ length: 60 }, () => world.chat());
    await eventually(() => expect(two.hits).toBeGreaterThan(15));
    shared.resolve();
    await two.pauseHeartbeats();
    const passedMs = startStopwatch();
    const statuses = (await Promise.all(answers)).map((answer) => [answer.status, answer.headers['x-atoll-cluster']]);
    expect(passedMs()).toBeLessThan(4_000);
    expect(new Set(statuses.map(String))).toEqual(new Set(['200,one']));
  }, 60_000);

  it('a direct address that nobody answers falls back to the dialled path', async () => {
    await world.addCluster({ name: 'two', path: 'dialled', behave: answering() });
    two = world.clusters[0]!;
    world.route();
    world.centre.change({ clusters: [{ ...two.route, endpoint: '127.0.0.1:1' }] });
    await world.startGateway();
    await world.untilReachable();
    const answer = await world.chat();
    expect([answer.status, answer.headers['x-atoll-path'], answer.headers['x-atoll-attempts']]).toEqual([
      200,
      'dialled',
      '2',
    ]);
    expect((await world.chat()).headers['x-atoll-attempts']).toBe('1');
  }, 60_000);

  it('more requests than links wait in line for one that becomes free', async () => {
    await world.addCluster({ name: 'two', path: 'dialled', behave: answering({ headMs: 20 }), linksMax: 4 });
    two = world.clusters[0]!;
    world.route();
    await world.startGateway();
    await world.untilReachable();
    const answers = await Promise.all(Array.from({ length: 40 }, () => world.chat()));
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
    expect(two.openSockets).toBeLessThanOrEqual(4);
  }, 60_000);
});
