import { describe, expect, it } from '@jest/globals';
import { invalidRequestFromSchema, modelNotFound, openAiError, openAiErrorTable } from './errors.ts';
import { chatCompletionRequestSchema, completionRequestSchema } from './schemas.ts';

describe('OpenAI errors', () => {
  it('give every kind a status of its family, a type and a message', () => {
    for (const [kind, row] of Object.entries(openAiErrorTable)) {
      expect([kind, row.status >= 400 && row.status < 600, row.type.length > 0, row.message.length > 0]).toEqual([
        kind,
        true,
        true,
        true,
      ]);
    }
  });

  it('fill the body from the table, and default retry-after', () => {
    expect(openAiError('no_ready_replica')).toEqual({
      kind: 'no_ready_replica',
      status: 503,
      body: {
        error: {
          message: 'No replica of the model is ready.',
          type: 'server_error',
          param: null,
          code: 'no_ready_replica',
        },
      },
      retryAfterSeconds: 2,
    });
  });

  it('list what is there when a model is unknown, with a bound', () => {
    const names = Array.from({ length: 25 }, (_, index) => `m${index}`);
    const error = modelNotFound('nope', names);
    expect(error.status).toBe(404);
    expect(error.body.error.param).toBe('model');
    expect(error.body.error.message).toContain('m19 and 5 more');
    expect(modelNotFound('nope', []).body.error.message).toContain('No model is served');
  });
});

describe('request schemas', () => {
  const chat = { model: 'm', messages: [{ role: 'user', content: 'hi' }] };
  const cases = [
    {
      name: 'role',
      schema: chatCompletionRequestSchema,
      body: { ...chat, messages: [{ role: 'x' }] },
      wantParam: 'messages[0].role',
    },
    {
      name: 'content',
      schema: chatCompletionRequestSchema,
      body: { ...chat, messages: [{ role: 'user', content: 3 }] },
      wantParam: 'messages[0].content',
    },
    {
      name: 'temperature',
      schema: chatCompletionRequestSchema,
      body: { ...chat, temperature: '1' },
      wantParam: 'temperature',
    },
    { name: 'top_p', schema: chatCompletionRequestSchema, body: { ...chat, top_p: 0 }, wantParam: 'top_p' },
    { name: 'stop', schema: chatCompletionRequestSchema, body: { ...chat, stop: [1] }, wantParam: 'stop' },
    {
      name: 'stream_options',
      schema: chatCompletionRequestSchema,
      body: { ...chat, stream_options: { include_usage: 1 } },
      wantParam: 'stream_options.include_usage',
    },
    {
      name: 'max_completion_tokens',
      schema: chatCompletionRequestSchema,
      body: { ...chat, max_completion_tokens: 0 },
      wantParam: 'max_completion_tokens',
    },
    { name: 'prompt', schema: completionRequestSchema, body: { model: 'm', prompt: {} }, wantParam: 'prompt' },
    { name: 'not an object', schema: chatCompletionRequestSchema, body: [], wantParam: null },
  ];
  it.each(cases)('refuse a bad $name by name', ({ schema, body, wantParam }) => {
    const result = schema.safeParse(body);
    expect(result.success).toBe(false);
    expect(invalidRequestFromSchema(result.error!).body.error.param).toBe(wantParam);
  });

  it('let unknown fields pass', () => {
    expect(chatCompletionRequestSchema.parse({ ...chat, top_k: 5 })).toMatchObject({ top_k: 5 });
  });
});
