import type { ServerResponse } from 'node:http';
import { describe, expect, it } from '@jest/globals';
import { adminServer, TOKEN } from '../../test/cli.fixture.ts';

const { server } = adminServer();

const CALL = 'POST /v1/chat/completions';
const chat = (...more: string[]) =>
  server.run(['chat', 'tiny-llm', 'Good morning!', ...more], {
    env: { ATOLL_GATEWAY_URL: server.url, ATOLL_TOKEN: TOKEN },
  });
const piece = (content: string, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: '1', object: 'chat.completion.chunk', created: 1, model: 'tiny-llm', choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`;

function stream(response: ServerResponse, ...pieces: string[]): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'x-atoll-cluster': 'edge-shanghai',
    'x-atoll-path': 'dialled',
    'x-atoll-version': 'a'.repeat(64),
    'x-atoll-attempts': '2',
  });
  for (const each of pieces) response.write(each);
  response.end();
}

describe('atoll chat', () => {
  it('streams the answer to stdout and where it came from to stderr', async () => {
    server.on(CALL, (_request, response) =>
      stream(response, piece('It is a '), piece('truth'), piece('', 'stop'), 'data: [DONE]\n\n'),
    );
    const { exitCode, out, err } = await chat();
    expect({ exitCode, out }).toEqual({ exitCode: 0, out: 'It is a truth\n' });
    expect(err).toMatch(
      /^cluster edge-shanghai · path dialled · version aaaaaaaaaaaa · first token [\d.]+ m?s · all [\d.]+ m?s · 2 attempts\n$/,
    );
    expect(server.seen[0]?.headers.authorization).toBe(`Bearer ${TOKEN}`);
  });

  it.each([
    [
      'an error event',
      [piece('half'), 'data: {"error":{"message":"The cluster broke off.","type":"server_error"}}\n\n'],
      'The cluster broke off.',
    ],
    ['no end', [piece('half'), 'data: [DONE]\n\n'], 'broke off before its end'],
  ])('calls %s a failure', async (_name, pieces, want) => {
    server.on(CALL, (_request, response) => stream(response, ...pieces));
    const { exitCode, err } = await chat();
    expect(exitCode).toBe(1);
    expect(err).toContain(want);
  });

  it('says what the gateway refused, with the request’s id and no key', async () => {
    server.on(CALL, (_request, response) => {
      response.writeHead(404, { 'content-type': 'application/json', 'x-request-id': 'r-1' });
      response.end(
        JSON.stringify({
          error: { message: 'There is no model "tiny-llm"; there is: big-llm', code: 'model_not_found' },
        }),
      );
    });
    const { exitCode, out, err } = await chat();
    expect({ exitCode, out, err }).toEqual({
      exitCode: 1,
      out: '',
      err: 'error: the gateway refused: 404 There is no model "tiny-llm"; there is: big-llm (request r-1)\n',
    });
  });

  it('says when no gateway answers', async () => {
    const { exitCode, err } = await chat('--gateway-url', 'http://127.0.0.1:1');
    expect({ exitCode, err }).toEqual({
      exitCode: 1,
      err: 'error: the gateway at http://127.0.0.1:1 does not answer. Is it running?\n',
    });
  });
});
