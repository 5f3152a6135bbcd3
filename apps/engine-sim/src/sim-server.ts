/**
 * The simulator's HTTP surface: vLLM's, and `/instance` for an agent that started it. On plain node:http, as the embedded
 * engine, whose place it takes.
 *
 * Invariants: at most `slots` generations and `queueMax` waiting; a client that leaves ends its generation at the next
 * token; with a token nothing but `/health`, `/version` and `/metrics` answers without it.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  FORWARDED_HEAD_BYTES_MAX,
  INFERENCE_SURFACES,
  type InferenceSurface,
  type OpenAiErrorKind,
  openAiError,
  Slots,
  sseContentType,
  sseDone,
  writeOpenAiError,
} from '#inference';
import { AdapterRoutes } from './adapter-routes.ts';
import { AnswerShapes } from './answer-shapes.ts';
import { type Failure, failureOf } from './failures.ts';
import { FailureDue, type GenerationEnd, generate } from './generation.ts';
import { Load } from './load.ts';
import { PrefixCache } from './prefix-cache.ts';
import type { Settings } from './settings.ts';
import { readBody, readSimRequest, type SimRequest } from './sim-request.ts';
import { renderChat, tokensOf } from './tokens.ts';

/** As which an agent started it. */
export interface SimInstance {
  readonly instanceId: string;
  readonly replicaId: string;
  readonly generation: number;
  readonly versionDigest: string;
}

export const SIM_VERSION = '0.11.0+atoll.sim';
const OPEN_PATHS = new Set(['/health', '/healthz', '/version', '/metrics', '/ping']);
const DRAIN_POLL_MS = 20;

export class SimServer {
  state: 'loading' | 'ready' | 'draining' = 'loading';
  readonly load = new Load();
  readonly cache: PrefixCache;
  readonly #settings: Settings;
  readonly #instance: SimInstance | null;
  readonly #slots: Slots;
  readonly #adapters: AdapterRoutes;
  readonly #server: http.Server;
  readonly #leaked: Buffer[] = [];
  #number = 0;
  #open = 0;

