// The attach adapter and the path of a request through it against a real llama.cpp server, when ATOLL_TEST_LLAMA_SERVER
// names its program. Without one, the exchanges that were recorded with it are played back by the agent's own tests.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { pino } from 'pino';
import { adaptError, adaptedStatuses, adaptRequest, forwardRequest, writeOpenAiError } from '#inference';
import { eventually, llamaServerProgram } from '#testing';
import { AttachedEngine } from '../../apps/agent/src/engines/attach/attached-engine.ts';
import { attachedEngineSchema } from '../../apps/agent/src/engines/attach/configuration.ts';
import type { EngineInstance } from '../../apps/agent/src/engines/engine-adapter.ts';
import { type EngineEndpoint, Replica } from '../../apps/agent/src/engines/replica.ts';

const program = llamaServerProgram();
const describeReal = program === undefined ? describe.skip : describe;
const MODEL = join(import.meta.dirname, '../fixtures/models/tiny-llm/v1/model.gguf');
const KEY = 'a-key-of-this-test';
if (program === undefined) process.stdout.write('llama.cpp: skipped; ATOLL_TEST_LLAMA_SERVER names no program.\n');

describeReal('a real llama.cpp server that is attached', () => {
  let folder: string;
  let url: string;
  let llama: ChildProcess;
  let replica: Replica;
  let front: Server;
  let client: OpenAI;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atoll-llama-'));
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const settings = ['--port', String(port), '--host', '127.0.0.1', '--alias', 'tiny-llm', '--metrics', '-t', '1'];
    llama = spawn(program!, ['-m', MODEL, ...settings, '--api-key', KEY, '-np', '2', '-c', '512'], { stdio: 'ignore' });
    await writeFile(join(folder, 'token'), KEY, { mode: 0o600 });
    replica = new Replica(
      { replicaId: 'r1', deploymentId: 'd1', versionDigest: 'v1' },
      {
        engine: attach(),
        startTimeoutMs: 30_000,
        onChange: () => undefined,
        onReady: () => undefined,
        onFailed: () => undefined,
      },
    );
    replica.start(spec);
    await eventually(() => expect(replica.phase).toBe('Ready'), { timeoutMs: 30_000 });
    front = await serve(() => replica.endpoint!);
    const { port: frontPort } = front.address() as AddressInfo;
    client = new OpenAI({ baseURL: `http://127.0.0.1:${frontPort}/v1`, apiKey: 'a-key-of-the-client', maxRetries: 0 });
  });
  afterAll(async () => {
    front?.closeAllConnections();
    front?.close();
    await replica?.stop('the test is over', 0);
    if (llama?.kill() && llama.exitCode === null) await once(llama, 'exit');
    await rm(folder, { recursive: true, force: true });
  });

  const spec = {
    ...{ replicaId: 'r1', deploymentId: 'd1', versionDigest: 'v1', servedModel: 'austen', engine: 'gpu' },
    ...{ modelPath: '', maxConcurrent: 2, maxQueue: 8 },
  };
  const attach = (change: object = {}) =>
    new AttachedEngine({
      stateFolder: folder,
      name: 'gpu',
      configuration: attachedEngineSchema.parse({
        ...{ kind: 'attach', url, dialect: 'llamacpp', tokenFile: join(folder, 'token') },
        ...change,
      }),
      log: pino({ level: 'silent' }),
    });

  it('is found, generates, and is known by its own name for the model', () => {
    expect(replica.endpoint).toMatchObject({ upstreamModel: 'tiny-llm', dialect: 'llamacpp', token: KEY });
    expect(replica.instance).toMatchObject({ engine: 'gpu', servedModel: 'austen' });
  });

  it('tells its load', async () => {
    const engine = attach();
    const instance: EngineInstance = await engine.start(spec, 1);
    await engine.probe(instance);
    expect(await engine.load(instance)).toEqual({ running: expect.any(Number), waiting: expect.any(Number) });
    await engine.stop(instance);
  });

  it('answers a client that speaks OpenAI’s newest words', async () => {
    const answer = await client.chat.completions.create({
      model: 'austen',
      messages: [
        { role: 'developer', content: 'Answer shortly.' },
        { role: 'user', content: 'How do you like my brother?' },
      ],
      max_completion_tokens: 12,
      temperature: 0,
    });
    expect(answer.choices[0]).toMatchObject({ finish_reason: 'length', message: { role: 'assistant' } });
    expect(answer.usage).toMatchObject({ completion_tokens: 12 });
  });

  it('streams, with its usage', async () => {
    const stream = await client.completions.create({
      ...{ model: 'austen', prompt: 'My dear', max_tokens: 6, temperature: 0 },
      ...{ stream: true, stream_options: { include_usage: true } },
    } as OpenAI.CompletionCreateParamsStreaming);
    let [text, tokens] = ['', 0];
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? '';
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    expect([text.length > 0, tokens]).toEqual([true, 6]);
  });

  it('refuses in OpenAI’s words', async () => {
    const messages = [{ role: 'user' as const, content: 'brother '.repeat(400) }];
    await expect(client.chat.completions.create({ model: 'austen', messages })).rejects.toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
      type: 'invalid_request_error',
    });
  });

  it('does not take another token', async () => {
    await writeFile(join(folder, 'wrong'), 'another-token', { mode: 0o600 });
    const wrong = new Replica(
      { replicaId: 'r2', deploymentId: 'd1', versionDigest: 'v1' },
      {
        engine: attach({ tokenFile: join(folder, 'wrong') }),
        startTimeoutMs: 10_000,
        onChange: () => undefined,
        onReady: () => undefined,
        onFailed: () => undefined,
      },
    );
    wrong.start({ ...spec, replicaId: 'r2' });
    await eventually(() => expect(wrong.phase).toBe('Failed'), { timeoutMs: 10_000 });
    expect(wrong.reason).toContain('the token in tokenFile is not the one that it wants');
    await wrong.stop('the test is over', 0);
  });

  it('that ends is gone within two probes', async () => {
    llama.kill();
    await once(llama, 'exit');
    await eventually(() => expect(replica.phase).not.toBe('Ready'), { timeoutMs: 5_000 });
    expect(replica.reason).toMatch(/gpu (is not there|does not answer)/);
  });
});

/** What the agent does with a request, in few lines: adapt, forward, tell errors in OpenAI's shape. */
async function serve(endpointOf: () => EngineEndpoint): Promise<Server> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { pool, basePath, token, dialect, upstreamModel } = endpointOf();
    const surface = request.url === '/v1/completions' ? 'completions' : 'chat';
    const outcome = await forwardRequest({
      dispatcher: pool,
      method: 'POST',
      path: `${basePath}${request.url}`,
      headers: ['content-type', 'application/json', 'authorization', `Bearer ${token}`],
      body: adaptRequest(dialect, surface, Buffer.concat(chunks), { upstreamModel }),
      res: response,
      timeouts: { headersMs: 10_000, bodyIdleMs: 10_000 },
      retryableStatuses: adaptedStatuses,
    });
    if (outcome.kind !== 'refused' || outcome.upstream === undefined) return;
    writeOpenAiError(response, {
      kind: 'upstream_error',
      ...adaptError(outcome.upstream.status, outcome.upstream.body),
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function freePort(): Promise<number> {
  const server = createSocketServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
