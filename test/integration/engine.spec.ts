// The built engine process with the real llama.cpp and a real model: the contract that the agent relies on.
// Needs the build and .cache/engine (both made by ./atoll).
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { startStopwatch } from '#testing';

const root = join(import.meta.dirname, '../..');
const engineMain = join(root, '.cache/dist/apps/engine/src/main.js');
const token = 'a-token-for-this-test';
jest.setTimeout(60_000);

interface Answer {
  readonly choices: readonly { readonly text: string; readonly message: { readonly content: string } }[];
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number; readonly total_tokens: number };
  readonly error: { readonly code: string };
}

interface Ready {
  readonly pid: number;
  readonly port: number;
  readonly instanceId: string;
}

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function makeFolder(spec: object = {}, model = 'v1/model.gguf'): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-engine-'));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  const whole = {
    instanceId: 'i1',
    replicaId: 'r1',
    generation: 1,
    modelPath: join(root, 'test/fixtures/models/tiny-llm', model),
    servedModel: 'tiny',
    versionDigest: 'sha256:v1',
    ...spec,
  };
  await writeFile(join(folder, 'spec.json'), JSON.stringify(whole));
  await writeFile(join(folder, 'token'), token, { mode: 0o600 });
  return folder;
}

function launch(folder: string, environment: NodeJS.ProcessEnv = {}): { child: ChildProcess; lines: string[] } {
  const child = spawn(process.execPath, [engineMain], {
    env: { PATH: process.env.PATH, ATOLL_INSTANCE_DIR: folder, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  child.stdout!.setEncoding('utf8').on('data', (text: string) => lines.push(...text.trim().split('\n')));
  cleanups.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  return { child, lines };
}

/** Resolves once the file is there whole (it is written by a rename); rejects when the engine ends before. */
async function fileIn<Shape>(folder: string, name: string, child: ChildProcess, lines: string[]): Promise<Shape> {
  const path = join(folder, name);
  await new Promise<void>((resolve, reject) => {
    const watcher = watch(folder, check);
    const onExit = (code: number | null): void => finish(new Error(`engine ended with ${code}: ${lines.join('\n')}`));
    child.once('exit', onExit);
    function finish(error?: Error): void {
      watcher.close();
      child.off('exit', onExit);
      if (error === undefined) resolve();
      else reject(error);
    }
    function check(): void {
      if (existsSync(path)) finish();
    }
    check();
  });
  return JSON.parse(await readFile(path, 'utf8')) as Shape;
}

async function start(spec: object = {}, model?: string) {
  const folder = await makeFolder(spec, model);
  const startedAt = performance.now();
  const { child, lines } = launch(folder);
  const ready = await fileIn<Ready>(folder, 'ready.json', child, lines);
  const startupMs = performance.now() - startedAt;
  const call = (path: string, body?: object, init: RequestInit = {}): Promise<Response> =>
    fetch(`http://127.0.0.1:${ready.port}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: body === undefined ? undefined : JSON.stringify(body),
      ...init,
    });
  return { folder, child, ready, call, startupMs, lines };
}

const chat = {
  model: 'tiny',
  messages: [{ role: 'user', content: 'How do you like my brother?' }],
  temperature: 0.7,
  top_p: 0.95,
  seed: 7,
};

async function read(response: Response | Promise<Response>): Promise<Answer> {
  return (await (await response).json()) as Answer;
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return child.exitCode;
  return ((await once(child, 'exit')) as [number | null])[0];
}

describe('the engine with llama.cpp', () => {
  it('writes text of the model, the same for the same seed, streamed and whole, and counts right', async () => {
    const { call, ready, child } = await start();
    expect(ready).toEqual({ pid: child.pid, port: expect.any(Number), instanceId: 'i1' });
    const whole = await read(call('/v1/chat/completions', { ...chat, max_tokens: 60 }));
    const { content } = whole.choices[0]!.message;
    expect(content.length).toBeGreaterThan(40);
    expect(content).not.toContain('<|im');
    const { usage } = whole;
    expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
    const streamBody = { ...chat, max_tokens: 60, stream: true, stream_options: { include_usage: true } };
    const streamed = await (await call('/v1/chat/completions', streamBody)).text();
    const chunks = streamed
      .trim()
      .split('\n\n')
      .map((event) => event.slice('data: '.length));
    expect(chunks.pop()).toBe('[DONE]');
    const parsed = chunks.map((chunk) => JSON.parse(chunk));
    const pieces = parsed.map((chunk) => chunk.choices[0]?.delta.content ?? '').filter((piece) => piece !== '');
    expect(pieces.join('')).toBe(content);
    expect(pieces.length).toBeGreaterThan(usage.completion_tokens * 0.9);
    expect(parsed.at(-1).usage).toEqual(usage);
  });

  it('fills its context and stops there, refuses what does not fit, reads no control tokens from a message', async () => {
    const { call } = await start();
    const full = await read(call('/v1/completions', { model: 'tiny', prompt: 'And', max_tokens: 9_999, seed: 3 }));
    expect(full.usage.total_tokens).toBeLessThanOrEqual(256);
    const content = 'a very long story '.repeat(200);
    const over = await call('/v1/chat/completions', { ...chat, messages: [{ role: 'user', content }] });
    expect([over.status, (await read(over)).error.code]).toEqual([400, 'context_length_exceeded']);
    const tokensOf = async (text: string): Promise<number> => {
      const body = { ...chat, max_tokens: 1, messages: [{ role: 'user', content: text }] };
      return (await read(call('/v1/chat/completions', body))).usage.prompt_tokens;
    };
    expect(await tokensOf('<|im_end|>')).toBeGreaterThan((await tokensOf('')) + 1);
  });

  it('serves two at a time, and twenty by its queue', async () => {
    const { call } = await start();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => call('/v1/chat/completions', { ...chat, seed: index, max_tokens: 20 })),
    );
    expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 200));
  });

  it('another version writes another text', async () => {
    const [first, second] = await Promise.all([start(), start({ versionDigest: 'sha256:v2' }, 'v2/model.gguf')]);
    const [one, two] = await Promise.all(
      [first, second].map(async ({ call }) => {
        const response = await call('/v1/chat/completions', { ...chat, max_tokens: 40 });
        return [response.headers.get('x-atoll-version'), (await read(response)).choices[0]!.message.content];
      }),
    );
    expect([one![0], two![0]]).toEqual(['sha256:v1', 'sha256:v2']);
    expect(one![1]).not.toBe(two![1]);
  });
});

describe('the contract with the agent', () => {
  it('SIGTERM drains and exits 0', async () => {
    const { call, child } = await start();
    const running = call('/v1/completions', { model: 'tiny', prompt: 'It was', max_tokens: 250 });
    for (;;) {
      const { inflight } = (await (await call('/instance')).json()) as { inflight: number };
      if (inflight > 0) break;
      const settled = await Promise.race([running.then(() => true), Promise.resolve(false)]);
      if (settled) break;
    }
    child.kill('SIGTERM');
    expect((await running).status).toBe(200);
    expect(await exitOf(child)).toBe(0);
  });

  it('R10: ends by itself when its spec.json goes', async () => {
    const { folder, child } = await start();
    const passedMs = startStopwatch();
    await rm(join(folder, 'spec.json'));
    expect(await exitOf(child)).toBe(0);
    expect(passedMs()).toBeLessThan(5_000);
  });

  it('R10: outlives the reader of its log', async () => {
    const { child, call } = await start();
    child.stdout!.destroy();
    for (let round = 0; round < 3; round += 1) {
      expect((await call('/v1/chat/completions', { ...chat, max_tokens: 2 })).status).toBe(200);
    }
    expect(child.exitCode).toBeNull();
  });

  const failures: { name: string; prepare: () => Promise<string>; environment?: NodeJS.ProcessEnv; want: number }[] = [
    {
      name: 'R10: a withdrawn spec',
      prepare: async () => {
        const folder = await makeFolder();
        await rm(join(folder, 'spec.json'));
        return folder;
      },
      want: 3,
    },
    { name: 'a spec that is not valid', prepare: () => makeFolder({ generation: 'x' }), want: 2 },
    {
      name: 'no packages',
      prepare: () => makeFolder(),
      environment: { ATOLL_ENGINE_MODULES: '/nonexistent' },
      want: 4,
    },
    { name: 'no model', prepare: () => makeFolder({ modelPath: '/nonexistent.gguf' }), want: 5 },
    { name: 'a model that is not GGUF', prepare: () => makeFolder({}, 'v1/config.json'), want: 5 },
  ];
  it.each(failures)('exits with a reason: $name', async ({ prepare, environment, want }) => {
    const folder = await prepare();
    const { child, lines } = launch(folder, environment);
    expect(await exitOf(child)).toBe(want);
    expect(existsSync(join(folder, 'ready.json'))).toBe(false);
    expect(lines.some((line) => JSON.parse(line).level === 'error')).toBe(true);
  });
});
