// The simulator over real sockets, asked by the official SDK.
import { afterEach, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { readSettings } from './settings.ts';
import { type SimInstance, SimServer } from './sim-server.ts';

const servers: SimServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(0);
});

/** As fast as it can, unless the flags say otherwise. */
async function start(flags: string[] = [], instance: SimInstance | null = null) {
  const fast = ['--port', '0', '--first-token-ms', '0', '--prefill-ms-per-token', '0', '--token-ms', '0'];
  const server = new SimServer(readSettings([...fast, '--model', 'tiny', ...flags]), instance);
  servers.push(server);
  const url = `http://127.0.0.1:${await server.listen()}`;
  server.serve();
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 5_000 });
  return { server, url, client };
}
const messages = [{ role: 'user' as const, content: 'How do you like the river that runs under the old bridge?' }];
const chat = { model: 'tiny', messages };

describe('U5: the official SDK and the simulator', () => {
  it('chats, whole', async () => {
    const { client } = await start();
    const answer = await client.chat.completions.create({ ...chat, max_completion_tokens: 6 });
    expect(answer).toMatchObject({
      object: 'chat.completion',
      model: 'tiny',
      choices: [{ finish_reason: 'length', message: { role: 'assistant', content: 'tiny, version none:' } }],
      usage: { completion_tokens: 6 },
    });
  });

  it('chats, streamed, with usage only when it is asked for', async () => {
    const { client } = await start();
    const whole = await client.chat.completions.create(chat);
    const stream = await client.chat.completions.create({
      ...chat,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    let finish: string | null = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    expect([text, finish]).toEqual([whole.choices[0]!.message.content, 'stop']);
    expect(usage).toMatchObject({ completion_tokens: whole.usage!.completion_tokens });
    const silent = await client.chat.completions.create({ ...chat, stream: true });
    for await (const chunk of silent) expect(chunk.usage).toBeUndefined();
  });

  it('completes text, and stops where it is told', async () => {
    const { client } = await start();
    const answer = await client.completions.create({ model: 'tiny', prompt: 'My dear', stop: ' version' });
    expect(answer.choices[0]).toMatchObject({ text: 'tiny,', finish_reason: 'stop' });
  });

  it('S11: headers as large as any that a public endpoint lets in', async () => {
    const { url } = await start();
    expect((await fetch(`${url}/v1/models`, { headers: { 'x-large': 'x'.repeat(31_000) } })).status).toBe(200);
  });

  it('S11: a body beyond its bound is answered, not cut off', async () => {
    const { url } = await start();
    const body = JSON.stringify({ ...chat, pad: 'x'.repeat(9 * 1024 * 1024) });
    const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', body });
    expect([answer.status, await answer.json()]).toMatchObject([413, { error: { code: 'body_too_large' } }]);
  });

  it('lists its model', async () => {
    const { client } = await start();
    const { data } = await client.models.list();
    expect(data.map(({ id, owned_by }) => [id, owned_by])).toEqual([['tiny', 'vllm']]);
  });

  it.each([
    ['another model', { ...chat, model: 'huge' }, 404, 'model_not_found'],
    [
      'a prompt that does not fit',
      { ...chat, messages: [{ role: 'user' as const, content: 'x'.repeat(40_000) }] },
      400,
      'context_length_exceeded',
    ],
    ['more answers than one', { ...chat, n: 2 }, 400, 'unsupported_value'],
    ['a bad value', { ...chat, temperature: 9 }, 400, null],
  ])('refuses %s as OpenAI does', async (_name, body, status, code) => {
    const { client } = await start();
    await expect(client.chat.completions.create(body)).rejects.toMatchObject({ status, code });
  });
});

describe('the simulated accelerator', () => {
  it('computes a prefix once', async () => {
    const { client, url } = await start(['--block-tokens', '4']);
    const first = await client.chat.completions.create(chat);
    const second = await client.chat.completions.create(chat);
    expect(first.usage).toMatchObject({ prompt_tokens_details: { cached_tokens: 0 } });
    const { cached_tokens: cached } = second.usage!.prompt_tokens_details!;
    expect(cached).toBeGreaterThan(8);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain(`vllm:prefix_cache_hits_total{engine="0",model_name="tiny"} ${cached}`);
  });

  it('takes so many at a time, lets so many wait, and refuses the rest', async () => {
    const { client, url } = await start(['--slots', '1', '--queue-max', '1', '--first-token-ms', '60000']);
    const abort = new AbortController();
    const asked = Array.from({ length: 3 }, () =>
      client.chat.completions.create(chat, { signal: abort.signal }).catch((cause: unknown) => cause),
    );
    expect(await Promise.race(asked)).toMatchObject({ status: 503, code: 'engine_overloaded' });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('vllm:num_requests_running{engine="0",model_name="tiny"} 1');
    expect(metrics).toContain('vllm:num_requests_waiting{engine="0",model_name="tiny"} 1');
    expect(metrics).toMatch(/vllm:kv_cache_usage_perc\{[^}]*\} 0\.0[1-9]/);
    abort.abort();
    await Promise.all(asked);
  });

  it('takes time for the first token by what is not cached, and for each more', async () => {
    const { client } = await start(['--first-token-ms', '20', '--prefill-ms-per-token', '1', '--token-ms', '5']);
    const startedAtMs = performance.now();
    const { usage } = await client.chat.completions.create({ ...chat, max_tokens: 10 });
    // Timers are never early; how late they are is not the simulator's doing.
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(20 + usage!.prompt_tokens + 9 * 5 - 2);
  });

  it('is not ready before it serves', async () => {
    const server = new SimServer(readSettings(['--port', '0']));
    servers.push(server);
    const url = `http://127.0.0.1:${await server.listen()}`;
    const status = async (path: string) => (await fetch(`${url}${path}`)).status;
    expect([await status('/health'), await status('/v1/models'), await status('/version')]).toEqual([503, 503, 200]);
    server.serve();
    expect(await status('/health')).toBe(200);
  });

  it('with a token answers nobody without it but probes', async () => {
    const { url } = await start(['--token', 'secret']);
    const status = async (path: string, authorization = '') =>
      (await fetch(`${url}${path}`, { headers: { authorization } })).status;
    expect([await status('/v1/models'), await status('/instance'), await status('/nowhere')]).toEqual([401, 401, 401]);
    expect([await status('/health'), await status('/v1/models', 'Bearer secret')]).toEqual([200, 200]);
  });

  it('loads adapters, which are models then, and unloads them', async () => {
    const { client, url } = await start();
    const post = async (path: string, body: object) => {
      const response = await fetch(`${url}${path}`, { method: 'POST', body: JSON.stringify(body) });
      return [response.status, await response.text()];
    };
    const sql = { lora_name: 'sql', lora_path: '/loras/sql' };
    expect(await post('/v1/load_lora_adapter', sql)).toEqual([200, "Success: LoRA adapter 'sql' added successfully."]);
    expect((await post('/v1/load_lora_adapter', sql))[0]).toBe(400);
    const answer = await client.chat.completions.create({ ...chat, model: 'sql' });
    expect(answer.choices[0]!.message.content).toMatch(/^tiny with sql, version/);
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['tiny', 'sql']);
    expect((await post('/v1/unload_lora_adapter', sql))[0]).toBe(200);
    expect((await post('/v1/unload_lora_adapter', sql))[0]).toBe(404);
    await expect(client.chat.completions.create({ ...chat, model: 'sql' })).rejects.toMatchObject({ status: 404 });
  });

  it('counts tokens', async () => {
    const { url } = await start();
    const response = await fetch(`${url}/tokenize`, {
      method: 'POST',
      body: JSON.stringify({ prompt: 'Hello, world' }),
    });
    expect(await response.json()).toMatchObject({ count: 4, max_model_len: 4_096 });
  });

  it('names the version that an agent started it with', async () => {
    const instance = { instanceId: 'i1', replicaId: 'r1', generation: 2, versionDigest: 'abc' };
    const { url, client } = await start(['--model-version', 'abc'], instance);
    expect(await (await fetch(`${url}/instance`)).json()).toMatchObject({ ...instance, state: 'ready', inflight: 0 });
    const { response } = await client.chat.completions.create(chat).withResponse();
    expect(response.headers.get('x-atoll-version')).toBe('abc');
  });
});

