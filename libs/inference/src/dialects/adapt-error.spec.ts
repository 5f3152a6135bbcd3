import { describe, expect, it } from '@jest/globals';
import { adaptError, adaptedStatuses } from './adapt-error.ts';

describe('errors of engines in OpenAI’s shape', () => {
  const missing = 'The model `nope` does not exist.';
  const cases = [
    {
      name: 'vLLM',
      status: 404,
      body: { error: { message: missing, type: 'NotFoundError', param: 'model', code: 404 } },
      want: { message: missing, type: 'invalid_request_error', param: 'model', code: 'model_not_found' },
    },
    {
      name: 'vLLM before 0.10, SGLang, LMDeploy',
      status: 404,
      body: { object: 'error', message: missing, type: 'NotFoundError', param: null, code: 404 },
      want: { message: missing, type: 'invalid_request_error', param: 'model', code: 'model_not_found' },
    },
    {
      name: 'llama.cpp, a prompt that is too long',
      status: 400,
      body: {
        error: {
          code: 400,
          message: 'request (300 tokens) exceeds the available context size (256 tokens), try increasing it',
          type: 'exceed_context_size_error',
          n_prompt_tokens: 300,
          n_ctx: 256,
        },
      },
      want: {
        message: 'request (300 tokens) exceeds the available context size (256 tokens), try increasing it',
        type: 'invalid_request_error',
        param: null,
        code: 'context_length_exceeded',
      },
    },
    {
      name: 'Ollama on its own API',
      status: 404,
      body: { error: 'model "nope" not found, try pulling it first' },
      want: {
        message: 'model "nope" not found, try pulling it first',
        type: 'invalid_request_error',
        param: 'model',
        code: 'model_not_found',
      },
    },
    {
      name: 'MindIE',
      status: 500,
      body: { error: 'Input validation error', error_type: 'validation' },
      want: { message: 'Input validation error', type: 'server_error', param: null, code: null },
    },
    {
      name: 'FastAPI, a sentence',
      status: 405,
      body: { detail: 'Method Not Allowed' },
      want: { message: 'Method Not Allowed', type: 'invalid_request_error', param: null, code: null },
    },
    {
      name: 'FastAPI, the place of a fault',
      status: 422,
      wantStatus: 400,
      body: { detail: [{ type: 'int_parsing', loc: ['body', 'max_tokens'], msg: 'Input should be a valid integer' }] },
      want: {
        message: "Invalid 'max_tokens': Input should be a valid integer.",
        type: 'invalid_request_error',
        param: 'max_tokens',
        code: null,
      },
    },
    {
      name: 'OpenAI itself',
      status: 429,
      body: { error: { message: 'Slow down.', type: 'requests', param: null, code: 'rate_limit_exceeded' } },
      want: { message: 'Slow down.', type: 'rate_limit_error', param: null, code: 'rate_limit_exceeded' },
    },
    {
      name: 'words without a shape',
      status: 500,
      body: 'Internal Server Error',
      want: { message: 'Internal Server Error', type: 'server_error', param: null, code: null },
    },
    {
      name: 'a page of a proxy',
      status: 500,
      body: '<html><body>500</body></html>',
      want: { message: 'The engine gave no reason.', type: 'server_error', param: null, code: null },
    },
    {
      name: 'nothing at all',
      status: 400,
      body: '',
      want: { message: 'The engine gave no reason.', type: 'invalid_request_error', param: null, code: null },
    },
  ];
  it.each(cases)('$name ($status)', ({ status, body, want, wantStatus }) => {
    const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    expect(adaptError(status, bytes)).toEqual({ status: wantStatus ?? status, body: { error: want } });
  });

  it.each([401, 403])(
    'a refusal of our token (%s) is not told as one of the client’s key; S8: nor in words that may repeat it',
    (status) => {
      const { status: told, body } = adaptError(status, Buffer.from('{"error":"Received API Key = sk-...wxyz"}'));
      expect([told, body.error.code]).toEqual([502, 'upstream_error']);
      expect(body.error.message).toBe(`The engine refused the token that this cluster is configured with (${status}).`);
    },
  );

  it('S6: a redirect is never handed on', () => {
    expect([...adaptedStatuses].filter((status) => status < 400)).toContain(307);
    expect(adaptError(307, null)).toMatchObject({ status: 502, body: { error: { code: 'upstream_error' } } });
  });

  it('bounds what an engine says', () => {
    const { body } = adaptError(400, Buffer.from(JSON.stringify({ error: 'x'.repeat(100_000) })));
    expect(body.error.message).toHaveLength(4_000);
  });
});
