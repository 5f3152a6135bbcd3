import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { type TemporaryFolder, temporaryFolder, until } from '../../test/temporary-folder.ts';
import { silentMetrics } from '../metrics.ts';
import { processStartTicks } from '../state/processes.ts';
import type { EngineInstance, EngineSpec } from './engine-adapter.ts';
import { ProcessEngine, type ProcessEngineOptions } from './process-engine.ts';

const child = resolve(import.meta.dirname, '../../test/engine-child.mjs');
const log = pino({ level: 'silent' });

describe('R10: engines as child processes', () => {
  let folder: TemporaryFolder;
  let orphansEnded: number;
  const strays: number[] = [];
  beforeEach(async () => {
    folder = await temporaryFolder();
    orphansEnded = 0;
    await writeFile(join(folder.path, 'model.gguf'), 'weights');
  });
  afterEach(async () => {
    for (const instance of await open().list()) await open().stop(instance);
    for (const pid of strays.splice(0)) if (await isAlive(pid)) process.kill(pid, 'SIGKILL');
    await folder.remove();
  });

  const isAlive = async (pid: number) => (await processStartTicks(pid)) !== null;
  /** A killed process loses its environment, by which it is known, some milliseconds before its number. */
  const isGone = (pid: number) => until(async () => !(await isAlive(pid)), 'the process is gone');
  /** Each call is another agent over the same folder. */
  const open = (change: Partial<ProcessEngineOptions> = {}) =>
    new ProcessEngine({
      stateFolder: folder.path,
      command: [process.execPath, child],
      environment: { HOME: '/home/engine', ATOLL_JOIN_TOKEN: 'secret' },
      stopTimeoutMs: 500,
      log,
      metrics: {
        ...silentMetrics,
        orphanEnded: () => {
          orphansEnded += 1;
        },
      },
      ...change,
    });
  const specOf = (change: Partial<EngineSpec> = {}): EngineSpec => ({
    replicaId: 'r1',
    deploymentId: 'd1',
    versionDigest: 'v1',
    servedModel: 'tiny',
    modelPath: join(folder.path, 'model.gguf'),
    maxConcurrent: 1,
    maxQueue: 1,
    ...change,
  });
  async function startReady(engine: ProcessEngine, change: Partial<EngineSpec> = {}): Promise<EngineInstance> {
    const instance = await engine.start(specOf(change), 1);
    await until(async () => (await engine.probe(instance)).state === 'ready', 'the engine is ready');
    return instance;
  }
  const folderOf = (instance: EngineInstance) => join(folder.path, 'engines', instance.instanceId);

  it('start, answer as themselves, and leave nothing when they are stopped', async () => {
    const engine = open();
    const instance = await startReady(engine);
    expect(await engine.probe(instance)).toMatchObject({ state: 'ready', token: expect.stringMatching(/^[\w-]{43}$/) });
    await engine.stop(instance);
    expect([await isAlive(instance.processId!), await readdir(join(folder.path, 'engines'))]).toEqual([false, []]);
  });

  it('get none of our environment but what they need', async () => {
    const instance = await startReady(open());
    const environment = await readFile(`/proc/${instance.processId!}/environ`, 'utf8');
    expect(environment).toContain('HOME=/home/engine');
    expect(environment).not.toContain('secret');
  });

  it('are told to leave the environment alone by which they are known, whatever name they give themselves', async () => {
    const { processId } = await startReady(open());
    expect((await readFile(`/proc/${processId!}/environ`, 'utf8')).split('\0')).toContain('SPT_NOENV=1');
  });

  it('see the devices that they were given, and no others; of cpu no accelerator; without any, what the agent sees', async () => {
    const claim = { deviceType: 'nvidia.com/gpu', count: 2, schedulingPolicy: { topologyScope: 'node' } } as const;
    const devices = [{ node: 'here', deviceIds: ['gpu-2', 'gpu-3'] }];
    const bound = await startReady(open(), { claim, devices });
    const free = await startReady(open(), { claim, replicaId: 'r2' });
    const cpu = await startReady(open(), { claim: { ...claim, deviceType: 'cpu' }, replicaId: 'r3' });
    const environmentOf = async ({ processId }: EngineInstance) =>
      (await readFile(`/proc/${processId!}/environ`, 'utf8')).split('\0').filter((each) => /VISIBLE|ORDER/.test(each));
    expect((await environmentOf(bound)).sort()).toEqual([
      'ASCEND_RT_VISIBLE_DEVICES=',
      'CUDA_DEVICE_ORDER=PCI_BUS_ID',
      'CUDA_VISIBLE_DEVICES=2,3',
      'MLU_VISIBLE_DEVICES=',
    ]);
    expect((await environmentOf(cpu)).sort()).toEqual([
      'ASCEND_RT_VISIBLE_DEVICES=',
      'CUDA_VISIBLE_DEVICES=',
      'MLU_VISIBLE_DEVICES=',
    ]);
    expect(await environmentOf(free)).toEqual([]);
    expect((await open().list()).find(({ instanceId }) => instanceId === bound.instanceId)).toEqual(bound);
  });

  it('that end tell why, with their last words', async () => {
    const engine = open();
    const instance = await engine.start(specOf({ servedModel: 'dies' }), 1);
    const gone = await until(async () => {
      const state = await engine.probe(instance);
      return state.state === 'gone' ? state : null;
    }, 'it is gone');
    expect(gone.reason).toBe('The engine ended with code 7; its last words: out of memory, said the engine');
    await engine.stop(instance);
  });

  it('are adopted by the next agent: same process, same instance, same spec', async () => {
    const instance = await startReady(open());
    expect(await open().list()).toEqual([instance]);
    expect(orphansEnded).toBe(0);
  });

  it('R5: are known as proven by the next agent once they have generated', async () => {
    const engine = open();
    const instance = await startReady(engine);
    expect(instance.isProven).toBe(false);
    await engine.noteProven(instance);
    expect(await open().list()).toEqual([{ ...instance, isProven: true }]);
    await engine.stop(instance);
    await expect(engine.noteProven(instance)).resolves.toBeUndefined();
  });

  it('that wrote over their environment are adopted, and ended, by their start', async () => {
    // What setproctitle does to /proc/<pid>/environ: here it never had the variable.
    const command = ['/usr/bin/env', '-u', 'ATOLL_INSTANCE_DIR', 'sleep', '60'];
    const instance = await open({ command, environment: { PATH: '/usr/bin:/bin' } }).start(specOf(), 1);
    const environment = async () => readFile(`/proc/${instance.processId!}/environ`, 'utf8');
    await until(async () => !(await environment()).includes('ATOLL_INSTANCE_DIR'), 'it is known by nothing of ours');
    expect(await open().list()).toEqual([instance]);
    await rm(join(folderOf(instance), 'spec.json'));
    expect(await open().list()).toEqual([]);
    expect(await isGone(instance.processId!)).toBe(true);
  });

  it('R9: that are too busy to answer are adopted too, for their environment says who they are', async () => {
    const instance = await startReady(open());
    process.kill(instance.processId!, 'SIGSTOP');
    const found = await open().list();
    process.kill(instance.processId!, 'SIGCONT');
    expect([found, orphansEnded]).toEqual([[instance], 0]);
  });

  it('that still load are adopted too', async () => {
    const instance = await open().start(specOf({ servedModel: 'never-ready' }), 1);
    expect(await open().list()).toEqual([instance]);
  });

  it('are found by the id that they wrote themselves, when the agent died before it noted it', async () => {
    const instance = await startReady(open());
    await rm(join(folderOf(instance), 'process.json'));
    expect(await open().list()).toEqual([instance]);
  });

  it('whose spec is gone are ended', async () => {
    const instance = await startReady(open(), { servedModel: 'ignores-sigterm' });
    await rm(join(folderOf(instance), 'spec.json'));
    expect(await open().list()).toEqual([]);
    expect([await isGone(instance.processId!), orphansEnded]).toEqual([true, 1]);
  });

  it('without any folder are ended: the environment tells whose they are', async () => {
    const instance = await startReady(open(), { servedModel: 'ignores-sigterm' });
    await rm(folderOf(instance), { recursive: true });
    expect(await open().list()).toEqual([]);
    expect(await isGone(instance.processId!)).toBe(true);
  });

  it('that start late, after their spec was taken, end by themselves', async () => {
    const late = join(folder.path, 'engines', 'late');
    await mkdir(late, { recursive: true });
    const stray = spawn(process.execPath, [child], { env: { ATOLL_INSTANCE_DIR: late }, stdio: 'ignore' });
    expect(await once(stray, 'exit')).toEqual([3, null]);
  });

  it('of another agent are left alone, and a reused process id is not taken for an engine', async () => {
    const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    strays.push(stranger.pid!);
    const instance = await startReady(open());
    const engine = open();
    process.kill(instance.processId!, 'SIGKILL');
    await until(async () => !(await isAlive(instance.processId!)), 'the engine is dead');
    await writeFile(join(folderOf(instance), 'process.json'), JSON.stringify({ pid: stranger.pid }));
    expect(await engine.list()).toEqual([]);
    expect(await isAlive(stranger.pid!)).toBe(true);
  });

  it('that ignore SIGTERM are killed after the bound', async () => {
    const engine = open();
    const instance = await startReady(engine, { servedModel: 'ignores-sigterm' });
    await engine.stop(instance);
    expect(await isAlive(instance.processId!)).toBe(false);
  });

  it('are ended also when the disk does not let their spec go', async () => {
    const engine = open();
    const instance = await startReady(engine);
    const spec = join(folderOf(instance), 'spec.json');
    await rm(spec);
    await mkdir(spec);
    await engine.stop(instance);
    expect(await isAlive(instance.processId!)).toBe(false);
  });

  it('that started are no orphans for a disk that is full: they are known and can be stopped', async () => {
    const full = () => Promise.reject(new Error('ENOSPC'));
    const engine = open({ noteProcessId: full });
    const instance = await engine.start(specOf(), 1);
    await engine.stop(instance);
    expect([await isAlive(instance.processId!), await readdir(join(folder.path, 'engines'))]).toEqual([false, []]);
  });

  it('leave a bounded number of logs behind; those of the living stay', async () => {
    const logs = join(folder.path, 'logs');
    await mkdir(logs);
    await startReady(open(), { replicaId: 'living' });
    for (let index = 10; index < 40; index += 1) {
      await writeFile(join(logs, `gone-${index}.log`), 'words');
      await utimes(join(logs, `gone-${index}.log`), index, index);
    }
    await utimes(join(logs, 'living.log'), 1, 1);
    await open().start(specOf({ replicaId: 'new' }), 1);
    const kept = Array.from({ length: 16 }, (_, index) => `gone-${index + 24}.log`);
    expect((await readdir(logs)).sort()).toEqual([...kept, 'living.log', 'new.log']);
  });

  it('whose folder cannot be made say so', async () => {
    await writeFile(join(folder.path, 'engines'), 'no folder');
    await expect(open().start(specOf(), 1)).rejects.toThrow(/cannot be started/);
    await rm(join(folder.path, 'engines'));
  });

  it('that cannot be spawned say so and leave no folder', async () => {
    const engine = new ProcessEngine({
      stateFolder: folder.path,
      command: ['/nowhere'],
      environment: {},
      log,
      metrics: silentMetrics,
    });
    await expect(engine.start(specOf(), 1)).rejects.toThrow(/cannot be started.*ENOENT/);
    expect(await readdir(join(folder.path, 'engines'))).toEqual([]);
  });
});
