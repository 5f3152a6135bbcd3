import { describe, expect, it } from '@jest/globals';
import type { InferenceSurface } from '../routing-fields.ts';
import { type AdaptOptions, adaptRequest } from './adapt-request.ts';
import { DIALECT_NAMES, DIALECTS } from './dialects.ts';

const chat = (change: object = {}) => ({ model: 'tiny', messages: [{ role: 'user', content: 'Hi' }], ...change });
const completion = (change: object = {}) => ({ model: 'tiny', prompt: 'Hi', ...change });

function adapted(dialect: string | undefined, body: object, options?: AdaptOptions): unknown {
  const surface: InferenceSurface = 'messages' in body ? 'chat' : 'completions';
  return JSON.parse(adaptRequest(dialect, surface, Buffer.from(JSON.stringify(body)), options).toString('utf8'));
}

describe('requests in the dialect of an engine', () => {
  interface Case {
    readonly name: string;
    readonly dialect: string;
    readonly body: object;
    readonly options?: AdaptOptions;
    readonly want: object;
  }
  const developer = [{ role: 'developer', content: 'Be short.' }];
  const system = [{ role: 'system', content: 'Be short.' }];
  const parts = [
    { type: 'text', text: 'What is ' },
    { type: 'text', text: 'this?' },
  ];
  const image = [...parts, { type: 'image_url', image_url: { url: 'data:image/png;base64,' } }];
  const cases: readonly Case[] = [
    {
      name: 'vllm keeps the newer token limit and the developer',
      dialect: 'vllm',
      body: chat({ max_completion_tokens: 5, messages: developer }),
      want: chat({ max_completion_tokens: 5, messages: developer }),
    },
    ...(['llamacpp', 'ollama', 'lmdeploy', 'mindie'] as const).flatMap((dialect) => [
      {
        name: `${dialect} gets the older token limit`,
        dialect,
        body: chat({ max_completion_tokens: 5 }),
        want: chat({ max_tokens: 5 }),
      },
      {
        name: `${dialect} gets a developer as system`,
        dialect,
        body: chat({ messages: developer }),
        want: chat({ messages: system }),
      },
    ]),
    {
      name: 'of two token limits the older stays',
      dialect: 'ollama',
      body: chat({ max_completion_tokens: 5, max_tokens: 9 }),
      want: chat({ max_tokens: 9 }),
    },
    {
      name: 'an older limit of null is none',
      dialect: 'ollama',
      body: chat({ max_completion_tokens: 5, max_tokens: null }),
      want: chat({ max_tokens: 5 }),
    },
    {
      name: 'mindie gets text parts as one string',
      dialect: 'mindie',
      body: chat({ messages: [{ role: 'user', content: parts }] }),
      want: chat({ messages: [{ role: 'user', content: 'What is this?' }] }),
    },
    {
      name: 'mindie gets parts with an image as they are',
      dialect: 'mindie',
      body: chat({ messages: [{ role: 'user', content: image }] }),
      want: chat({ messages: [{ role: 'user', content: image }] }),
    },
    {
      name: 'mindie gets no stream options',
      dialect: 'mindie',
      body: chat({ stream: true, stream_options: { include_usage: true } }),
      want: chat({ stream: true }),
    },
    {
      name: 'nor in text completions',
      dialect: 'mindie',
      body: completion({ stream: true, stream_options: { include_usage: true } }),
      want: completion({ stream: true }),
    },
    {
      name: 'ollama gets no fields about somebody’s service',
      dialect: 'ollama',
      body: chat({ prompt_cache_key: 'k', store: false, metadata: {}, temperature: 0 }),
      want: chat({ temperature: 0 }),
    },
    ...[chat, completion].map((bodyOf) => ({
      name: 'S6: ollama, which reads names in any case, gets no second model and no second bound',
      dialect: 'ollama',
      body: bodyOf({ MODEL: 'another', Max_Tokens: 9_999, max_tokenſ: 9_999, max_tokens: 5 }),
      want: bodyOf({ max_tokens: 5 }),
    })),
    {
      name: 'fields that nobody knows pass',
      dialect: 'mindie',
      body: chat({ ignore_eos: true, top_k: 3 }),
      want: chat({ ignore_eos: true, top_k: 3 }),
    },
    {
      name: 'usage is asked for where the client did not',
      dialect: 'vllm',
      body: chat({ stream: true, stream_options: { continuous_usage_stats: true } }),
      options: { includeUsage: true },
      want: chat({ stream: true, stream_options: { continuous_usage_stats: true, include_usage: true } }),
    },
    {
      name: 'but not of what is no stream',
      dialect: 'vllm',
      body: chat(),
      options: { includeUsage: true },
      want: chat(),
    },
    {
      name: 'nor where a stream says it anyway',
      dialect: 'mindie',
      body: chat({ stream: true }),
      options: { includeUsage: true },
      want: chat({ stream: true }),
    },
    {
      name: 'the model goes by the engine’s name',
      dialect: 'openai',
      body: completion(),
      options: { upstreamModel: 'meta-llama/Llama-3.1-8B' },
      want: completion({ model: 'meta-llama/Llama-3.1-8B' }),
    },
    {
      name: 'an adapter goes by its fields',
      dialect: 'sglang',
      body: chat({ model: 'sql' }),
      options: { upstreamModel: 'base', fieldsOfModels: new Map([['sql', { model: 'base', lora_path: 'sql' }]]) },
      want: chat({ model: 'base', lora_path: 'sql' }),
    },
    {
      name: 'a dialect of a newer release is plain OpenAI',
      dialect: 'constructor',
      body: chat({ max_completion_tokens: 5 }),
      want: chat({ max_completion_tokens: 5 }),
    },
  ];
  it.each(cases)('$name', ({ dialect, body, options, want }) => {
    expect(adapted(dialect, body, options)).toEqual(want);
  });

  it.each(DIALECT_NAMES)('%s: the very bytes go on when nothing is to be changed', (dialect) => {
    for (const body of [chat({ temperature: 0.5 }), completion({ stream: true })]) {
      const bytes = Buffer.from(JSON.stringify(body));
      expect(adaptRequest(dialect, 'messages' in body ? 'chat' : 'completions', bytes)).toBe(bytes);
    }
  });

  it.each(['[1]', 'null', '{"model":', '"text"'])('what is no object goes on as it is: %s', (text) => {
    const bytes = Buffer.from(text);
    expect(adaptRequest('ollama', 'chat', bytes, { upstreamModel: 'x' })).toBe(bytes);
  });

  it('whole numbers keep every digit', () => {
    const bytes = Buffer.from('{"model":"a","messages":[],"seed":12345678901234567890,"n":1e2}');
    expect(adaptRequest('openai', 'chat', bytes, { upstreamModel: 'b' }).toString()).toBe(
      '{"model":"b","messages":[],"seed":12345678901234567890,"n":100}',
    );
  });

  it('text of every script passes unchanged', () => {
    const body = chat({ messages: [{ role: 'developer', content: '你好 \u{1f40b} "\\u0000' }] });
    expect(adapted('llamacpp', body)).toEqual(
      chat({ messages: [{ role: 'system', content: '你好 \u{1f40b} "\\u0000' }] }),
    );
  });

  it('every dialect says what it is', () => {
    for (const { meaning } of Object.values(DIALECTS)) expect(meaning.length).toBeGreaterThan(5);
  });
});
