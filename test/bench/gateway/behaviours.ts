/** What a fake engine does with a request. */
import type { ServerResponse } from 'node:http';
import type { Behaviour } from './fake-cluster.ts';

const SSE = { 'content-type': 'text/event-stream; charset=utf-8', 'x-atoll-version': 'f'.repeat(64) };
const JSON_HEAD = { 'content-type': 'application/json', 'x-atoll-version': 'f'.repeat(64) };

export function chunkOf(text: string): string {
  const choices = [{ index: 0, delta: { content: text }, finish_reason: null }];
  const chunk = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'tiny', choices };
  return `data: ${JSON.stringify(chunk)}\n\n`;
}

/** A whole answer: streamed when the request asks for it, `tokens` of them, `intervalMs` apart (0: all at once). */
export function answering({ tokens = 3, intervalMs = 0, headMs = 0 } = {}): Behaviour {
  return (_request, response, body) => {
    const { stream } = JSON.parse(body.toString('utf8')) as { stream?: boolean };
    const answer = () => (stream === true ? streamTokens(response, tokens, intervalMs) : writeWhole(response, tokens));
    if (headMs === 0) answer();
    else setTimeout(answer, headMs);
  };
}

/** `tokens` good ones, then whatever `then` does. */
export function breakingAfter(tokens: number, then: (response: ServerResponse) => void): Behaviour {
  return (_request, response) => {
    response.writeHead(200, SSE);
    for (let token = 0; token < tokens; token += 1) response.write(chunkOf(`t${token} `));
    setTimeout(() => then(response), 20);
  };
}

export const failing =
  (status: number): Behaviour =>
  (_request, response) => {
    response.writeHead(status, JSON_HEAD).end(JSON.stringify({ error: { message: 'broken', type: 'server_error' } }));
  };

export const resetting: Behaviour = (request) => {
  request.socket.resetAndDestroy();
};

/** Takes the request and never says a word. */
export const silent: Behaviour = () => undefined;

function writeWhole(response: ServerResponse, tokens: number): void {
  const message = { role: 'assistant', content: 'token '.repeat(tokens).trim() };
  const choices = [{ index: 0, message, finish_reason: 'stop' }];
  const usage = { prompt_tokens: 1, completion_tokens: tokens, total_tokens: tokens + 1 };
  const answer = { id: 'c-1', object: 'chat.completion', created: 1_700_000_000, model: 'tiny', choices, usage };
  const text = JSON.stringify(answer);
  response.writeHead(200, { ...JSON_HEAD, 'content-length': Buffer.byteLength(text) }).end(text);
}

function streamTokens(response: ServerResponse, tokens: number, intervalMs: number): void {
  response.writeHead(200, SSE);
  if (intervalMs === 0) {
    for (let token = 0; token < tokens; token += 1) response.write(chunkOf(`t${token} `));
    response.end('data: [DONE]\n\n');
    return;
  }
  let sent = 0;
  const timer = setInterval(() => {
    response.write(chunkOf(`t${sent} `));
    sent += 1;
    if (sent < tokens) return;
    clearInterval(timer);
    response.end('data: [DONE]\n\n');
  }, intervalMs);
  response.once('close', () => clearInterval(timer));
}
