// One end, in order: streams in flight are finished, new requests refused, and no handle is left.
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { eventually, startStopwatch } from '#testing';
import { chunkOf } from '../bench/gateway/behaviours.ts';
import type { Behaviour } from '../bench/gateway/fake-cluster.ts';
import { GatewayWorld } from './gateway-world.ts';

let world: GatewayWorld;

beforeEach(async () => {
  world = await GatewayWorld.start();
}, 60_000);
afterEach(() => world.stop());

it('drains what is in flight, refuses what comes, and ends with nothing left open', async () => {
  // Streams end when they are told to: what is refused meanwhile is asked however slow the machine is.
  const finish = Promise.withResolvers<void>();
  const behave = endingAfter(finish.promise);
  await world.addCluster({ name: 'one', path: 'direct', behave });
  await world.addCluster({ name: 'two', path: 'dialled', behave });
  world.route();
  const before = openHandles();
  await world.startGateway();
  await world.untilReachable();
  let chunks = 0;
  const streams = Array.from({ length: 8 }, () => world.chat({ stream: true }, { onChunk: () => (chunks += 1) }));
  await eventually(() => expect(chunks).toBeGreaterThanOrEqual(streams.length));

  const ending = world.gateway.shutdown.run('spec');
  const refused = await world.chat();
  expect([refused.status, refused.headers['retry-after'], refused.headers.connection]).toEqual([503, '1', 'close']);
  expect((await world.get('/readyz', null)).status).toBe(503);
  finish.resolve();

  const answers = await Promise.all(streams);
  const ends = answers.map((answer) => [answer.status, answer.isWhole, answer.text.slice(-14)]);
  expect(ends).toEqual(answers.map(() => [200, true, 'data: [DONE]\n\n']));
  const steps = await ending;
  expect(steps.map(({ name, outcome }) => `${name}: ${outcome}`)).toEqual([
    'stop intake: done',
    'drain: done',
    'close links: done',
    'close listener: done',
    'give back leases: done',
    'close NATS: done',
  ]);
  await Promise.all(world.clusters.map((cluster) => cluster.stop()));
  await eventually(() => expect(openHandles()).toBeLessThanOrEqual(before));
}, 60_000);

it('a gateway that never found NATS ends at once', async () => {
  await world.nats.kill();
  await world.startGateway();
  const passedMs = startStopwatch();
  await world.gateway.shutdown.run('spec');
  expect(passedMs()).toBeLessThan(1_000);
});

/** A token at once, the rest and the end when `then` resolves. */
function endingAfter(then: Promise<void>): Behaviour {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'x-atoll-version': 'f'.repeat(64) });
    response.write(chunkOf('t0 '));
    void then.then(() => response.end(`${chunkOf('t1 ')}data: [DONE]\n\n`));
  };
}

/** Sockets, servers and intervals of this process. */
function openHandles(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind !== 'PipeWrap' && kind !== 'TTYWrap').length;
}