  constructor(settings: Settings, instance: SimInstance | null = null) {
    this.#settings = settings;
    this.#instance = instance;
    this.#slots = new Slots(settings.slots, settings.queueMax);
    this.#adapters = new AdapterRoutes(settings.model);
    this.cache = new PrefixCache(settings.blockTokens, Math.floor(settings.cacheTokens / settings.blockTokens));
    const bounds = { keepAliveTimeout: 65_000, maxHeaderSize: FORWARDED_HEAD_BYTES_MAX };
    this.#server = http.createServer(bounds, (request, response) => {
      this.#open += 1;
      response.once('close', () => {
        this.#open -= 1;
      });
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  /** Resolves with the port. Rejects when it is taken. */
  async listen(): Promise<number> {
    const { host, port } = this.#settings;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on it answers. */
  serve(): void {
    if (this.state === 'loading') this.state = 'ready';
  }

  /** Takes nothing new and waits for what runs, at most `drainMs`; then cuts the rest. */
  async stop(drainMs: number): Promise<void> {
    this.state = 'draining';
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const deadlineMs = performance.now() + drainMs;
    while (this.#open > 0 && performance.now() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?', 1)[0]!;
    const { token, model, cacheTokens } = this.#settings;
    if (token !== undefined && !OPEN_PATHS.has(path) && request.headers.authorization !== `Bearer ${token}`) {
      return this.#refuse(request, response, 'invalid_api_key');
    }
    if (path === '/metrics') {
      const text = this.load.render(model, this.#slots, this.cache, cacheTokens);
      return void response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(text);
    }
    if (path === '/healthz') return sendJson(response, { status: 'ok', state: this.state });
    if (path === '/version') return sendJson(response, { version: SIM_VERSION });
    if (path === '/instance' && this.#instance !== null) return sendJson(response, this.#describe(this.#instance));
    if (this.state === 'draining') return this.#refuse(request, response, 'shutting_down');
    if (this.state === 'loading') return this.#refuse(request, response, 'no_ready_replica');
    if (path === '/health' || path === '/ping') return void response.writeHead(200).end();
    if (path === '/v1/models') return sendJson(response, this.#adapters.models(this.#settings.contextSize));
    if (path === '/tokenize') return this.#tokenize(request, response);
    if (this.#adapters.has(path)) return this.#adapters.answer(path, request, response);
    const surface = INFERENCE_SURFACES[path];
    if (surface === undefined) return this.#refuse(request, response, 'route_not_found');
    if (request.method !== 'POST') return this.#refuse(request, response, 'method_not_allowed');
    await this.#infer(request, response, surface);
  }

  async #infer(request: http.IncomingMessage, response: http.ServerResponse, surface: InferenceSurface): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    this.#number += 1;
    const failure = failureOf(this.#settings.fail, this.#settings.seed, this.#number);
    const body = await readBody(request);
    if (body === null) return this.#refuse(request, response, 'body_too_large');
    if (this.#settings.leakBytes > 0) this.#leaked.push(Buffer.alloc(this.#settings.leakBytes, 1));
    if (failure?.kind === 'refuse') return void response.destroy();
    if (failure?.kind === 'error') return this.#refuse(request, response, 'internal_error');
    if (failure?.kind === 'hang') return;
    const { model, contextSize } = this.#settings;
    const read = readSimRequest(body, surface, { model, adapters: this.#adapters.loaded, contextSize });
    if (read.kind === 'error') return writeOpenAiError(response, read.error);
    const slot = await this.#slots.acquire(gone.signal);
    if (slot.kind === 'overloaded') return this.#refuse(request, response, 'engine_overloaded');
    if (slot.kind === 'aborted') return;
    const held = read.request.promptTokens.length + read.request.tokensMax;
    this.load.tokensHeld += held;
    try {
      await this.#answer(read.request, response, failure, gone.signal);
    } finally {
      this.load.tokensHeld -= held;
      slot.release();
    }
  }

  async #answer(
    request: SimRequest,
    response: http.ServerResponse,
    failure: Failure | null,
    signal: AbortSignal,
  ): Promise<void> {
    const shapes = new AnswerShapes(request.surface, request.adapter ?? this.#settings.model);
    if (this.#instance !== null) response.setHeader('x-atoll-version', this.#instance.versionDigest);
    try {
      await writeAnswer(generate(request, this.#settings, this, failure, signal), request, response, shapes);
      this.load.requests += 1;
    } catch (cause) {
      this.load.failures += 1;
      if (signal.aborted) return;
      if (cause instanceof FailureDue && cause.failure.kind === 'garbage') writeGarbage(request, response);
      else response.destroy();
    }
  }

  async #tokenize(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const body = await readBody(request);
    const fields = parseObject(body);
    if (fields === null) return this.#refuse(request, response, 'invalid_request');
    const { prompt, messages } = fields;
    const text = Array.isArray(messages) ? renderChat(messages as never) : String(prompt ?? '');
    const tokens = tokensOf(text);
    sendJson(response, { count: tokens.length, max_model_len: this.#settings.contextSize, token_strs: tokens });
  }

  #describe({ instanceId, replicaId, generation, versionDigest }: SimInstance): object {
    const { running: inflight, queued } = this.#slots;
    return { instanceId, replicaId, generation, versionDigest, state: this.state, inflight, queued, pid: process.pid };
  }

  #refuse(request: http.IncomingMessage, response: http.ServerResponse, kind: OpenAiErrorKind): void {
    // A body that nobody will read must not be taken for the next request.
    writeOpenAiError(response, openAiError(kind), request.complete ? [] : ['connection', 'close']);
  }
}

async function writeAnswer(
  tokens: AsyncGenerator<string, GenerationEnd>,
  request: SimRequest,
  response: http.ServerResponse,
  shapes: AnswerShapes,
): Promise<void> {
  let text = '';
  for (;;) {
    const next = await tokens.next();
    if (request.isStreamed && !response.headersSent) {
      response.writeHead(200, { 'content-type': sseContentType, 'cache-control': 'no-cache' });
      response.write(shapes.opening());
    }
    if (next.done === true) {
      const { finishReason, usage } = next.value;
      if (!request.isStreamed) return sendJson(response, shapes.whole(text, finishReason, usage));
      const told = request.isUsageStreamed ? shapes.usage(usage) : '';
      return void response.end(shapes.closing(finishReason) + told + sseDone);
    }
    if (!request.isStreamed) text += next.value;
    else if (next.value !== '') response.write(shapes.token(next.value));
  }
}

function writeGarbage(request: SimRequest, response: http.ServerResponse): void {
  if (!response.headersSent) {
    response.writeHead(200, { 'content-type': request.isStreamed ? sseContentType : 'application/json' });
  }
  response.end(request.isStreamed ? 'data: {"choices":[{"del\n\ndata: [DONE]\n\n' : '{"id":"chatcmpl-');
}

function sendJson(response: http.ServerResponse, value: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function parseObject(body: Buffer | null): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(body?.toString('utf8') ?? '');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
