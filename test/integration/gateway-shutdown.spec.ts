// One end, in order: streams in flight are finished, new requests refused, and no handle is left.
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { eventually } from '#testing';
import { answering } from '../bench/gateway/behaviours.ts';
import { GatewayWorld } from './gateway-world.ts';

let world: GatewayWorld;

beforeEach(async () => {
  world = await GatewayWorld.start();
}, 30_000);
afterEach(() => world.stop());

it('drains what is in flight, refuses what comes, and ends with nothing left open', async () => {
  await world.addCluster({ name: 'one', path: 'direct', behave: answering({ tokens: 20, intervalMs: 20 }) });
  await world.addCluster({ name: 'two', path: 'dialled', behave: answering({ tokens: 20, intervalMs: 20 }) });
  world.route();
  const before = openHandles();
  await world.startGateway();
  await world.untilReachable();
  let chunks = 0;
  const streams = Array.from({ length: 8 }, () => world.chat({ stream: true }, { onChunk: () => (chunks += 1) }));
  await eventually(() => expect(chunks).toBeGreaterThan(8));

  const ending = world.gateway.shutdown.run('spec');
  const refused = await world.chat();
  expect([refused.status, refused.headers['retry-after'], refused.headers.connection]).toEqual([503, '1', 'close']);
  expect((await world.get('/readyz', null)).status).toBe(503);

  const answers = await Promise.all(streams);
  const ends = answers.map((answer) => [answer.status, answer.isWhole, answer.text.slice(-14)]);
  expect(ends).toEqual(answers.map(() => [200, true, 'data: [DONE]\n\n']));
  const steps = await ending;
  expect(steps.map(({ name, outcome }) => `${name}: ${outcome}`)).toEqual([
    'stop intake: done',
    'drain: done',
    'close links: done',
    'close listener: done',
    'close NATS: done',
  ]);
  await Promise.all(world.clusters.map((cluster) => cluster.stop()));
  await eventually(() => expect(openHandles()).toBeLessThanOrEqual(before));
}, 40_000);

it('a gateway that never found NATS ends at once', async () => {
  await world.nats.kill();
  await world.startGateway();
  const beganAtMs = performance.now();
  await world.gateway.shutdown.run('spec');
  expect(performance.now() - beganAtMs).toBeLessThan(1_000);
});

/** Sockets, servers and intervals of this process. */
function openHandles(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind !== 'PipeWrap' && kind !== 'TTYWrap').length;
}
