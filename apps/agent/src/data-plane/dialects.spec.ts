// The whole way of a request to an attached engine and back: the official SDK, the forwarding as the agent does it, the
// adapter that found the engine, and what a real engine answered to exactly that request (test/fixtures/engines).
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { pino } from 'pino';
import { INFERENCE_SURFACES } from '#inference';
import { type Exchange, exchangesOf, playEngine, type RecordedEngine } from '../../test/recorded-engine.ts';
import { type TemporaryFolder, temporaryFolder, until } from '../../test/temporary-folder.ts';
import { AttachedEngine } from '../engines/attach/attached-engine.ts';
import { attachedEngineSchema } from '../engines/attach/configuration.ts';
import { Replica } from '../engines/replica.ts';
import { forwardToReplica, writeReplicaRefusal } from './forward-to-replica.ts';
import { unreadPrompt } from './prompt.ts';
import type { ReplicaRouter } from './replica-router.ts';

/** What an engine that is new generates first, for each. */
const PROBE: Exchange = {
  name: 'probe',
  request: { method: 'POST', path: '/v1/completions', body: {} },
  response: { status: 200, contentType: 'application/json', body: '{"choices":[{"text":","}]}' },
};
const router = {
  dispatched: () => ({ firstToken: () => undefined, finished: () => undefined }),
} as unknown as ReplicaRouter;

