import type { Endpoint } from '../connection.ts';
import { FailedError } from '../errors.ts';
import { plain } from '../output/plain.ts';
import { formatMs } from '../output/units.ts';
import type { Terminal } from '../terminal.ts';

export interface ChatRequest {
  readonly model: string;
  readonly prompt: string;
  readonly system?: string;
  readonly maxTokens?: number;
  readonly temperature?: number;
  /** Only this version of the model or a newer one may answer. */
  readonly minVersion?: number;
}

const TIMEOUT_MS = 600_000;

/** Streams the answer to `out`, then says on `err` which cluster, path and version gave it and how fast. */
export async function chat(endpoint: Endpoint, request: ChatRequest, terminal: Terminal): Promise<void> {
  // The SDK takes a third of a second to load: only this command pays.
  const { default: OpenAI, APIError } = await import('openai');
  const client = new OpenAI({
    baseURL: `${endpoint.url}/v1`,
    apiKey: endpoint.token,
    // Not from the user's OPENAI_ variables: they are for another service.
    organization: null,
    project: null,
    maxRetries: 0,
    timeout: TIMEOUT_MS,
    logLevel: 'off',
  });
  const startedMs = performance.now();
  try {
    const { data: stream, response } = await client.chat.completions
      .create(bodyOf(request), { signal: terminal.signal, headers: headersOf(request) })
      .withResponse();
    const answer = new Answer(terminal);
    for await (const chunk of stream) {
      answer.add(chunk.choices[0]?.delta.content ?? '', performance.now() - startedMs);
      answer.finishReason ??= chunk.choices[0]?.finish_reason ?? null;
      answer.tokens = chunk.usage?.completion_tokens ?? answer.tokens;
    }
    answer.end();
    terminal.signal.throwIfAborted();
    if (answer.finishReason === null) throw new FailedError('the answer broke off before its end');
    terminal.err(`${summaryOf(response.headers, answer, performance.now() - startedMs)}\n`);
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    throw new FailedError(failureOf(error, endpoint.url), { cause: error });
  }
}

function bodyOf({ model, prompt, system, maxTokens, temperature }: ChatRequest) {
  return {
    model,
    messages: [
      ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
      { role: 'user' as const, content: prompt },
    ],
    stream: true as const,
    stream_options: { include_usage: true },
    max_tokens: maxTokens,
    temperature,
  };
}

function headersOf({ minVersion }: ChatRequest): Record<string, string> {
  return minVersion === undefined ? {} : { 'x-atoll-min-version': String(minVersion) };
}

class Answer {
  firstTokenMs: number | null = null;
  finishReason: string | null = null;
  tokens: number | null = null;
  private endsLine = true;

  constructor(private readonly terminal: Terminal) {}

  add(text: string, elapsedMs: number): void {
    if (text === '') return;
    this.firstTokenMs ??= elapsedMs;
    this.terminal.out(plain(text));
    this.endsLine = text.endsWith('\n');
  }

  end(): void {
    if (!this.endsLine) this.terminal.out('\n');
  }
}

function summaryOf(headers: Headers, { firstTokenMs, tokens }: Answer, totalMs: number): string {
  const attempts = headers.get('x-atoll-attempts');
  return [
    `cluster ${headers.get('x-atoll-cluster') ?? 'not said'}`,
    `path ${headers.get('x-atoll-path') ?? 'not said'}`,
    versionOf(headers),
    firstTokenMs === null ? 'no token' : `first token ${formatMs(firstTokenMs)}`,
    `all ${formatMs(totalMs)}`,
    ...(tokens === null ? [] : [`${tokens} tokens`]),
    ...(attempts === null || attempts === '1' ? [] : [`${attempts} attempts`]),
  ].join(' · ');
}

/** `version 2 (0123456789ab)` */
function versionOf(headers: Headers): string {
  const digest = headers.get('x-atoll-version')?.slice(0, 12) ?? 'not said';
  const number = headers.get('x-atoll-version-number');
  return number === null ? `version ${digest}` : `version ${number} (${digest})`;
}

function failureOf(error: { status?: number; message: string; headers?: Headers }, url: string): string {
  if (error.status === undefined && error.message.startsWith('Connection error')) {
    return `the gateway at ${url} does not answer. Is it running?`;
  }
  const requestId = error.headers?.get?.('x-request-id');
  return `the gateway refused: ${error.message}${requestId ? ` (request ${requestId})` : ''}`;
}