describe('failures on purpose', () => {
  const streamed = { ...chat, stream: true as const };
  async function read(client: OpenAI): Promise<string> {
    let text = '';
    for await (const chunk of await client.chat.completions.create(streamed))
      text += chunk.choices[0]?.delta.content ?? '';
    return text;
  }

  it('refuse, error and hang come before the first byte', async () => {
    const refusing = await start(['--fail', 'refuse']);
    await expect(refusing.client.chat.completions.create(chat)).rejects.toMatchObject({ status: undefined });
    const erring = await start(['--fail', 'error']);
    await expect(erring.client.chat.completions.create(chat)).rejects.toMatchObject({ status: 500 });
    const { url } = await start(['--fail', 'hang']);
    const request = { method: 'POST', body: JSON.stringify(chat), signal: AbortSignal.timeout(200) };
    await expect(fetch(`${url}/v1/chat/completions`, request)).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  it('break resets the connection after so many tokens', async () => {
    const { client, url } = await start(['--fail', 'break:1:3']);
    await expect(read(client)).rejects.toThrow();
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('vllm:generation_tokens_total{engine="0",model_name="tiny"} 3');
  });

  it('garbage is nonsense that looks like an answer', async () => {
    const { url } = await start(['--fail', 'garbage:1:2']);
    const post = (body: object) => fetch(`${url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(body) });
    const stream = await post(streamed);
    const events = (await stream.text()).split('\n\n').filter((event) => event !== '');
    expect([stream.status, stream.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
    expect(events.slice(-2)).toEqual(['data: {"choices":[{"del', 'data: [DONE]']);
    await expect((await post(chat)).json()).rejects.toThrow(/JSON/);
  });

  it('a share fails the same requests in every run', async () => {
    const outcomes = async () => {
      const { client } = await start(['--fail', 'error:0.5', '--seed', '3']);
      const seen: boolean[] = [];
      for (let number = 0; number < 12; number += 1) {
        seen.push(
          await client.chat.completions.create(chat).then(
            () => true,
            () => false,
          ),
        );
      }
      return seen;
    };
    const first = await outcomes();
    expect(await outcomes()).toEqual(first);
    expect(new Set(first)).toEqual(new Set([true, false]));
  });
});
