import { describe, expect, it } from '@jest/globals';
import { type InferenceSurface, readRoutingFields } from './routing-fields.ts';

const messages = [{ role: 'user', content: 'hi' }];

describe('readRoutingFields', () => {
  it('reads what routing needs and nothing more', () => {
    const body = { model: 'm', messages, stream: true, user: 'u', max_tokens: 5, max_completion_tokens: 7, x: [1] };
    expect(readRoutingFields(Buffer.from(JSON.stringify(body)))).toEqual({
      kind: 'fields',
      value: body,
      fields: { model: 'm', stream: true, user: 'u', maxTokens: 7 },
    });
  });

  it.each([
    [{ max_tokens: 9, max_completion_tokens: 1 }, 9],
    [{ max_tokens: null, max_completion_tokens: 3 }, 3],
    [{ max_tokens: 4 }, 4],
  ])('of %j the answer may come to %d tokens, whichever an engine takes', (limits, maxTokens) => {
    const read = readRoutingFields(Buffer.from(JSON.stringify({ model: 'm', messages, ...limits })));
    expect(read).toMatchObject({ fields: { maxTokens } });
  });

  it('has defaults, for absent and for null', () => {
    const body = { model: 'm', prompt: 'x', stream: null, user: null, max_tokens: null };
    expect(readRoutingFields(Buffer.from(JSON.stringify(body)), 'completions')).toEqual({
      kind: 'fields',
      value: body,
      fields: { model: 'm', stream: false, user: null, maxTokens: null },
    });
  });

  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  interface Refusal {
    readonly name: string;
    readonly body: unknown;
    readonly surface?: InferenceSurface;
    readonly wantParam: string | null;
    readonly wantMessage: string;
  }
  const refusals: Refusal[] = [
    { name: 'empty body', body: '', wantParam: null, wantMessage: 'empty' },
    { name: 'broken JSON', body: '{"model":"secret prompt', wantParam: null, wantMessage: 'not valid JSON' },
    { name: 'not UTF-8', body: Buffer.from([0x7b, 0xff, 0x7d]), wantParam: null, wantMessage: 'UTF-8' },
    { name: 'a list', body: [], wantParam: null, wantMessage: 'not a list' },
    { name: 'null', body: null, wantParam: null, wantMessage: 'not null' },
    { name: 'a number', body: 3, wantParam: null, wantMessage: 'not a number' },
    { name: 'no model', body: { messages }, wantParam: 'model', wantMessage: 'Missing' },
    { name: 'model of another type', body: { model: 3, messages }, wantParam: 'model', wantMessage: 'not a number' },
    { name: 'blank model', body: { model: ' ', messages }, wantParam: 'model', wantMessage: 'empty' },
    { name: 'huge model', body: { model: 'm'.repeat(257), messages }, wantParam: 'model', wantMessage: '256' },
    { name: 'no messages', body: { model: 'm' }, wantParam: 'messages', wantMessage: 'Missing' },
    {
      name: 'messages of another type',
      body: { model: 'm', messages: 'x' },
      wantParam: 'messages',
      wantMessage: 'list',
    },
    { name: 'no message', body: { model: 'm', messages: [] }, wantParam: 'messages', wantMessage: 'at least one' },
    { name: 'no prompt', body: { model: 'm' }, surface: 'completions', wantParam: 'prompt', wantMessage: 'Missing' },
    {
      name: 'prompt of another type',
      body: { model: 'm', prompt: {} },
      surface: 'completions',
      wantParam: 'prompt',
      wantMessage: 'an object',
    },
    {
      name: 'stream of another type',
      body: { model: 'm', messages, stream: 'true' },
      wantParam: 'stream',
      wantMessage: 'a boolean',
    },
    {
      name: 'user of another type',
      body: { model: 'm', messages, user: 1 },
      wantParam: 'user',
      wantMessage: 'a string',
    },
    { name: 'huge user', body: { model: 'm', messages, user: 'u'.repeat(513) }, wantParam: 'user', wantMessage: '512' },
    {
      name: 'fractional max_tokens',
      body: { model: 'm', messages, max_tokens: 1.5 },
      wantParam: 'max_tokens',
      wantMessage: 'whole number',
    },
    {
      name: 'max_completion_tokens of another type',
      body: { model: 'm', messages, max_completion_tokens: '1' },
      wantParam: 'max_completion_tokens',
      wantMessage: 'a string',
    },
    { name: 'nesting', body: `{"model":"m","messages":${deep}}`, wantParam: null, wantMessage: '64 levels' },
  ];
  it.each(refusals)('refuses: $name', ({ body, surface, wantParam, wantMessage }) => {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    const result = readRoutingFields(bytes, surface);
    if (result.kind !== 'error') throw new Error('was not refused');
    expect(result.error.status).toBe(400);
    expect(result.error.body.error.param).toBe(wantParam);
    expect(result.error.body.error.message).toContain(wantMessage);
    expect(result.error.body.error.message).not.toContain('secret');
  });

  it('refuses a body beyond its bound with 413', () => {
    const result = readRoutingFields(Buffer.alloc(11), 'chat', 10);
    expect(result.kind === 'error' && result.error.status).toBe(413);
  });
});