describe('requests to attached engines, as recorded', () => {
  let folder: TemporaryFolder;
  const closers: (() => unknown)[] = [];
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
    await folder.remove();
  });

  async function attach(dialect: string, model?: string): Promise<{ client: OpenAI; engine: RecordedEngine }> {
    const recorded = exchangesOf(dialect);
    const listed = JSON.parse(recorded.find(({ name }) => name === 'models')!.response.body) as {
      data: { id: string }[];
    };
    const probed = { model: model ?? listed.data[0]!.id, prompt: 'Hello', max_tokens: 1, temperature: 0 };
    const engine = await playEngine([...recorded, { ...PROBE, request: { ...PROBE.request, body: probed } }]);
    closers.push(() => engine.close());
    const configuration = attachedEngineSchema.parse({ kind: 'attach', url: engine.url, dialect, model });
    const adapter = new AttachedEngine({
      stateFolder: folder.path,
      name: 'gpu',
      configuration,
      log: pino({ level: 'silent' }),
    });
    const of = { replicaId: 'r1', deploymentId: 'd1', versionDigest: 'v1' };
    const changes = { onChange: () => undefined, onReady: () => undefined, onFailed: () => undefined };
    const replica = new Replica(of, { engine: adapter, startTimeoutMs: 5_000, ...changes });
    closers.push(() => replica.stop('the test is over', 0));
    replica.start({ ...of, servedModel: 'served', modelPath: '', maxConcurrent: 1, maxQueue: 1, engine: 'gpu' });
    await until(
      () => replica.phase === 'Ready',
      () => `it is ready (${replica.reason})`,
    );
    const server = await serve(replica);
    const { port } = server.address() as AddressInfo;
    return { engine, client: new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'client', maxRetries: 0 }) };
  }

  async function serve(replica: Replica): Promise<Server> {
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const path = request.url!;
      const body = Buffer.concat(chunks);
      const outcome = await forwardToReplica(
        {
          ...{
            path,
            surface: INFERENCE_SURFACES[path]!,
            body,
            response,
            prompt: unreadPrompt(body),
          },
          ...{
            headers: ['content-type', 'application/json'],
            asksForUsage: false,
            hidesUsage: false,
            readsUsage: false,
            answerHeaders: [],
          },
        },
        { replica, by: 'only' } as never,
        router,
        { firstByteTimeoutMs: 5_000, idleTimeoutMs: 5_000 },
      );
      if (outcome !== 'gone' && outcome.kind === 'refused') writeReplicaRefusal(response, outcome, replica, []);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closers.push(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    return server;
  }

  /** Text, how it ended, and what it cost. */
  async function chat(client: OpenAI, body: object): Promise<(string | number | null | undefined)[]> {
    const request = { model: 'served', messages: [], ...body } as OpenAI.ChatCompletionCreateParams;
    if (request.stream !== true) {
      const { choices, usage } = (await client.chat.completions.create(request)) as OpenAI.ChatCompletion;
      return [choices[0]!.message.content, choices[0]!.finish_reason, usage?.completion_tokens];
    }
    let [text, finish, tokens]: [string, string | null, number | undefined] = ['', null, undefined];
    for await (const chunk of await client.chat.completions.create(request)) {
      text += chunk.choices[0]?.delta.content ?? '';
      finish = chunk.choices[0]?.finish_reason ?? finish;
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    return [text, finish, tokens];
  }
  const brother = 'How do you like my brother?';
  const asked = [
    { role: 'developer', content: 'Answer shortly.' },
    { role: 'user', content: brother },
  ];
  const usage = { stream_options: { include_usage: true } };
  const hello = [{ role: 'user', content: 'Hello! Are you working?' }];
  const llama = 'llama3.2:3b-instruct-fp16';

  it.each([
    [
      'llamacpp',
      undefined,
      'chat',
      { messages: asked, max_completion_tokens: 12, temperature: 0, seed: 7 },
      ['"I am not one-and-twenty', 'length', 12],
    ],
    [
      'llamacpp',
      undefined,
      'chat stream',
      { messages: asked, stream: true, ...usage, max_completion_tokens: 6, temperature: 0, seed: 7 },
      ['"I am not one-', 'length', 6],
    ],
    [
      'ollama',
      llama,
      'chat',
      { messages: [{ role: 'user', content: 'Test trace 1' }], store: false, prompt_cache_key: 'k' },
      ["It appears you've entered a test phrase. Is there anything else I can help you with?", 'stop', 20],
    ],
    [
      'ollama',
      llama,
      'chat stream',
      { messages: [{ role: 'user', content: "What's the name of the Sun in latin?" }], stream: true },
      [expect.stringContaining('Sol'), 'stop', undefined],
    ],
    ['sglang', undefined, 'chat', { messages: hello, max_tokens: 50 }, [expect.stringContaining('Okay'), 'length', 50]],
    [
      'sglang',
      undefined,
      'chat stream',
      { messages: hello, stream: true, ...usage },
      ["I'll get the weather for both cities.", 'stop', 12],
    ],
  ])('%s, %s: %s', async (dialect, model, played, body, want) => {
    const { client, engine } = await attach(dialect, model);
    expect(await chat(client, body)).toEqual(want);
    expect(engine.played.at(-1)).toBe(played);
  });

  it('vllm: text with a field of its own, and a stream of a tool call, pass as they are', async () => {
    const { client, engine } = await attach('vllm');
    const own = { guided_choice: ['joy', 'sadness'] };
    const text = await client.completions.create({
      ...{ model: 'served', prompt: 'I am feeling really sad today.', stream: false as const },
      ...own,
    });
    expect(text.choices[0]!.text).toBe('joy');
    const [recorded] = exchangesOf('vllm').filter(({ name }) => name === 'chat stream');
    const names: (string | undefined)[] = [];
    const stream = await client.chat.completions.create({
      ...recorded!.request.body,
      model: 'served',
    } as unknown as OpenAI.ChatCompletionCreateParamsStreaming);
    for await (const { choices } of stream) names.push(...(choices[0]!.delta.tool_calls ?? []).map((call) => call.id));
    expect(names.length).toBeGreaterThan(0);
    expect(engine.played.slice(-2)).toEqual(['completion', 'chat stream']);
  });

  const image = [
    { type: 'text', text: 'What is in this image?' },
    { type: 'image_url', image_url: { url: 'data:image/png;base64,not_valid_base64_data!!!' } },
  ];
  it.each([
    [
      'llamacpp',
      undefined,
      { messages: [{ role: 'user', content: 'brother '.repeat(400) }], max_completion_tokens: 4 },
      400,
      'context_length_exceeded',
      /exceeds the available context size/,
    ],
    [
      'sglang',
      undefined,
      { messages: hello, max_tokens: 16_384 },
      400,
      'context_length_exceeded',
      /maximum context length of 16384/,
    ],
    ['ollama', llama, { messages: [{ role: 'user', content: image }] }, 400, null, /invalid image input/],
  ])('%s (%s) refuses in OpenAI’s shape', async (dialect, model, body, status, code, words) => {
    const { client } = await attach(dialect, model);
    await expect(chat(client, body)).rejects.toMatchObject({
      ...{ status, code, type: 'invalid_request_error' },
      message: expect.stringMatching(words),
    });
  });
});
