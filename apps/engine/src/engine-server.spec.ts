// The HTTP surface over real sockets, with a generator that writes what it is told.
import { afterEach, describe, expect, it } from '@jest/globals';
import type { OpenAiErrorBody } from '#inference';
import { instanceSpecSchema } from '#inference';
import { startStopwatch } from '#testing';
import { EngineServer } from './engine-server.ts';
import { type GenerationOptions, type PromptMessage, TextGenerator } from './text-generator.ts';

const token = 'a-token-for-this-test';
const chat = { model: 'tiny', messages: [{ role: 'user', content: 'hi' }] };

class FakeGenerator extends TextGenerator {
  readonly contextSize = 32;
  pieces = ['one ', 'two ', 'three'];
  /** Awaited before each piece from the second on. */
  gate: Promise<void> = Promise.resolve();
  /** Lets the event loop turn between two tokens, as a real model does. */
  isBreathing = false;
  failAt = -1;
  made = 0;
  readonly left = Promise.withResolvers<void>();
  options: GenerationOptions | null = null;
  messages: readonly PromptMessage[] = [];

  encodeChat(messages: readonly PromptMessage[]): readonly number[] {
    this.messages = messages;
    return messages.flatMap(({ text }) => this.encodeText(text));
  }

  encodeText(text: string): readonly number[] {
    return text.split('').map((_, index) => index);
  }

  async *generate(_prompt: readonly number[], options: GenerationOptions): AsyncIterable<string> {
    this.options = options;
    try {
      for (const [index, piece] of this.pieces.entries()) {
        if (index > 0) await this.gate;
        if (this.isBreathing) await new Promise((resolve) => setImmediate(resolve));
        if (index === this.failAt) throw new Error('llama is ill');
        this.made += 1;
        yield piece;
      }
    } finally {
      this.left.resolve();
    }
  }

  async dispose(): Promise<void> {}
}

const started: EngineServer[] = [];
afterEach(async () => {
  for (const server of started.splice(0)) await server.stop(0);
});

async function start(overrides: object = {}) {
  const spec = instanceSpecSchema.parse({
    instanceId: 'i1',
    replicaId: 'r1',
    generation: 3,
    modelPath: '/m.gguf',
    servedModel: 'tiny',
    versionDigest: 'sha256:abc',
    ...overrides,
  });
  const server = new EngineServer(spec, token, () => {});
  started.push(server);
  const base = `http://127.0.0.1:${await server.listen()}`;
  const generator = new FakeGenerator();
  const call = (path: string, body?: unknown, init: RequestInit = {}): Promise<Response> =>
    fetch(base + path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
    });
  return { server, generator, call };
}

async function ready(overrides: object = {}) {
  const rig = await start(overrides);
  rig.server.serve(rig.generator);
  return rig;
}

const events = (text: string): unknown[] =>
  text
    .trim()
    .split('\n\n')
    .map((event) => event.slice('data: '.length))
    .map((data) => (data === '[DONE]' ? data : JSON.parse(data)));

describe('access', () => {
  const routes = ['/instance', '/v1/models', '/v1/chat/completions', '/metrics', '/', '/nothing', '/__proto__'];
  it.each(routes)('S1: %s answers 401 without the token', async (path) => {
    const { call } = await ready();
    for (const authorization of ['', 'Bearer', 'Bearer wrong', `Basic ${token}`, `Bearer ${token}x`]) {
      const response = await call(path, undefined, { headers: { authorization } });
      expect([response.status, (await errorOf(response)).code]).toEqual([401, 'invalid_api_key']);
    }
  });

  it('healthz is open and says the state', async () => {
    const { call } = await start();
    expect(await (await call('/healthz', undefined, { headers: {} })).json()).toEqual({
      status: 'ok',
      state: 'loading',
    });
  });

  it('S11: headers as large as any that a public endpoint lets in', async () => {
    const { call } = await ready();
    const headers = { authorization: `Bearer ${token}`, 'x-large': 'x'.repeat(31_000) };
    expect((await call('/instance', undefined, { headers })).status).toBe(200);
  });

  it('instance says who it is', async () => {
    const { call } = await ready();
    expect(await (await call('/instance')).json()).toEqual({
      instanceId: 'i1',
      replicaId: 'r1',
      generation: 3,
      versionDigest: 'sha256:abc',
      state: 'ready',
      inflight: 0,
      queued: 0,
      pid: process.pid,
    });
  });

  it('unknown routes and methods, and a model that is still loading', async () => {
    const { call } = await start();
    expect((await call('/v1/nothing')).status).toBe(404);
    expect((await call('/v1/chat/completions')).status).toBe(405);
    const loading = await call('/v1/chat/completions', chat);
    expect([loading.status, loading.headers.get('retry-after')]).toEqual([503, '2']);
  });
});

