// The engine's HTTP surface on plain node:http. No Nest here: this is a small child process with five routes, one
// collaborator and no modules; a framework would cost a third of a second and 40 MB at each start of each replica.
// Invariants: nothing but /healthz answers without the bearer token, unknown paths included; at most `maxConcurrent`
// generations and `maxQueue` waiting; a client that leaves ends its generation at the next token.
import { createHash, timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  bodyBytesMaxDefault,
  FORWARDED_HEAD_BYTES_MAX,
  INFERENCE_SURFACES,
  type InferenceSurface,
  type InstanceSpec,
  type OpenAiErrorKind,
  openAiError,
  pathOf,
  readBody,
  Slots,
  writeOpenAiError,
} from '#inference';
import { type AnswerEnd, answer } from './answer.ts';
import { readGenerationRequest } from './generation-request.ts';
import type { TextGenerator } from './text-generator.ts';

export type EngineState = 'loading' | 'ready' | 'draining';
export type EngineLog = (level: 'info' | 'warn' | 'error', message: string, fields?: object) => void;

const bodyReadMs = 30_000;
const drainPollMs = 20;

export class EngineServer {
  state: EngineState = 'loading';
  readonly #spec: InstanceSpec;
  readonly #tokenDigest: Buffer;
  readonly #log: EngineLog;
  readonly #slots: Slots;
  readonly #server: http.Server;
  readonly #startedSeconds = Math.floor(Date.now() / 1000);
  #generator: TextGenerator | null = null;
  #requestsOpen = 0;

  constructor(spec: InstanceSpec, token: string, log: EngineLog) {
    this.#spec = spec;
    this.#tokenDigest = digest(token);
    this.#log = log;
    this.#slots = new Slots(spec.maxConcurrent, spec.maxQueue);
    const bounds = { requestTimeout: bodyReadMs, keepAliveTimeout: 65_000, maxHeaderSize: FORWARDED_HEAD_BYTES_MAX };
    this.#server = http.createServer(bounds, (req, res) => {
      this.#handle(req, res).catch((error: unknown) => {
        this.#log('error', 'request failed', { reason: String(error) });
        writeOpenAiError(res, openAiError('internal_error'));
      });
    });
  }

  /** Listens on 127.0.0.1, on a port of the system's choice, and says which. */
  async listen(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  serve(generator: TextGenerator): void {
    this.#generator = generator;
    if (this.state === 'loading') this.state = 'ready';
  }

  /** Stops the intake and waits for what runs and what is queued, at most `drainMs`; then cuts the rest. */
  async stop(drainMs: number): Promise<void> {
    this.state = 'draining';
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const deadlineAt = performance.now() + drainMs;
    while (this.#requestsOpen > 0 && performance.now() < deadlineAt) {
      await new Promise((resolve) => setTimeout(resolve, drainPollMs));
    }
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(req: http.IncomingMessage, res: http.ServerResponse): Promise<void> {
    const path = pathOf(req.url);
    if (path === '/healthz' && req.method === 'GET') return sendJson(res, { status: 'ok', state: this.state });
    if (!this.#isAuthorised(req.headers.authorization)) return refuse(req, res, 'invalid_api_key');
    if (path === '/instance' || path === '/v1/models') {
      if (req.method !== 'GET') return refuse(req, res, 'method_not_allowed');
      return sendJson(res, path === '/instance' ? this.#instance() : this.#models());
    }
    const surface = Object.hasOwn(INFERENCE_SURFACES, path) ? INFERENCE_SURFACES[path] : undefined;
    if (surface === undefined) return refuse(req, res, 'route_not_found');
    if (req.method !== 'POST') return refuse(req, res, 'method_not_allowed');
    if (this.state === 'draining') return refuse(req, res, 'shutting_down');
    if (this.#generator === null) return refuse(req, res, 'no_ready_replica');
    this.#requestsOpen += 1;
    try {
      await this.#generate(req, res, surface, this.#generator);
    } finally {
      this.#requestsOpen -= 1;
    }
  }

  async #generate(
    req: http.IncomingMessage,
    res: http.ServerResponse,
    surface: InferenceSurface,
    generator: TextGenerator,
  ): Promise<void> {
    const gone = new AbortController();
    res.on('close', () => gone.abort());
    const body = await readBody(req, bodyBytesMaxDefault);
    if (body === 'gone') return;
    if (body === 'too-large') return refuse(req, res, 'body_too_large');
    res.setHeader('x-atoll-version', this.#spec.versionDigest);
    const read = readGenerationRequest(body, surface, this.#spec.servedModel, generator);
    if (read.kind === 'error') return writeOpenAiError(res, read.error);
    const slot = await this.#slots.acquire(gone.signal);
    if (slot.kind === 'aborted') return;
    if (slot.kind === 'overloaded') return refuse(req, res, 'engine_overloaded');
    const startedAt = performance.now();
    try {
      this.#report(await answer(read.request, generator, this.#spec, res, gone.signal), startedAt);
    } finally {
      slot.release();
    }
  }

  #report(end: AnswerEnd, startedAt: number): void {
    const durationMs = Math.round(performance.now() - startedAt);
    const { kind, completionTokens } = end;
    if (kind === 'failed') this.#log('error', 'generation failed', { completionTokens, reason: end.error.message });
    else this.#log('info', 'generation ended', { kind, completionTokens, durationMs });
  }

  #instance(): object {
    const { instanceId, replicaId, generation, versionDigest } = this.#spec;
    const { running: inflight, queued } = this.#slots;
    return { instanceId, replicaId, generation, versionDigest, state: this.state, inflight, queued, pid: process.pid };
  }

  #models(): object {
    const { servedModel: id } = this.#spec;
    return { object: 'list', data: [{ id, object: 'model', created: this.#startedSeconds, owned_by: 'atoll' }] };
  }

  /** Digests are compared, so that neither length nor content of the token shows in the time it takes. */
  #isAuthorised(header: string | undefined): boolean {
    const token = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1] ?? '';
    return timingSafeEqual(digest(token), this.#tokenDigest);
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function sendJson(res: http.ServerResponse, value: object): void {
  res.writeHead(200, { 'content-type': 'application/json; charset=utf-8' });
  res.end(JSON.stringify(value));
}

function refuse(req: http.IncomingMessage, res: http.ServerResponse, kind: OpenAiErrorKind): void {
  // A body that nobody will read must not be taken for the next request.
  writeOpenAiError(res, openAiError(kind), req.complete || kind === 'body_too_large' ? [] : ['connection', 'close']);
}
