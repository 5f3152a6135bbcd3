// Two attached engines that are not the agent's alone: the router sees what others ask of them in their own metrics, and
// sends its requests where less waits. The engines are simulators, with vLLM's metrics.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { eventually } from '#testing';
import { ReplicaRouter } from '../../apps/agent/src/data-plane/replica-router.ts';
import { AttachedEngine } from '../../apps/agent/src/engines/attach/attached-engine.ts';
import { attachedEngineSchema } from '../../apps/agent/src/engines/attach/configuration.ts';
import { Replica } from '../../apps/agent/src/engines/replica.ts';
import { readSettings } from '../../apps/engine-sim/src/settings.ts';
import { SimServer } from '../../apps/engine-sim/src/sim-server.ts';

const SLOTS = 2;
const FLAGS = ['--port', '0', '--model', 'tiny', '--slots', String(SLOTS), '--first-token-ms', '1', '--token-ms', '20'];
const CHOICES = 20;
const of = { deploymentId: 'd1', versionDigest: 'v1' };
const prompt = { sessionId: null, blocks: [], promptTokens: 100, isStream: true, model: 'tiny' };

let folder: string;
const cleanups: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-shared-'));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await rm(folder, { recursive: true, force: true });
});

interface Bound {
  readonly replica: Replica;
  readonly url: string;
}

async function bind(name: string): Promise<Bound> {
  const server = new SimServer(readSettings(FLAGS));
  const url = `http://127.0.0.1:${await server.listen()}`;
  server.serve();
  const configuration = attachedEngineSchema.parse({ kind: 'attach', url, dialect: 'vllm', slots: SLOTS });
  const engine = new AttachedEngine({ stateFolder: folder, name, configuration, log: pino({ level: 'silent' }) });
  const nothing = () => undefined;
  const listeners = { onChange: nothing, onReady: nothing, onFailed: nothing };
  const replica = new Replica({ replicaId: name, ...of }, { engine, startTimeoutMs: 20_000, ...listeners });
  cleanups.push(
    () => server.stop(0),
    () => replica.stop('the test is over', 0),
  );
  const spec = { replicaId: name, ...of, servedModel: 'tiny', modelPath: '/none', maxConcurrent: 1, maxQueue: 1 };
  replica.start({ ...spec, engine: name });
  await eventually(async () => expect(replica.phase).toBe('Ready'));
  return { replica, url };
}

/** Generations that go on for as long as they are not ended. */
function ask(url: string, count: number): { end(): Promise<void> } {
  const ending = new AbortController();
  const body = JSON.stringify({ model: 'tiny', prompt: 'Hello', max_tokens: 4_000, ignore_eos: true });
  const headers = { 'content-type': 'application/json' };
  const asked = Array.from({ length: count }, () =>
    fetch(`${url}/v1/completions`, { method: 'POST', headers, body, signal: ending.signal }).catch(() => undefined),
  );
  return {
    end: async () => {
      ending.abort();
      await Promise.all(asked);
    },
  };
}

describe('engines that others use too', () => {
  it('A06: the one at which others wait gets nothing while the other is free, and both get their share once that is over', async () => {
    const bound = [await bind('one'), await bind('two')];
    const [one, two] = bound as [Bound, Bound];
    const replicas = bound.map(({ replica }) => replica);
    const router = new ReplicaRouter({
      replicas: { all: () => replicas, find: (id) => replicas.find(({ replicaId }) => replicaId === id) },
      desired: () => null,
    });
    const chosen = () => {
      const choices = Array.from({ length: CHOICES }, () => router.choose(replicas, prompt)?.replica.replicaId);
      return [...new Set(choices)].sort();
    };
    await eventually(async () => expect(replicas.map((each) => each.load()?.waiting)).toEqual([0, 0]));
    expect(chosen()).toEqual(['one', 'two']);

    const others = ask(one.url, SLOTS + 4);
    await eventually(async () => expect(one.replica.load()).toMatchObject({ running: SLOTS, waiting: 4 }));
    expect(chosen()).toEqual(['two']);
    await others.end();
    await eventually(async () => expect(one.replica.load()).toMatchObject({ running: 0, waiting: 0 }));
    expect(chosen()).toEqual(['one', 'two']);

    // Ours are in the ledger: what the engine says of them is nothing new.
    for (let count = 0; count < SLOTS + 4; count += 1) two.replica.requestBegan();
    const ours = ask(two.url, SLOTS + 4);
    await eventually(async () => expect(two.replica.load()).toMatchObject({ running: SLOTS, waiting: 4 }));
    expect(chosen()).toEqual(['one', 'two']);
    await ours.end();
  });
});
