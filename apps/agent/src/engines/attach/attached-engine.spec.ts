// The adapter against a real HTTP server that plays back what real engines answered.
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { exchangesOf, playEngine, type RecordedEngine } from '../../../test/recorded-engine.ts';
import { type TemporaryFolder, temporaryFolder } from '../../../test/temporary-folder.ts';
import type { EngineInstance, EngineSpec } from '../engine-adapter.ts';
import { AttachedEngine, type AttachedEngineOptions } from './attached-engine.ts';
import { attachedEngineSchema } from './configuration.ts';

const log = pino({ level: 'silent' });

describe('an attached engine', () => {
  let folder: TemporaryFolder;
  let engine: RecordedEngine;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(async () => {
    await engine?.close();
    await folder.remove();
  });

  const attach = (configuration: object = {}, change: Partial<AttachedEngineOptions> = {}) =>
    new AttachedEngine({
      stateFolder: folder.path,
      name: 'gpu',
      configuration: attachedEngineSchema.parse({ kind: 'attach', url: engine.url, ...configuration }),
      log,
      ...change,
    });
  const specOf = (change: Partial<EngineSpec> = {}): EngineSpec => ({
    replicaId: 'r1',
    deploymentId: 'd1',
    versionDigest: 'v1',
    servedModel: 'tiny-llm',
    modelPath: '/versions/v1',
    maxConcurrent: 1,
    maxQueue: 1,
    engine: 'gpu',
    ...change,
  });
  async function startReady(adapter: AttachedEngine, change: Partial<EngineSpec> = {}): Promise<EngineInstance> {
    const instance = await adapter.start(specOf(change), 1);
    expect((await adapter.probe(instance)).state).toBe('ready');
    return instance;
  }
  const play = async (name: string) => {
    engine = await playEngine(exchangesOf(name));
  };

  it.each([
    ['llamacpp', {}, undefined, { running: 0, waiting: 0 }],
    ['vllm', { dialect: 'vllm' }, 'Qwen/Qwen3-0.6B', { running: 24, waiting: 72, cacheUsage: 0.3412 }],
    ['sglang', {}, 'Qwen/Qwen3-Next-80B-A3B-Thinking', { running: 162, waiting: 2826, cacheUsage: 0.28 }],
    ['ollama', { model: 'llama3.2:3b-instruct-fp16' }, 'llama3.2:3b-instruct-fp16', null],
  ])('%s is found ready, by its own name for the model, and says its load', async (name, more, upstreamModel, load) => {
    await play(name);
    const adapter = attach({ dialect: name, ...more });
    const instance = await adapter.start(specOf(), 1);
    expect(await adapter.probe(instance)).toEqual({
      state: 'ready',
      url: engine.url,
      token: null,
      dialect: name,
      connectTo: [{ address: '127.0.0.1', family: 4 }],
      fieldsOfModels: new Map(),
      ...(upstreamModel === undefined ? {} : { upstreamModel }),
    });
    expect(await adapter.load(instance)).toEqual(load);
    expect(engine.played.filter((each) => each.startsWith('?'))).toEqual([]);
    await adapter.stop(instance);
  });

  it('reads no files and takes no devices of ours, unless it says that it reads files', async () => {
    await play('vllm');
    expect([attach().needsFiles(), attach({ needsFiles: true }).needsFiles(), attach().bindsDevices()]).toEqual([
      false,
      true,
      false,
    ]);
  });

  it('may be given with /v1 at the end of its url', async () => {
    await play('llamacpp');
    const adapter = attach({ url: `${engine.url}/v1/`, dialect: 'llamacpp' });
    await startReady(adapter);
    expect(engine.played).toEqual(['health', 'models']);
  });

  it.each([
    'http://me:secret@gpu:8000',
    'http://gpu:8000/v1?key=secret',
    'http://gpu:8000/#secret',
    'file:///gpu',
    'gpu',
  ])('S8: its url stands in logs and reports, and so holds no secret: %s is refused', (url) => {
    expect(attachedEngineSchema.safeParse({ kind: 'attach', url }).success).toBe(false);
    const metrics = attachedEngineSchema.safeParse({ kind: 'attach', url: 'http://gpu:8000', metricsUrl: url });
    expect([metrics.success, JSON.stringify(metrics.error?.issues).includes('secret')]).toEqual([false, false]);
  });

  it('R5: is adopted by the next agent as it was bound, with its proof; what is no whole note is removed', async () => {
    await play('llamacpp');
    const earlier = attach({ dialect: 'llamacpp' });
    const instance = await startReady(earlier);
    await earlier.noteProven(instance);
    const notes = join(folder.path, 'attached/gpu');
    await writeFile(join(notes, 'torn.json'), '{"instanceId":"torn"');
    const later = attach({ dialect: 'llamacpp' });
    expect(await later.list()).toEqual([{ ...instance, isProven: true }]);
    expect((await later.probe(instance)).state).toBe('ready');
    await later.stop(instance);
    expect(await readdir(notes)).toEqual([]);
    await earlier.stop(instance);
  });

  it('is not adopted when the configuration means another engine by its name now', async () => {
    await play('llamacpp');
    const instance = await startReady(attach({ dialect: 'llamacpp' }));
    expect(await attach({ dialect: 'llamacpp', model: 'another' }).list()).toEqual([]);
    expect(await attach({ dialect: 'llamacpp' }).list()).toEqual([]);
    expect(instance.engine).toBe('gpu');
  });

  it('that is not there is waited for, and gone once it was', async () => {
    await play('llamacpp');
    const { url } = engine;
    const adapter = attach({ dialect: 'llamacpp' });
    const instance = await startReady(adapter);
    await engine.close();
    const reason = `gpu is not there: nothing listens at ${url} (connection refused)`;
    expect(await adapter.probe(instance)).toEqual({ state: 'gone', reason });
    await adapter.stop(instance);
    const next = await adapter.start(specOf(), 2);
    expect(await adapter.probe(next)).toEqual({ state: 'starting', reason });
    await adapter.stop(next);
  });

  it('that takes connections and never answers is silent within its time', async () => {
    await play('llamacpp');
    const deaf = createServer((socket) => socket.on('error', () => undefined).resume());
    await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(deaf.address() as AddressInfo).port}`;
    const adapter = attach({ url, timeouts: { probeSeconds: 1 } });
    const instance = await adapter.start(specOf(), 1);
    expect(await adapter.probe(instance)).toEqual({
      state: 'starting',
      reason: `gpu does not answer at ${url}: no answer in 1000 ms`,
    });
    await adapter.stop(instance);
    await new Promise((resolve) => deaf.close(resolve));
  });

  it('S6: a redirect is told and not followed', async () => {
    await play('vllm');
    engine.instead.set('/v1/models', { status: 307, headers: { location: 'http://169.254.169.254/' } });
    const adapter = attach();
    const instance = await adapter.start(specOf(), 1);
    expect(await adapter.probe(instance)).toMatchObject({
      state: 'gone',
      reason: expect.stringContaining('redirects to http://169.254.169.254/, which is not followed'),
    });
    await adapter.stop(instance);
  });

  it('S6: is connected to at the address that was checked, whatever its name stands for later', async () => {
    await play('llamacpp');
    const answers = [['127.0.0.1'], ['127.0.0.2']];
    const resolve = () => Promise.resolve((answers.shift() ?? []).map((address) => ({ address, family: 4 })));
    const url = engine.url.replace('127.0.0.1', 'gpu-1.internal');
    const adapter = attach({ url, dialect: 'llamacpp' }, { resolve });
    const instance = await startReady(adapter);
    expect(await adapter.probe(instance)).toMatchObject({ url, connectTo: [{ address: '127.0.0.1' }] });
    expect(answers).toHaveLength(1);
    await adapter.stop(instance);
  });

  it('that listens at one of its name’s addresses only is found there', async () => {
    await play('llamacpp');
    const resolve = () =>
      Promise.resolve([
        { address: '::1', family: 6 },
        { address: '127.0.0.1', family: 4 },
      ]);
    const adapter = attach({ url: engine.url.replace('127.0.0.1', 'gpu-1'), dialect: 'llamacpp' }, { resolve });
    await adapter.stop(await startReady(adapter));
  });

  it('S6: a name that stands for a link-local address starts nothing', async () => {
    await play('llamacpp');
    const resolve = () => Promise.resolve([{ address: '169.254.169.254', family: 4 }]);
    const adapter = attach({ url: 'http://gpu-1' }, { resolve });
    await expect(adapter.start(specOf(), 1)).rejects.toThrow('gpu-1 is 169.254.169.254, where no engine may be asked');
    expect(await adapter.list()).toEqual([]);
  });

  it('a name that is not known yet is waited for', async () => {
    await play('llamacpp');
    const answers: (readonly { address: string; family: number }[])[] = [[], [], [{ address: '127.0.0.1', family: 4 }]];
    const resolve = () => Promise.resolve(answers.shift() ?? []);
    const adapter = attach({ url: engine.url.replace('127.0.0.1', 'gpu-1'), dialect: 'llamacpp' }, { resolve });
    const instance = await adapter.start(specOf(), 1);
    expect(await adapter.probe(instance)).toEqual({ state: 'starting', reason: 'gpu-1 has no address' });
    expect((await adapter.probe(instance)).state).toBe('ready');
    await adapter.stop(instance);
  });

  describe('its token', () => {
    const tokenFile = async (text: string, mode: number) => {
      const path = join(folder.path, 'token');
      await writeFile(path, text);
      await chmod(path, mode);
      return path;
    };

    it('is sent, and handed on for requests', async () => {
      await play('llamacpp');
      const adapter = attach({ dialect: 'llamacpp', tokenFile: await tokenFile('s3cret\n', 0o600) });
      const instance = await startReady(adapter);
      expect(await adapter.probe(instance)).toMatchObject({ token: 's3cret' });
      expect(new Set(engine.authorizations)).toEqual(new Set(['Bearer s3cret']));
      await adapter.stop(instance);
    });

    it.each([
      ['s3cret', 0o644, /may be used by others on this machine \(mode 0644\): chmod 600 it/],
      ['two words', 0o600, /does not hold a token/],
      ['', 0o600, /does not hold a token/],
    ])('%j with mode %s is refused in words', async (text, mode, words) => {
      await play('llamacpp');
      const adapter = attach({ tokenFile: await tokenFile(text, mode) });
      await expect(adapter.start(specOf(), 1)).rejects.toThrow(words);
    });

    it('that is not there is said', async () => {
      await play('llamacpp');
      const adapter = attach({ tokenFile: join(folder.path, 'nowhere') });
      await expect(adapter.start(specOf(), 1)).rejects.toThrow(/cannot be read from .*nowhere: it is not there/);
    });
  });

  it('a disk that takes no note binds nothing', async () => {
    await play('llamacpp');
    await mkdir(join(folder.path, 'attached'));
    await writeFile(join(folder.path, 'attached/gpu'), 'a file where the folder should be');
    await expect(attach().start(specOf(), 1)).rejects.toThrow(/cannot be bound/);
  });

  it('whose metrics are on another port is asked there', async () => {
    await play('vllm');
    const mindie = await playEngine([
      {
        name: 'metrics',
        request: { method: 'GET', path: '/metrics' },
        response: { status: 200, contentType: 'text/plain', body: 'num_requests_running{model_name="x"} 6\n' },
      },
    ]);
    const adapter = attach({ dialect: 'mindie', metricsUrl: mindie.url });
    const instance = await startReady(adapter);
    expect(await adapter.load(instance)).toEqual({ running: 6 });
    await adapter.stop(instance);
    await mindie.close();
  });

  it('E07: that shows no metrics has no load, which is not a load of zero', async () => {
    await play('llamacpp');
    engine.instead.set('/metrics', { status: 501, body: '{"error":{"message":"Start it with `--metrics`"}}' });
    const adapter = attach({ dialect: 'llamacpp' });
    const instance = await startReady(adapter);
    expect(await adapter.load(instance)).toBeNull();
    await adapter.stop(instance);
  });

  describe('its adapters', () => {
    const sql = { name: 'sql', versionDigest: 'a1', path: '/models/sql-v1' };
    const poems = { name: 'poems', versionDigest: 'b1', path: '/models/none' };

    it.each([
      ['vllm', { model: 'sql' }],
      ['sglang', { model: 'Qwen/Qwen3-Next-80B-A3B-Thinking', lora_path: 'sql' }],
    ])('%s: are loaded, selected by their fields, and unloaded with the replica', async (name, fields) => {
      await play(name);
      const adapter = attach({ dialect: name });
      const instance = await startReady(adapter);
      await adapter.setAdapters(instance, [sql]);
      expect(await adapter.probe(instance)).toMatchObject({ fieldsOfModels: new Map([['sql', fields]]) });
      await adapter.setAdapters(instance, [sql]);
      const calls = () => engine.played.filter((each) => each.includes('adapter'));
      expect(calls()).toEqual(['load adapter']);
      await adapter.stop(instance);
      expect(calls()).toEqual(['load adapter', 'unload adapter']);
    });

    it.each([
      ['vllm', 'Adapter poems cannot be loaded: Loading lora poems failed: No adapter found for /models/none'],
      ['sglang', 'Adapter poems cannot be loaded: Failed to load LoRA adapter poems: /models/none does not exist'],
    ])('%s: one that cannot be loaded is said in its words', async (name, words) => {
      await play(name);
      const adapter = attach({ dialect: name });
      const instance = await startReady(adapter);
      await expect(adapter.setAdapters(instance, [poems])).rejects.toThrow(words);
      await adapter.stop(instance);
    });

    it.each(['vllm', 'sglang'])('%s: one that cannot be loaded leaves no doubt which others are', async (name) => {
      await play(name);
      const adapter = attach({ dialect: name });
      const instance = await startReady(adapter);
      const calls = () => engine.played.filter((each) => each.includes('adapter')).map((each) => each.split(' ')[0]);
      await adapter.setAdapters(instance, [sql]);
      await expect(adapter.setAdapters(instance, [poems])).rejects.toThrow(/cannot be loaded/);
      expect(calls()).toEqual(['load', 'unload', 'load']);
      await adapter.setAdapters(instance, [sql]);
      expect(calls().slice(3)).toEqual(['load']);
      await adapter.setAdapters(instance, []);
      await expect(adapter.setAdapters(instance, [sql, poems])).rejects.toThrow(/cannot be loaded/);
      await adapter.stop(instance);
      expect(calls().slice(4)).toEqual(['unload', 'load', 'load', 'unload']);
    });

    it('that another replica of the same engine uses too are neither loaded twice nor taken from it', async () => {
      await play('vllm');
      const adapter = attach({ dialect: 'vllm' });
      const first = await startReady(adapter);
      const second = await startReady(adapter, { replicaId: 'r2' });
      await Promise.all([adapter.setAdapters(first, [sql]), adapter.setAdapters(second, [sql])]);
      await adapter.stop(first);
      const calls = () => engine.played.filter((each) => each.includes('adapter'));
      expect(calls()).toEqual(['load adapter']);
      expect(await adapter.probe(second)).toMatchObject({ fieldsOfModels: new Map([['sql', { model: 'sql' }]]) });
      await adapter.stop(second);
      expect(calls()).toEqual(['load adapter', 'unload adapter']);
    });

    it('an engine that does not allow it says what to do', async () => {
      await play('vllm');
      engine.instead.set('/v1/load_lora_adapter', { status: 404, body: '{"detail":"Not Found"}' });
      const adapter = attach({ dialect: 'vllm' });
      const instance = await startReady(adapter);
      await expect(adapter.setAdapters(instance, [sql])).rejects.toThrow(/must be started so that it allows it/);
      await adapter.stop(instance);
    });

    it('llama.cpp: of those that it was started with', async () => {
      await play('llamacpp');
      const listed = JSON.stringify([
        { id: 0, path: '/loras/other.gguf', scale: 1 },
        { id: 1, path: '/models/sql-v1/adapter.gguf', scale: 1 },
      ]);
      engine.instead.set('/lora-adapters', { status: 200, body: listed });
      const adapter = attach({ dialect: 'llamacpp' });
      const instance = await startReady(adapter);
      await adapter.setAdapters(instance, [sql]);
      expect(await adapter.probe(instance)).toMatchObject({
        fieldsOfModels: new Map([['sql', { lora: [{ id: 1, scale: 1 }] }]]),
      });
      await expect(adapter.setAdapters(instance, [poems])).rejects.toThrow(
        'Adapter poems cannot be loaded: llama.cpp loads adapters only when it starts; start it with --lora /models/none.',
      );
      await adapter.stop(instance);
    });

    it.each([
      ['of another version of the same name', '/models/a1/adapter.gguf', '/models/b2/adapter.gguf', false],
      ['in a folder that is mounted elsewhere', '/models/a1/adapter.gguf', '/mnt/a1/adapter.gguf', true],
      ['of a version’s folder that is mounted elsewhere', '/models/a1', '/mnt/a1/adapter.gguf', true],
      ['in no folder', '/adapter.gguf', 'adapter.gguf', false],
    ])('llama.cpp: a file %s', async (_name, path, listed, isIt) => {
      await play('llamacpp');
      engine.instead.set('/lora-adapters', { status: 200, body: JSON.stringify([{ id: 0, path: listed, scale: 0 }]) });
      const adapter = attach({ dialect: 'llamacpp' });
      const instance = await startReady(adapter);
      const set = adapter.setAdapters(instance, [{ ...sql, path }]).then(
        () => true,
        () => false,
      );
      expect(await set).toBe(isIt);
      await adapter.stop(instance);
    });

    it('ollama: none, which is said', async () => {
      await play('ollama');
      const adapter = attach({ dialect: 'ollama', model: 'llama3.2:3b-instruct-fp16' });
      const instance = await startReady(adapter);
      await expect(adapter.setAdapters(instance, [sql])).rejects.toThrow(
        'Adapter sql cannot be loaded: gpu speaks ollama, which loads none at run time.',
      );
      await expect(adapter.setAdapters(instance, [])).resolves.toBeUndefined();
      await adapter.stop(instance);
    });
  });
});
