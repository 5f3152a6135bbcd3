// Engines of an agent on real processes: killed at random, bound to devices that come and go, following load by itself.
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { DesiredReplica, ResourceClaim } from '#domain';
import { processesWith, processGroupOf } from '../../apps/agent/src/state/processes.ts';
import { until } from '../../apps/agent/test/temporary-folder.ts';
import { chosenKills } from '../e2e/kills.fixture.ts';
import { AgentWorld, buildAgent } from './agent-world.ts';

const root = resolve(import.meta.dirname, '../..');
const kills = chosenKills();
const idOf = (number: number) => `01900000-0000-7000-8000-0000000${(0xb0000 + number).toString(16)}`;
const cpu: ResourceClaim = { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } };
const gpu: ResourceClaim = { ...cpu, deviceType: 'nvidia.com/gpu' };
/** An engine of others, started by a template. */
const foreign = {
  kind: 'process',
  command: [
    process.execPath,
    join(root, 'apps/agent/test/foreign-engine.mjs'),
    '--model',
    '{servedModel}',
    '--port',
    '{port}',
  ],
  stopGraceSeconds: 1,
};

describe('engines of an agent', () => {
  let world: AgentWorld;
  beforeAll(() => buildAgent(), 120_000);
  afterEach(() => world.stop(), 60_000);

  async function open(): Promise<(number: number, change?: Partial<DesiredReplica>) => DesiredReplica> {
    world = new AgentWorld();
    await world.start();
    const version = world.publishVersion(1, 'weights of version one');
    world.want({ versions: [version], replicas: [] });
    return (number, change = {}) => ({
      replicaId: idOf(number),
      deploymentId: '01900000-0000-7000-8000-00000000d001',
      deploymentName: 'tiny',
      servedModel: 'tiny',
      versionDigest: version.digest,
      claim: cpu,
      epoch: 1,
      draining: false,
      ...change,
    });
  }
  const engines = async () =>
    (await processesWith('ATOLL_INSTANCE_DIR'))!.filter(({ value }) => value.startsWith(`${world.stateFolder}/`));
  const folders = async () => {
    const named = await readdir(join(world.stateFolder, 'named-engines/other')).catch(() => []);
    return [...(await readdir(join(world.stateFolder, 'engines'))), ...named];
  };
  const reported = (number: number) => world.lastReport?.replicas.find(({ replicaId }) => replicaId === idOf(number));

  it(`R10: ${kills.rounds} random kills during launches leave exactly the wanted engines (seed ${kills.seed})`, async () => {
    const replicaOf = await open();
    const settings = { engines: { other: foreign } };
    for (let round = 1; round <= kills.rounds; round += 1) {
      // Each round wants two new engines of its own kind and two of others, one of which has a child that is hard to end.
      world.want({
        replicas: [0, 1, 2, 3].map((which) =>
          replicaOf(10 * round + which, {
            ...(which < 2 ? {} : { engine: 'other' }),
            servedModel: which === 3 ? 'leaves-child' : 'tiny',
          }),
        ),
      });
      world.log = '';
      await world.startAgent(settings);
      if (round % 2 === 0)
        await until(
          () => world.log.includes('engine starts'),
          () => `engines start; log: ${world.log.slice(-3_000)}`,
          30_000,
        );
      await kills.soon(round % 2 === 0 ? 600 : 1_500, async () => void (await world.killAgent('SIGKILL')));
    }
    world.reports.length = 0;
    await world.startAgent(settings);
    const wanted = [0, 1, 2, 3].map((which) => 10 * kills.rounds + which);
    for (const number of wanted) await world.waitForReplica(idOf(number), 'Ready');
    // Four leaders, and the child of one of them.
    await until(async () => (await engines()).length === 5, 'no engine is left but the wanted ones', 30_000);
    const leaders = await Promise.all(
      (await engines()).map(async ({ pid }) => ((await processGroupOf(pid)) === pid ? pid : null)),
    );
    const pids = wanted.map((number) => reported(number)!.processId!);
    expect(leaders.filter((pid) => pid !== null)).toEqual(expect.arrayContaining(pids));
    await until(async () => (await folders()).length === 4, 'no folder is left but theirs', 30_000);
    await world.killAgent('SIGTERM');
    await until(async () => (await engines()).length === 0, 'an agent that stops in order leaves none', 30_000);
    expect(await folders()).toEqual([]);
  }, 900_000);

  it('T01, T06, A12: each gets devices of its own; one that finds none says who has them; a lost one is told once', async () => {
    const replicaOf = await open();
    const tool = async (...indexes: number[]) => {
      const path = join(world.stateFolder, '../nvidia-smi');
      const lines = indexes.map((index) => `${index}, GPU-${index}, 00000000:3${index}:00.0, 81559, 7`);
      await writeFile(path, `#!/bin/sh\n[ "$1" = topo ] && exit 9\ncat <<'END'\n${lines.join('\n')}\nEND\n`);
      await chmod(path, 0o755);
    };
    await tool(0, 1);
    world.environment = { PATH: `${join(world.stateFolder, '..')}:/usr/bin:/bin` };
    const seen = join(world.stateFolder, '../seen-{devices}.json');
    world.want({
      replicas: [1, 2, 3].map((number) =>
        replicaOf(number, { claim: gpu, engine: 'other', nodes: { required: { site: 'shop' }, preferred: {} } }),
      ),
    });
    await world.startAgent({
      engines: { other: { ...foreign, command: [...foreign.command, '--seen', seen] } },
      inventory: { nodeName: 'edge-1', labels: { site: 'shop' }, intervalSeconds: 5 },
    });
    await world.waitForReplica(idOf(1), 'Ready');
    await world.waitForReplica(idOf(2), 'Ready');
    const devicesOf = (number: number) => reported(number)?.devices;
    expect([devicesOf(1), devicesOf(2), reported(1)!.engine]).toEqual([
      [{ node: 'edge-1', deviceIds: ['gpu-0'] }],
      [{ node: 'edge-1', deviceIds: ['gpu-1'] }],
      'other',
    ]);
    expect(reported(3)).toMatchObject({
      phase: 'Pending',
      reason: `waits for 1 nvidia.com/gpu: 0 of 2 are free, held by replica ${idOf(1)}, replica ${idOf(2)}`,
    });
    const environment = JSON.parse(await readFile(seen.replace('{devices}', '1'), 'utf8')).environment;
    expect(environment).toMatchObject({ CUDA_VISIBLE_DEVICES: '1', MLU_VISIBLE_DEVICES: '' });

    // A restart of the agent keeps who has what.
    const before = reported(2)!.processId;
    await world.killAgent('SIGKILL');
    world.reports.length = 0;
    await world.startAgent({
      engines: { other: { ...foreign, command: [...foreign.command, '--seen', seen] } },
      inventory: { nodeName: 'edge-1', labels: { site: 'shop' }, intervalSeconds: 5 },
    });
    await world.waitForReplica(idOf(2), 'Ready');
    expect([reported(2)!.processId, devicesOf(2)]).toEqual([before, [{ node: 'edge-1', deviceIds: ['gpu-1'] }]]);

    // GPU 1 falls off the bus.
    await tool(0);
    const lost = () => world.events.filter(({ kind }) => kind === 'device-lost');
    await until(() => lost().length > 0, 'the device is told as lost', 30_000);
    await until(() => reported(2)?.phase === 'Failed', 'its holder has failed', 30_000);
    expect(reported(2)!.reason).toBe('device gpu-1 is not there any more');
    expect(world.lastReport!.nodes[0]!.devices.filter(({ deviceType }) => deviceType === gpu.deviceType)).toHaveLength(
      1,
    );
    expect((await world.waitForReplica(idOf(1), 'Ready')).restarts).toBe(0);
    await tool(0, 1);
    await until(
      () => reported(2)?.phase === 'Ready' || reported(3)?.phase === 'Ready',
      'it is back, and taken',
      30_000,
    );
    expect(new Set(lost().map(({ id }) => id)).size).toBe(1);
    expect(lost()[0]).toMatchObject({
      node: 'edge-1',
      deviceId: 'gpu-1',
      deviceType: gpu.deviceType,
      holders: [idOf(2)],
    });
  }, 120_000);

  it('R4: more replicas while load asks for them, by the real engine; adopted with the centre gone, ended with the load', async () => {
    world = new AgentWorld();
    await world.start();
    const model = await readFile(join(root, 'test/fixtures/models/tiny-llm/v1/model.gguf'));
    const version = world.publishVersion(1, model);
    const placed: DesiredReplica = {
      replicaId: idOf(1),
      deploymentId: '01900000-0000-7000-8000-00000000d001',
      deploymentName: 'tiny',
      servedModel: 'tiny',
      versionDigest: version.digest,
      claim: cpu,
      epoch: 1,
      draining: false,
      localScaling: { replicasMax: 2, rule: 'target-tracking', targetInflight: 0.2 },
    };
    world.want({ versions: [version], replicas: [placed] });
    const settings = {
      engine: { modulesDirectory: join(root, '.cache/engine/node_modules') },
      localScaling: { windowSeconds: 2, outCooldownSeconds: 1, inAfterSeconds: 4 },
      inventory: {
        nodes: [
          {
            name: 'edge-1',
            devices: [0, 1].map((index) => ({ id: `cpu-${index}`, deviceType: 'cpu', memoryBytes: 1 })),
          },
        ],
      },
    };
    await world.startAgent(settings);
    await world.waitForReplica(idOf(1), 'Ready');
    let isBusy = true;
    const load = (async () => {
      while (isBusy)
        await world.ask(idOf(1), { stream: true, max_tokens: 200, messages: [{ role: 'user', content: 'Hi' }] });
    })();
    const local = () => world.lastReport?.replicas.find(({ isLocal }) => isLocal === true);
    await until(
      () => local()?.phase === 'Ready',
      () => `a local replica is ready; log: ${world.log.slice(-3_000)}`,
      40_000,
    );
    isBusy = false;
    await load;
    const before = local()!;

    await world.killAgent('SIGKILL');
    await world.killNats();
    world.log = '';
    await world.startAgent(settings);
    await until(() => world.log.includes('agent started'), 'it is up without the centre', 30_000);
    const adopted = world.log.split('\n').filter((line) => line.includes('engine adopted'));
    expect(adopted.map((line) => JSON.parse(line).pid).sort()).toEqual(
      world.lastReport!.replicas.map(({ processId }) => processId!).sort(),
    );
    expect(adopted.join()).toContain(before.replicaId);
    await until(() => world.log.includes('load does not ask for it'), 'it ends without the centre', 40_000);
    await until(async () => (await engines()).length === 1, 'its engine is gone', 30_000);
    await world.restartNats();
    world.reports.length = 0;
    expect(await world.waitForReplica(idOf(1), 'Ready')).toMatchObject({ restarts: 0 });
    await until(() => local() === undefined, 'the report says so');
  }, 180_000);
});
