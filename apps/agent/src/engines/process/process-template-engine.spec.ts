import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { type TemporaryFolder, temporaryFolder, until } from '../../../test/temporary-folder.ts';
import { silentMetrics } from '../../metrics.ts';
import { processesWith, processStartTicks } from '../../state/processes.ts';
import type { EngineInstance, EngineSpec } from '../engine-adapter.ts';
import { INSTANCE_VARIABLE } from '../engine-processes.ts';
import { createEngines } from '../named-engines.ts';
import { ProcessEngine } from '../process-engine.ts';
import { Replica } from '../replica.ts';
import { type ProcessEngineConfiguration, processEngineSchema } from './configuration.ts';
import { ProcessTemplateEngine } from './process-template-engine.ts';

const child = resolve(import.meta.dirname, '../../../test/foreign-engine.mjs');
const log = pino({ level: 'silent' });

describe('engines of others, as processes by a command template', () => {
  let folder: TemporaryFolder;
  let orphansEnded: number;
  const replicas: Replica[] = [];
  beforeEach(async () => {
    folder = await temporaryFolder();
    orphansEnded = 0;
  });
  afterEach(async () => {
    await Promise.all(replicas.splice(0).map((replica) => replica.stop('the test is over', 0)));
    for (const instance of await open().list()) await open().stop(instance);
    expect(await left()).toEqual([]);
    await folder.remove();
  });

  const left = async () => {
    const ours = (await processesWith(INSTANCE_VARIABLE))!.filter(({ value }) => value.startsWith(`${folder.path}/`));
    return ours.map(({ pid }) => pid);
  };
  const isAlive = async (pid: number) => (await processStartTicks(pid)) !== null;
  const configurationOf = (change: object = {}): ProcessEngineConfiguration =>
    processEngineSchema.parse({
      kind: 'process',
      command: [process.execPath, child, '--model', '{servedModel}', '--port', '{port}'],
      stopGraceSeconds: 1,
      ...change,
    });
  const context = () => ({
    agent: 'UAGENT',
    stateFolder: folder.path,
    environment: { HOME: folder.path, ATOLL_JOIN_TOKEN: 'secret' },
    log,
    metrics: {
      ...silentMetrics,
      orphanEnded: () => {
        orphansEnded += 1;
      },
    },
  });
  /** Each call is another agent over the same folder. */
  const open = (change: object = {}) =>
    new ProcessTemplateEngine({ ...context(), name: 'other', configuration: configurationOf(change) });
  const specOf = (change: Partial<EngineSpec> = {}): EngineSpec => ({
    replicaId: 'r1',
    deploymentId: 'd1',
    versionDigest: 'v1',
    servedModel: 'tiny',
    modelPath: join(folder.path, 'model'),
    maxConcurrent: 1,
    maxQueue: 1,
    engine: 'other',
    ...change,
  });
  async function startReady(engine: ProcessTemplateEngine, change: Partial<EngineSpec> = {}): Promise<EngineInstance> {
    const instance = await engine.start(specOf(change), 1);
    await until(async () => (await engine.probe(instance)).state === 'ready', 'the engine is ready');
    return instance;
  }
  /** A replica over an engine that behaves as its served model says. */
  function replicaOf(servedModel: string, change: object = {}, startTimeoutMs = 10_000) {
    const failures: string[] = [];
    const replica = new Replica(specOf(), {
      engine: open(change),
      startTimeoutMs,
      onChange: () => undefined,
      onReady: () => undefined,
      onFailed: (_replica, reason) => failures.push(reason),
    });
    replicas.push(replica);
    replica.start(specOf({ servedModel }));
    return { replica, failures };
  }

  it('get what the template says, their devices, and none of our secrets', async () => {
    const seen = join(folder.path, 'seen.json');
    const engine = open({
      command: [
        process.execPath,
        child,
        '--model',
        '{servedModel}',
        '--port',
        '{port}',
        '--seen',
        seen,
        '--rest',
        '{tensorParallel} of {devices}',
      ],
      environment: { ENGINE_KEY: '{token}', JSON: '{{"port": {port}}}', CUDA_DEVICE_ORDER: 'PCI_BUS_ID' },
      dialect: 'vllm',
      upstreamModel: '{servedModel}-v1',
    });
    const instance = await startReady(engine, {
      claim: { deviceType: 'nvidia.com/gpu', count: 2, schedulingPolicy: { topologyScope: 'node' } },
      devices: [{ node: 'here', deviceIds: ['gpu-1', 'gpu-3'] }],
    });
    const state = await engine.probe(instance);
    const told = JSON.parse(await readFile(seen, 'utf8')) as {
      arguments: Record<string, string>;
      environment: Record<string, string>;
    };
    const { port, rest } = told.arguments;
    const {
      ENGINE_KEY,
      JSON: json,
      CUDA_VISIBLE_DEVICES,
      MLU_VISIBLE_DEVICES,
      HOME,
      ATOLL_JOIN_TOKEN,
    } = told.environment;
    expect(state).toEqual({
      state: 'ready',
      url: `http://127.0.0.1:${port}`,
      token: ENGINE_KEY,
      upstreamModel: 'tiny-v1',
      dialect: 'vllm',
      fieldsOfModels: new Map(),
    });
    expect(ENGINE_KEY).toMatch(/^[\w-]{43}$/);
    expect([rest, json, CUDA_VISIBLE_DEVICES, MLU_VISIBLE_DEVICES, HOME, ATOLL_JOIN_TOKEN]).toEqual([
      '2 of 1,3',
      `{"port": ${port}}`,
      '1,3',
      '',
      folder.path,
      undefined,
    ]);
    await engine.stop(instance);
    expect(await readdir(join(folder.path, 'named-engines/other'))).toEqual([]);
  });

  it('become Ready once they have generated; without {token} none is sent', async () => {
    const { replica } = replicaOf('tiny');
    await until(() => replica.phase === 'Ready', 'the replica is ready');
    expect(replica.endpoint).toMatchObject({ token: null, basePath: '' });
  });

  it('each get a port of their own', async () => {
    const engine = open();
    const instances = await Promise.all(['r1', 'r2', 'r3'].map((replicaId) => startReady(engine, { replicaId })));
    const states = await Promise.all(instances.map((instance) => engine.probe(instance)));
    expect(new Set(states.map((state) => state.state === 'ready' && state.url)).size).toBe(3);
  });

  it.each([
    [
      'end at once',
      'dies',
      10_000,
      {},
      'The engine ended with code 7; its last words: CUDA out of memory, said the engine',
    ],
    ['never say that they are ready', 'not-ready', 600, {}, 'The engine was not ready within 0.6 s.'],
    ['take connections and never answer', 'never-answers', 600, {}, 'The engine was not ready within 0.6 s.'],
    [
      'answer garbage',
      'garbage',
      10_000,
      {},
      'The engine answered the probe without a completion: <html>nonsense</html>',
    ],
    [
      'call the model by another name',
      'tiny',
      10_000,
      { upstreamModel: 'x' },
      'The engine answered 404 to the probe: no model x',
    ],
  ])(
    'that %s have failed, with the reason, and are tried again',
    async (_case, model, startTimeoutMs, change, want) => {
      const { replica, failures } = replicaOf(model, change, startTimeoutMs);
      await until(() => replica.phase === 'Failed', 'the replica has failed');
      expect(failures).toEqual([want]);
      await until(async () => (await left()).length === 0, 'nothing runs');
      const startedAtMs = performance.now();
      replica.start(specOf({ servedModel: 'dies' }));
      await until(() => failures.length === 2, 'it has failed again');
      expect([replica.restarts, replica.retryAtMs! - startedAtMs >= 2_000]).toEqual([1, true]);
    },
  );

  it('tell their load and take adapters in their dialect; the next agent knows which they have', async () => {
    const engine = open({ dialect: 'vllm' });
    const instance = await startReady(engine);
    const adapter = { name: 'french', versionDigest: 'a1', path: '/adapters/french' };
    expect(await engine.load(instance)).toEqual({ running: 2, waiting: 5, cacheUsage: 0.25 });
    await engine.setAdapters(instance, [adapter]);
    const state = await engine.probe(instance);
    expect(state.state === 'ready' && [...state.fieldsOfModels!]).toEqual([['french', { model: 'french' }]]);
    const next = open({ dialect: 'vllm' });
    const [adopted] = await next.list();
    await next.setAdapters(adopted!, []);
    await expect(open().setAdapters(adopted!, [adapter])).rejects.toThrow(/cannot be loaded yet: it is not ready/);
    expect((await readFile(join(folder.path, 'calls'), 'utf8')).trim().split('\n')).toEqual([
      '/v1/load_lora_adapter {"lora_name":"french","lora_path":"/adapters/french"}',
      '/v1/unload_lora_adapter {"lora_name":"french"}',
    ]);
  });

  it('that leak are ended at their bound of memory', async () => {
    const { failures } = replicaOf('leaks', { memoryBytesMax: 200 * 1_048_576 });
    await until(() => failures.length > 0, 'the guard has seen it');
    expect(failures[0]).toMatch(/^The engine has taken \d+ MiB of memory; it may have 200 MiB\.$/);
    await until(async () => (await left()).length === 0, 'nothing runs');
  });

  it('that ignore SIGTERM are killed after their grace, with children that left their group', async () => {
    const engine = open();
    const stubborn = await startReady(engine, { servedModel: 'ignores-sigterm' });
    await engine.stop(stubborn);
    const parent = await startReady(engine, { servedModel: 'leaves-child' });
    await until(async () => (await left()).length === 2, 'its child is there');
    await engine.stop(parent);
    expect([await isAlive(stubborn.processId!), await left()]).toEqual([false, []]);
  });

  it('R10: whose leader was killed leave nothing behind when they are dropped', async () => {
    const engine = open();
    const instance = await startReady(engine, { servedModel: 'leaves-child' });
    await until(async () => (await left()).length === 2, 'its child is there');
    process.kill(instance.processId!, 'SIGKILL');
    await until(async () => (await engine.probe(instance)).state === 'gone', 'the leader is gone');
    await engine.stop(instance);
    expect(await left()).toEqual([]);
  });

  it('R5: are adopted by the next agent, proven or not, with their devices', async () => {
    const engine = open();
    const devices = [{ node: 'here', deviceIds: ['gpu-1'] }];
    const instance = await startReady(engine, { devices });
    await engine.noteProven(instance);
    expect(await open().list()).toEqual([{ ...instance, isProven: true, engine: 'other', devices }]);
    expect([await isAlive(instance.processId!), orphansEnded]).toEqual([true, 0]);
  });

  it('of another command than the present one are not adopted', async () => {
    const instance = await startReady(open());
    expect(await open({ environment: { NEW: '1' } }).list()).toEqual([]);
    expect([await isAlive(instance.processId!), orphansEnded]).toEqual([false, 1]);
  });

  it('R10: that the configuration names no more are ended, and those that it names stay', async () => {
    const instance = await startReady(open());
    const standard = new ProcessEngine({ ...context(), command: ['/nowhere'] });
    const named = createEngines({ other: configurationOf() }, standard, context());
    expect([named.names, (await named.list()).map(({ instanceId }) => instanceId)]).toEqual([
      ['other'],
      [instance.instanceId],
    ]);
    expect(await createEngines({}, standard, context()).list()).toEqual([]);
    expect([await isAlive(instance.processId!), await readdir(join(folder.path, 'named-engines'))]).toEqual([
      false,
      [],
    ]);
  });
});
