// R9 on a real NATS server: the sign of life comes from a thread that a busy agent cannot starve.
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeAll, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { heartbeatSchema } from '#contracts';
import {
  connectNats,
  createIdentity,
  inboxPrefixOf,
  issueUserJwt,
  type NatsRole,
  permissionTables,
  subscribeJson,
} from '#messaging';
import { startNatsServer } from '#testing';
import { Heartbeat } from '../../apps/agent/src/heartbeat/heartbeat.ts';
import { Pulse } from '../../apps/agent/src/heartbeat/pulse.ts';
import { until } from '../../apps/agent/test/temporary-folder.ts';
import { buildAgent, CLUSTER_ID } from './agent-world.ts';

const workerUrl = pathToFileURL(
  join(resolve(import.meta.dirname, '../..'), '.cache/dist/apps/agent/src/heartbeat/heartbeat.worker.js'),
);
const closers: (() => Promise<unknown> | unknown)[] = [];

beforeAll(() => buildAgent(), 60_000);
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

it('R9: heartbeats go on, and tell of the stall, while the main thread does not turn', async () => {
  const server = await startNatsServer();
  closers.push(() => server.stop());
  const issue = async (role: NatsRole, token: string) => {
    const { publicKey, seed } = createIdentity();
    const permissions = permissionTables[role](token);
    const accountSeed = server.operator.atollAccount.seed;
    const clusterId = role === 'agent' ? token : undefined;
    return {
      seed,
      jwt: await issueUserJwt({ accountSeed, userPublicKey: publicKey, name: token, role, permissions, clusterId }),
    };
  };
  const observer = await issue('control-plane', 'control-plane');
  const session = await connectNats({
    servers: server.url,
    credentials: () => observer,
    name: 'observer',
    inboxPrefix: inboxPrefixOf('control-plane'),
  });
  closers.push(() => session.close(500));
  const beats: ReturnType<typeof heartbeatSchema.parse>[] = [];
  const onError = () => undefined;
  subscribeJson(session.connection, 'atoll.v1.*.hb', ({ value }) => void beats.push(heartbeatSchema.parse(value)), {
    onError,
  });
  await session.connection.flush();

  const agent = await issue('agent', CLUSTER_ID);
  const pulse = new Pulse(() => ({ revision: 42, inflight: 3, queued: 1 }));
  closers.push(() => pulse.stop());
  const heartbeat = new Heartbeat({
    memory: pulse.memory,
    bootId: '01234567-89ab',
    seed: agent.seed,
    membership: () => ({
      clusterId: CLUSTER_ID,
      clusterName: 'edge',
      jwt: agent.jwt,
      natsServers: [server.url],
      account: server.operator.atollAccount.publicKey,
      expiresInSeconds: 86_400,
      obtainedAtMs: 0,
    }),
    log: pino({ level: 'silent' }),
    workerUrl,
  });
  closers.push(() => heartbeat.stop());
  heartbeat.start();
  await until(() => beats.length > 0, 'the first heartbeat came');
  expect(beats[0]).toMatchObject({ boot: '01234567', revision: 42, inflight: 3, queued: 1 });
  // A timer that is a millisecond late is told as well, so not every one is 0.
  await until(() => beats.some(({ stallMs }) => stallMs === 0), 'one told of no stall');

  const before = beats.at(-1)!.sequence;
  for (const untilMs = performance.now() + 3_500; performance.now() < untilMs; );
  await until(() => (beats.at(-1)?.sequence ?? 0) >= before + 3, 'those sent meanwhile are read');
  expect(Math.max(...beats.map(({ stallMs }) => stallMs))).toBeGreaterThan(2_000);
}, 60_000);
