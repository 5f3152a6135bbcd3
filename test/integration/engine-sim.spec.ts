// The built simulator as a process of its own: started by hand and attached, and started by an agent as a child.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { pino } from 'pino';
import { eventually } from '#testing';
import { AttachedEngine } from '../../apps/agent/src/engines/attach/attached-engine.ts';
import { attachedEngineSchema } from '../../apps/agent/src/engines/attach/configuration.ts';
import type { EngineAdapter, EngineInstance, EngineSpec } from '../../apps/agent/src/engines/engine-adapter.ts';
import { processEngineSchema } from '../../apps/agent/src/engines/process/configuration.ts';
import { ProcessTemplateEngine } from '../../apps/agent/src/engines/process/process-template-engine.ts';
import { ProcessEngine } from '../../apps/agent/src/engines/process-engine.ts';
import { Replica } from '../../apps/agent/src/engines/replica.ts';
import { silentMetrics } from '../../apps/agent/src/metrics.ts';

const MAIN = join(import.meta.dirname, '../../.cache/dist/apps/engine-sim/src/main.js');
const FAST = ['--first-token-ms', '1', '--token-ms', '1', '--prefill-ms-per-token', '0'];
const log = pino({ level: 'silent' });

let folder: string;
const cleanups: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-sim-'));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await rm(folder, { recursive: true, force: true });
});

/** Resolves with its url, which is what it says first. */
async function startByHand(...flags: string[]): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(process.execPath, [MAIN, '--port', '0', ...FAST, ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanups.push(async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await once(child, 'exit');
  });
  for await (const line of createInterface(child.stdout!)) {
    const url = /(http:\S+)\/v1/.exec(line)?.[1];
    if (url !== undefined) return { url, child };
  }
  throw new Error('The simulator said no address.');
}

const specOf = (change: Partial<EngineSpec> = {}): EngineSpec => ({
  ...{ replicaId: 'r1', deploymentId: 'd1', versionDigest: 'digest-of-version-one', servedModel: 'tiny' },
  ...{ modelPath: '/nothing/to/read', maxConcurrent: 2, maxQueue: 4 },
  ...change,
});

function replicaOf(engine: EngineAdapter): Replica {
  const { replicaId, deploymentId, versionDigest } = specOf();
  const replica = new Replica(
    { replicaId, deploymentId, versionDigest },
    { engine, startTimeoutMs: 20_000, onChange: () => {}, onReady: () => {}, onFailed: () => {} },
  );
  cleanups.push(() => replica.stop('the test is over', 0));
  return replica;
}

describe('the simulator, attached', () => {
  const attach = (url: string) =>
    new AttachedEngine({
      ...{ stateFolder: folder, name: 'gpu', log },
      configuration: attachedEngineSchema.parse({ kind: 'attach', url, dialect: 'vllm' }),
    });

  it('is found, generates, tells its load, and is gone when it ends', async () => {
    const { url, child } = await startByHand('--model', 'simulated');
    const engine = attach(url);
    const replica = replicaOf(engine);
    replica.start(specOf({ engine: 'gpu' }));
    await eventually(() => expect(replica.phase).toBe('Ready'));
    expect(replica.endpoint).toMatchObject({ upstreamModel: 'simulated', dialect: 'vllm' });
    expect(await engine.load(replica.instance!)).toEqual({ running: 0, waiting: 0, cacheUsage: 0 });
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    await eventually(() => expect(replica.phase).not.toBe('Ready'));
    expect(replica.reason).toMatch(/^gpu (is not there|does not answer)/);
  });

  it('that comes late is waited for, with the reason', async () => {
    const { url, child } = await startByHand();
    child.kill('SIGKILL');
    await once(child, 'exit');
    const replica = replicaOf(attach(url));
    replica.start(specOf({ engine: 'gpu' }));
    await eventually(() => expect(replica.reason).toContain('nothing listens'));
    expect(replica.phase).toBe('Starting');
    await startByHand('--port', new URL(url).port);
    await eventually(() => expect([replica.phase, replica.reason]).toEqual(['Ready', '']));
  });

  it('carries adapters beside its base', async () => {
    const { url } = await startByHand('--model', 'tiny');
    const engine = attach(url);
    const instance: EngineInstance = await engine.start(specOf({ engine: 'gpu' }), 1);
    cleanups.push(() => engine.stop(instance));
    expect((await engine.probe(instance)).state).toBe('ready');
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    const names = async () => (await client.models.list()).data.map(({ id }) => id);
    await engine.setAdapters(instance, [{ name: 'sql', versionDigest: 'a', path: '/loras/sql-1' }]);
    expect(await names()).toEqual(['tiny', 'sql']);
    // Another version of the one, and one that was never noted, take the place of what is there.
    await fetch(`${url}/v1/load_lora_adapter`, { method: 'POST', body: '{"lora_name":"poems","lora_path":"/old"}' });
    await engine.setAdapters(instance, [
      { name: 'sql', versionDigest: 'b', path: '/loras/sql-2' },
      { name: 'poems', versionDigest: 'c', path: '/loras/poems' },
    ]);
    const { data } = await client.models.list();
    expect(data.map((model) => (model as unknown as { root: string }).root)).toEqual([
      'tiny',
      '/loras/sql-2',
      '/loras/poems',
    ]);
    await engine.setAdapters(instance, []);
    expect(await names()).toEqual(['tiny']);
  });
});