describe('chat completions', () => {
  it('answers whole, with usage and version', async () => {
    const { call, generator } = await ready();
    const body = { ...chat, temperature: 0.5, top_p: 0.9, seed: 7 };
    const response = await call('/v1/chat/completions', body);
    expect(response.headers.get('x-atoll-version')).toBe('sha256:abc');
    expect(await response.json()).toMatchObject({
      object: 'chat.completion',
      model: 'tiny',
      choices: [{ index: 0, message: { role: 'assistant', content: 'one two three' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 2, completion_tokens: 3, total_tokens: 5 },
    });
    expect(generator.options).toEqual({ temperature: 0.5, topP: 0.9, seed: 7 });
  });

  it('streams token by token, then the reason, the usage and [DONE]', async () => {
    const { call } = await ready();
    const body = { ...chat, stream: true, stream_options: { include_usage: true } };
    const got = events(await (await call('/v1/chat/completions', body)).text());
    expect(got.map((event) => (event === '[DONE]' ? event : summary(event)))).toEqual([
      ['', null, undefined],
      ['one ', null, undefined],
      ['two ', null, undefined],
      ['three', null, undefined],
      [undefined, 'stop', undefined],
      [undefined, undefined, { prompt_tokens: 2, completion_tokens: 3, total_tokens: 5 }],
      '[DONE]',
    ]);
  });

  it('each token leaves before the next one is made', async () => {
    const { call, generator } = await ready();
    const gate = Promise.withResolvers<void>();
    generator.gate = gate.promise;
    const response = await call('/v1/chat/completions', { ...chat, stream: true });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('one')) text += (await reader.read()).value;
    expect(generator.made).toBe(1);
    gate.resolve();
    while (!text.includes('[DONE]')) text += (await reader.read()).value;
  });

  it('stops at max_tokens, and at a stop string', async () => {
    const { call } = await ready();
    expect(await (await call('/v1/chat/completions', { ...chat, max_completion_tokens: 2 })).json()).toMatchObject({
      choices: [{ message: { content: 'one two ' }, finish_reason: 'length' }],
      usage: { completion_tokens: 2 },
    });
    expect(await (await call('/v1/chat/completions', { ...chat, stop: ['o three'] })).json()).toMatchObject({
      choices: [{ message: { content: 'one tw' }, finish_reason: 'stop' }],
      usage: { completion_tokens: 3 },
    });
  });

  it('takes content parts and developer messages', async () => {
    const { call, generator } = await ready();
    const parts = [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ];
    const messages = [
      { role: 'developer', content: 'be' },
      { role: 'user', content: parts },
    ];
    await call('/v1/chat/completions', { ...chat, messages });
    expect(generator.messages).toEqual([
      { role: 'system', text: 'be' },
      { role: 'user', text: 'ab' },
    ]);
  });

  const image = [{ role: 'user', content: [{ type: 'image_url' }] }];
  const bad = [
    { name: 'not JSON', body: '{', want: [400, null, null] },
    { name: 'an unknown model', body: { ...chat, model: 'x' }, want: [404, 'model', 'model_not_found'] },
    { name: 'a wrong type', body: { ...chat, temperature: 'hot' }, want: [400, 'temperature', null] },
    { name: 'n', body: { ...chat, n: 2 }, want: [400, 'n', 'unsupported_value'] },
    { name: 'tools', body: { ...chat, tools: [{}] }, want: [400, 'tools', 'unsupported_value'] },
    {
      name: 'a format',
      body: { ...chat, response_format: { type: 'json_object' } },
      want: [400, 'response_format.type', 'unsupported_value'],
    },
    {
      name: 'an image',
      body: { ...chat, messages: image },
      want: [400, 'messages[0].content[0]', 'unsupported_value'],
    },
    {
      name: 'stream_options without a stream',
      body: { ...chat, stream_options: {} },
      want: [400, 'stream_options', 'unsupported_value'],
    },
    {
      name: 'too long a prompt',
      body: { ...chat, messages: [{ role: 'user', content: 'x'.repeat(32) }] },
      want: [400, 'messages', 'context_length_exceeded'],
    },
  ];
  it.each(bad)('refuses by name: $name', async ({ body, want }) => {
    const { call } = await ready();
    const response = await call('/v1/chat/completions', body);
    const error = await errorOf(response);
    expect([response.status, error.param, error.code]).toEqual(want);
  });

  it('R14: a generator that fails ends in an error event without [DONE]', async () => {
    const { call, generator } = await ready();
    generator.failAt = 2;
    const text = await (await call('/v1/chat/completions', { ...chat, stream: true })).text();
    expect(text).not.toContain('[DONE]');
    expect(events(text).at(-1)).toHaveProperty('error.code', 'internal_error');
    expect((await call('/v1/chat/completions', chat)).status).toBe(500);
  });
});

describe('completions', () => {
  it('answers with 16 tokens at most unless told', async () => {
    const { call, generator } = await ready();
    generator.pieces = Array.from({ length: 20 }, () => 'x');
    expect(await (await call('/v1/completions', { model: 'tiny', prompt: 'ab' })).json()).toMatchObject({
      object: 'text_completion',
      choices: [{ text: 'x'.repeat(16), finish_reason: 'length' }],
      usage: { prompt_tokens: 2, completion_tokens: 16, total_tokens: 18 },
    });
  });
});

describe('bounds', () => {
  it('R14: a client that leaves ends its generation within a second and frees its slot', async () => {
    const { call, generator } = await ready({ maxConcurrent: 1 });
    generator.pieces = Array.from({ length: 100_000 }, () => 'x');
    generator.isBreathing = true;
    Object.defineProperty(generator, 'contextSize', { value: 200_000 });
    const abort = new AbortController();
    const response = await call('/v1/chat/completions', { ...chat, stream: true }, { signal: abort.signal });
    await response.body!.getReader().read();
    const passedMs = startStopwatch();
    abort.abort();
    await generator.left.promise;
    expect(passedMs()).toBeLessThan(1_000);
    expect(generator.made).toBeLessThan(100_000);
    generator.pieces = ['x'];
    expect((await call('/v1/chat/completions', chat)).status).toBe(200);
  });

  it('R16: runs, queues, and refuses beyond with retry-after; drains what it took', async () => {
    const { call, generator, server } = await ready({ maxConcurrent: 1, maxQueue: 1 });
    const gate = Promise.withResolvers<void>();
    generator.gate = gate.promise;
    const running = call('/v1/chat/completions', chat);
    const until = async (want: object): Promise<void> => {
      for (;;) {
        const got = (await (await call('/instance')).json()) as Record<string, unknown>;
        if (Object.entries(want).every(([key, value]) => got[key] === value)) return;
      }
    };
    await until({ inflight: 1 });
    const queued = call('/v1/chat/completions', chat);
    await until({ inflight: 1, queued: 1 });
    const refused = await call('/v1/chat/completions', chat);
    expect([refused.status, refused.headers.get('retry-after'), (await errorOf(refused)).code]).toEqual([
      503,
      '1',
      'engine_overloaded',
    ]);
    const stopped = server.stop(5_000);
    gate.resolve();
    expect([(await running).status, (await queued).status]).toEqual([200, 200]);
    await stopped;
  });

  it.each([
    ['as its length says', 'x'.repeat(8 * 1024 * 1024 + 1)],
    ['whose length nobody said', new Blob(['x'.repeat(9 * 1024 * 1024)]).stream()],
  ])('S11: a body beyond 8 MiB is read to its end and refused: %s', async (_name, body) => {
    const { call } = await ready();
    const refused = await call('/v1/chat/completions', '', { body, duplex: 'half' } as RequestInit);
    expect([refused.status, (await errorOf(refused)).code]).toEqual([413, 'body_too_large']);
  });
});

async function errorOf(response: Response): Promise<OpenAiErrorBody['error']> {
  return ((await response.json()) as OpenAiErrorBody).error;
}

function summary(event: unknown): unknown[] {
  const { choices, usage } = event as {
    choices: { delta: { content?: string }; finish_reason: string }[];
    usage?: object;
  };
  return [choices[0]?.delta.content, choices[0]?.finish_reason, usage ?? undefined];
}
