// The built agent as a process, on a real NATS server: from joining to removal, killed, cut off and damaged on the way.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { DesiredReplica } from '#domain';
import { processesWith, processStartTicks } from '../../apps/agent/src/state/processes.ts';
import { until } from '../../apps/agent/test/temporary-folder.ts';
import { AgentWorld, buildAgent, CLUSTER_ID } from './agent-world.ts';

const REPLICA_ID = '01900000-0000-7000-8000-00000000b001';

function replicaOf(versionDigest: string, change: Partial<DesiredReplica> = {}): DesiredReplica {
  return {
    replicaId: REPLICA_ID,
    deploymentId: '01900000-0000-7000-8000-00000000d001',
    deploymentName: 'tiny',
    servedModel: 'tiny',
    versionDigest,
    claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
    epoch: 1,
    draining: false,
    ...change,
  };
}

/** A zombie, whom nobody has buried yet, is dead. */
async function isAlive(pid: number): Promise<boolean> {
  return (await processStartTicks(pid)) !== null;
}

describe('an agent', () => {
  let world: AgentWorld;
  beforeAll(() => buildAgent(), 60_000);
  afterEach(() => world.stop(), 60_000);

  async function serving(change: Record<string, unknown> = {}): Promise<number> {
    world = new AgentWorld();
    await world.start();
    const version = world.publishVersion(1, 'weights of version one');
    world.want({ versions: [version], replicas: [replicaOf(version.digest)] });
    await world.startAgent(change);
    return (await world.waitForReplica(REPLICA_ID, 'Ready')).processId!;
  }

  it('joins, fetches, starts, reports Ready and answers over a link that it dialled', async () => {
    await serving();
    const version = world.desired!.versions[0]!;
    const answer = await world.ask(REPLICA_ID, {});
    expect(answer.status).toBe(200);
    expect(answer.headers['x-atoll-version']).toBe(version.digest);
    const { content, headers } = JSON.parse(answer.text);
    expect(content).toBe('weights of version one');
    expect(headers).not.toHaveProperty('x-atoll-replica');
    const stream = await world.ask(REPLICA_ID, { stream: true });
    expect(stream.text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(world.lastReport).toMatchObject({ clusterId: CLUSTER_ID, epoch: 1, revision: world.desired!.revision });
    await until(() => world.events.some(({ kind }) => kind === 'version-verified'), 'the event came');
    await until(async () => (await readdir(join(world.stateFolder, 'outbox'))).length === 0, 'the outbox is empty');
  }, 60_000);

  it('answers gateways that dial it, and 401 to everybody else, whatever they ask for', async () => {
    await serving({ dataPlane: { listen: { host: '127.0.0.1', port: 0 }, advertise: 'edge.example.com:7443' } });
    const port = Number(await until(() => /"directPort":(\d+)/.exec(world.log)?.[1], 'it listens'));
    expect(world.lastReport).toMatchObject({ endpoint: 'edge.example.com:7443' });
    for (const path of ['/', '/atoll/ping', '/v1/chat/completions']) {
      expect((await fetch(`http://127.0.0.1:${port}${path}`)).status).toBe(401);
    }
    await world.dialDirect(port);
    expect((await world.ask(REPLICA_ID, {})).status).toBe(200);
  }, 60_000);

  it('tells its health to everybody and its metrics only to who has the token', async () => {
    await serving();
    const port = /"port":(\d+),"msg":"operational listener"/.exec(world.log)?.[1];
    const statuses = ['/healthz', '/readyz', '/metrics', '/anything'].map(
      async (path) => (await fetch(`http://127.0.0.1:${port}${path}`)).status,
    );
    expect(await Promise.all(statuses)).toEqual([200, 200, 401, 401]);
  }, 60_000);

  it('refuses with the retryable mark what it does not run', async () => {
    await serving();
    const answer = await world.ask('01900000-0000-7000-8000-00000000b999', {});
    expect([answer.status, answer.headers['x-atoll-retryable']]).toEqual([503, 'true']);
  }, 60_000);

  it('R9: heartbeats of at most 200 bytes come each second from a thread of their own', async () => {
    await serving();
    await until(() => world.heartbeats.length >= 3, 'heartbeats came');
    expect(Math.max(...world.heartbeats.map(({ bytes }) => bytes))).toBeLessThanOrEqual(200);
    expect(world.heartbeats.at(-1)).toMatchObject({
      boot: world.lastReport!.bootId.slice(0, 8),
      revision: world.desired!.revision,
    });
  }, 60_000);

  it('R5, R10: killed and started again, it adopts its engine; the process id and the restarts stay', async () => {
    const pid = await serving();
    const { bootId } = world.lastReport!;
    await world.killAgent('SIGKILL');
    expect(await isAlive(pid)).toBe(true);
    world.reports.length = 0;
    await world.startAgent();
    const replica = await world.waitForReplica(REPLICA_ID, 'Ready');
    expect(replica).toMatchObject({ processId: pid, restarts: 0 });
    expect(world.lastReport!.bootId).not.toBe(bootId);
    expect((await world.ask(REPLICA_ID, {})).status).toBe(200);
    await world.killAgent('SIGTERM');
    expect(await isAlive(pid)).toBe(false);
  }, 60_000);

  it('R10: killed again and again in the middle of launches, no engine is left but the wanted one', async () => {
    const pid = await serving();
    const version = world.desired!.versions[0]!;
    let replicaId = REPLICA_ID;
    for (let round = 0; round < 5; round += 1) {
      replicaId = `01900000-0000-7000-8000-00000000b10${round}`;
      world.log = '';
      world.want({ replicas: [replicaOf(version.digest, { replicaId })] });
      if (round > 0) await world.startAgent();
      await until(() => world.log.includes('engine starts'), 'an engine is being launched');
      await world.killAgent('SIGKILL');
    }
    world.reports.length = 0;
    await world.startAgent();
    const replica = await world.waitForReplica(replicaId, 'Ready');
    const engines = async () =>
      (await processesWith('ATOLL_INSTANCE_DIR'))!.filter(({ value }) => value.startsWith(world.stateFolder));
    await until(async () => (await engines()).length === 1, 'one engine is left');
    expect((await engines()).map((engine) => engine.pid)).toEqual([replica.processId]);
    // A killed process loses its environment, by which it is known, some milliseconds before its number.
    await until(async () => !(await isAlive(pid)), 'the first engine is gone');
  }, 60_000);

  it('R4: restarted with NATS gone, and the newest state file damaged, it serves from disk; healed, nothing restarts', async () => {
    const pid = await serving();
    // A second generation with the same content of work.
    const { revision } = world.desired!;
    world.want({});
    await until(() => world.lastReport?.revision === revision + 1, 'the newer document is applied');
    await world.killAgent('SIGKILL');
    await world.killNats();
    const file = join(world.stateFolder, 'state', 'desired.json');
    const flipped = await readFile(file);
    flipped[flipped.length - 20] = flipped[flipped.length - 20]! ^ 1;
    await writeFile(file, flipped);

    world.log = '';
    await world.startAgent();
    await until(() => world.log.includes('agent started'), 'the agent has started offline');
    expect(world.log).toContain('a state file is damaged');
    expect(world.log).toContain('engine adopted');
    // The gateway's address is known from disk, so the data path comes back without NATS.
    await until(async () => (await world.ask(REPLICA_ID, {})).status === 200, 'it serves from disk');

    world.reports.length = 0;
    await world.restartNats();
    const replica = await world.waitForReplica(REPLICA_ID, 'Ready');
    expect(replica).toMatchObject({ processId: pid, restarts: 0 });
    await until(() => world.lastReport?.revision === revision + 1, 'the newer document is applied again');
  }, 60_000);

  it('refuses a document of an older epoch (invariant 4)', async () => {
    await serving();
    world.want({ epoch: 5 });
    const { revision } = world.desired!;
    await until(() => world.lastReport?.epoch === 5, 'epoch 5 is applied');
    world.desired = { ...world.desired!, epoch: 4, revision: revision + 10, replicas: [] };
    world.announceGateway();
    world.want({ epoch: 4, revision: revision + 11 });
    world.want({ epoch: 5, revision: revision + 12, replicas: [replicaOf(world.desired!.versions[0]!.digest)] });
    await until(() => world.lastReport?.revision === revision + 12, 'the newer document is applied');
    expect(world.reports.filter(({ epoch, revision: reported }) => epoch === 4 && reported > revision)).toEqual([]);
  }, 60_000);

  it('an engine that crashes is started again, counted and told of by an event', async () => {
    const pid = await serving();
    const answer = await world.ask(REPLICA_ID, { user: 'crash' });
    expect([answer.status, answer.headers['x-atoll-retryable']]).toEqual([502, 'true']);
    await until(() => world.events.some(({ kind }) => kind === 'replica-failed'), 'the event came');
    await until(
      () => world.lastReport?.replicas[0]?.restarts === 1 && world.lastReport.replicas[0].phase === 'Ready',
      'it serves again',
    );
    expect(world.lastReport!.replicas[0]!.processId).not.toBe(pid);
  }, 60_000);

  it('changes version by a new replica, keeps the previous version on disk, and drains an answer in hand', async () => {
    world = new AgentWorld();
    await world.start();
    const first = world.publishVersion(1, 'one');
    world.want({ versions: [first], replicas: [replicaOf(first.digest, { servedModel: 'slow' })] });
    await world.startAgent();
    await world.waitForReplica(REPLICA_ID, 'Ready');
    const second = world.publishVersion(2, 'two');
    const nextId = '01900000-0000-7000-8000-00000000b002';
    world.want({
      versions: [first, second],
      replicas: [...world.desired!.replicas, replicaOf(second.digest, { replicaId: nextId })],
    });
    await world.waitForReplica(nextId, 'Ready');
    const begun = Promise.withResolvers<void>();
    const inHand = world.ask(REPLICA_ID, { stream: true, max_tokens: 8 }, begun.resolve);
    await begun.promise;
    world.want({ versions: [second], replicas: [replicaOf(second.digest, { replicaId: nextId })] });
    expect((await inHand).text.endsWith('data: [DONE]\n\n')).toBe(true);
    await until(() => world.lastReport?.replicas.length === 1, 'the old replica is gone');
    expect((await world.ask(nextId, {})).headers['x-atoll-version']).toBe(second.digest);
    expect(await readdir(join(world.stateFolder, 'versions'))).toContain(first.digest);
  }, 60_000);

  it('waits while it is not accepted, and ends with code 3 and no engine when it is removed', async () => {
    world = new AgentWorld();
    await world.start();
    world.membership = 'pending';
    const version = world.publishVersion(1, 'one');
    world.want({ versions: [version], replicas: [replicaOf(version.digest)] });
    const agent = await world.startAgent();
    await until(() => world.log.includes('waiting to be accepted'), 'it waits');
    world.membership = 'ready';
    const { processId } = await world.waitForReplica(REPLICA_ID, 'Ready');
    world.membership = 'removed';
    await world.killAgent('SIGKILL');
    expect(agent.signalCode).toBe('SIGKILL');
    // The stored credentials claim to be old, so the next start renews at once and is told.
    const file = join(world.stateFolder, 'state');
    for (const name of await readdir(file)) if (name.startsWith('credentials')) await writeFile(join(file, name), '');
    const again = await world.startAgent();
    await until(() => again.exitCode !== null, 'it has ended', 15_000);
    expect(again.exitCode).toBe(3);
    await until(() => world.log.includes('was removed from the fleet'), 'its last words are read');
    expect(await isAlive(processId!)).toBe(false);
  }, 60_000);
});
