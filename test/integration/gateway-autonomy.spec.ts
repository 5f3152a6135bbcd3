// R6, R8, R12: what the gateway knows when clusters, NATS or the control plane fall silent.
import { readFile, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { eventually, startStopwatch } from '#testing';
import { answering } from '../bench/gateway/behaviours.ts';
import { createKey } from '../bench/gateway/installation.ts';
import { errorOf, GatewayWorld, TENANT } from './gateway-world.ts';

let world: GatewayWorld;

beforeEach(async () => {
  world = await GatewayWorld.start();
}, 60_000);
afterEach(() => world.stop());

const UNKNOWN_KEY = `atoll_aaaaaaaaaaaaaaaa_${'x'.repeat(32)}`;

async function clustersThatAnswer(requests = 20): Promise<string[]> {
  const answers = await Promise.all(Array.from({ length: requests }, () => world.chat()));
  return [...new Set(answers.map((answer) => String(answer.headers['x-atoll-cluster'] ?? answer.status)))].sort();
}

describe('R6, R8: clusters that fall silent', () => {
  it('heartbeats stop while sockets stay open: not routable within 3 s, and again at the next heartbeat', async () => {
    const [one] = await world.startPair(answering());
    expect(await clustersThatAnswer()).toEqual(['one', 'two']);
    await one!.pauseHeartbeats();
    const passedMs = startStopwatch();
    let lastRoutedAfterMs = 0;
    await eventually(async () => {
      const beganAfterMs = passedMs();
      const clusters = await clustersThatAnswer();
      if (clusters.includes('one')) lastRoutedAfterMs = beganAfterMs;
      expect(clusters).toEqual(['two']);
    });
    expect(lastRoutedAfterMs).toBeLessThanOrEqual(3_000);
    one!.resumeHeartbeats();
    await eventually(async () => expect(await clustersThatAnswer()).toEqual(['one', 'two']));
  }, 60_000);

  it('what NATS says of a lost connection counts at once, until the next heartbeat', async () => {
    const [one] = await world.startPair(answering());
    await one!.pauseHeartbeats();
    world.centre.tellDisconnected(one!.id);
    await eventually(async () => expect(await clustersThatAnswer()).toEqual(['two']));
    one!.resumeHeartbeats();
    await eventually(async () => expect(await clustersThatAnswer()).toEqual(['one', 'two']));
  }, 60_000);

  it('nothing can answer: 503 with retry-after, and why', async () => {
    const [one, two] = await world.startPair(answering());
    const { deployments } = world.centre.view;
    const [deployment] = deployments;
    const replicas = deployment!.replicas.map((replica) => ({ ...replica, ready: replica.clusterId === two!.id }));
    world.centre.change({ deployments: [{ ...deployment!, replicas }] });
    await world.untilRouted();
    await two!.pauseHeartbeats();
    world.centre.tellDisconnected(two!.id);
    await eventually(async () => expect((await world.chat()).status).toBe(503));
    const answer = await world.chat();
    expect(answer.headers['retry-after']).toBe('2');
    expect(errorOf(answer).message).toBe(
      "No replica of 'tiny' can answer now (replicas: 1 in a cluster that disconnected, 1 not ready).",
    );
    expect(one!.hits).toBe(0);
  }, 60_000);
});

describe('R12: the gateway outlives what it learns from', () => {
  it('NATS gone for longer than any lease: known keys are served and nobody is blamed; unknown keys get 503', async () => {
    await world.startPair(answering());
    await world.nats.kill();
    await eventually(() => expect(world.log).toContain('"state":"disconnected"'));
    const goneAtMs = performance.now();
    const seen = new Set<string>();
    while (performance.now() - goneAtMs < 4_500) for (const cluster of await clustersThatAnswer()) seen.add(cluster);
    expect([...seen].sort()).toEqual(['one', 'two']);
    const answer = await world.get('/v1/models', UNKNOWN_KEY);
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '2']);
    expect((await world.get('/v1/models', 'garbage')).status).toBe(401);

    await world.nats.restart();
    await eventually(async () => expect((await world.get('/v1/models', UNKNOWN_KEY)).status).toBe(401));
    expect(await clustersThatAnswer()).toEqual(['one', 'two']);
  }, 60_000);

  it('the control plane has lost its database: the first unknown key already gets 503, never 401', async () => {
    await world.startPair(answering());
    expect((await world.get('/v1/models', UNKNOWN_KEY)).status).toBe(401);
    world.centre.isAnswering = false;
    // The last answer counts for one second, and not longer.
    await eventually(async () => expect((await world.get('/v1/models', UNKNOWN_KEY)).status).toBe(503));
    expect((await world.chat({}, { token: UNKNOWN_KEY })).status).toBe(503);
    expect((await world.chat()).status).toBe(200);
    world.centre.isAnswering = true;
    await eventually(async () => expect((await world.get('/v1/models', UNKNOWN_KEY)).status).toBe(401));
  }, 60_000);

  it('a key whose announcement was lost works at its first use; a flood of wrong keys asks once a second', async () => {
    await world.startPair(answering());
    const fresh = createKey({ tenantId: TENANT });
    const fetchesBefore = world.centre.fetches;
    const floodedAtMs = performance.now();
    const flood = Array.from({ length: 200 }, () => world.get('/v1/models', UNKNOWN_KEY));
    expect(new Set((await Promise.all(flood)).map(({ status }) => status))).toEqual(new Set([401]));
    const floodSeconds = Math.ceil((performance.now() - floodedAtMs) / 1_000);
    expect(world.centre.fetches - fetchesBefore).toBeLessThanOrEqual(1 + floodSeconds);
    world.centre.changeQuietly({ keys: [...world.centre.view.keys, fresh.key] });
    await eventually(async () => expect((await world.get('/v1/models', fresh.token)).status).toBe(200));
  }, 60_000);

  it('restarted without NATS it serves from its disk; a damaged file counts as none', async () => {
    await world.startPair(answering());
    await eventually(async () => expect(await readFile(world.routesFile, 'utf8')).toContain('"tiny"'));
    await world.gateway.shutdown.run('spec');
    await world.nats.kill();

    await world.startGateway();
    expect((await world.get('/readyz', null)).status).toBe(200);
    const answer = await world.chat();
    expect([answer.status, answer.headers['x-atoll-cluster']]).toEqual([200, 'one']);
    expect((await world.get('/v1/models', UNKNOWN_KEY)).status).toBe(503);
    await world.gateway.shutdown.run('spec');

    const text = await readFile(world.routesFile, 'utf8');
    await writeFile(world.routesFile, text.replace('"tiny"', '"evil"'));
    await world.startGateway();
    expect((await world.get('/readyz', null)).status).toBe(503);
    expect((await world.chat()).status).toBe(503);
  }, 60_000);
});