describe('the simulator, started by a command template', () => {
  it('serves under the name and port that the template says, and another version says something else', async () => {
    const command = [process.execPath, MAIN, '--port', '{port}', '--model', '{servedModel}', ...FAST];
    const engine = new ProcessTemplateEngine({
      ...{ stateFolder: folder, environment: {}, log, metrics: silentMetrics, name: 'sim' },
      configuration: processEngineSchema.parse({
        kind: 'process',
        command: [...command, '--model-version', '{versionDigest}'],
        dialect: 'vllm',
      }),
    });
    const replica = replicaOf(engine);
    replica.start(specOf({ engine: 'sim' }));
    await eventually(() => expect(replica.phase).toBe('Ready'));
    const answer = await replica.endpoint!.pool.request({
      method: 'POST',
      path: '/v1/completions',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'tiny', prompt: 'Who are you?' }),
    });
    expect(await answer.body.text()).toContain('tiny, version digest-of-ve:');
  });
});

describe('the simulator, started by an agent in the place of the embedded engine', () => {
  const engineOf = (flags: string[] = [], stopTimeoutMs = 5_000) =>
    new ProcessEngine({
      ...{ stateFolder: folder, environment: {}, stopTimeoutMs, log, metrics: silentMetrics },
      command: [process.execPath, MAIN, ...FAST, ...flags],
    });

  it('serves as model and version of the spec, and another version says something else', async () => {
    const replica = replicaOf(engineOf());
    replica.start(specOf());
    await eventually(() => expect(replica.phase).toBe('Ready'));
    const { pool, token } = replica.endpoint!;
    const answer = await pool.request({
      method: 'POST',
      path: '/v1/completions',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'tiny', prompt: 'Who are you?', max_tokens: 12 }),
    });
    expect(answer.headers['x-atoll-version']).toBe('digest-of-version-one');
    const { choices } = (await answer.body.json()) as { choices: { text: string }[] };
    expect(choices[0]!.text).toMatch(/^tiny, version digest-of-ve: /);
  });

  it('R10: is adopted by the next agent, and ends by itself when its spec goes', async () => {
    const instance = await engineOf().start(specOf(), 1);
    const next = engineOf();
    await eventually(async () => expect((await next.probe(instance)).state).toBe('ready'));
    expect(await next.list()).toMatchObject([{ instanceId: instance.instanceId, processId: instance.processId }]);
    await rm(join(folder, 'engines', instance.instanceId, 'spec.json'));
    await eventually(async () => expect((await next.probe(instance)).state).toBe('gone'));
    await next.stop(instance);
  });

  it('R10: is killed when it ignores that it is told to end', async () => {
    const engine = engineOf(['--ignore-sigterm'], 300);
    const instance = await engine.start(specOf(), 1);
    await eventually(async () => expect((await engine.probe(instance)).state).toBe('ready'));
    await engine.stop(instance);
    await expect(readFile(`/proc/${instance.processId}/environ`, 'utf8')).rejects.toThrow();
  });

  it('that starts slowly is waited for', async () => {
    const engine = engineOf(['--start-ms', '700']);
    const instance = await engine.start(specOf(), 1);
    cleanups.push(() => engine.stop(instance));
    expect(await engine.probe(instance)).toEqual({ state: 'starting' });
    await eventually(async () => expect((await engine.probe(instance)).state).toBe('ready'));
  });

  it('that answers nonsense does not become ready, and says so', async () => {
    const replica = replicaOf(engineOf(['--fail', 'garbage']));
    replica.start(specOf());
    await eventually(() => expect(replica.phase).toBe('Failed'));
    expect(replica.reason).toContain('answered the probe without a completion');
  });
});
