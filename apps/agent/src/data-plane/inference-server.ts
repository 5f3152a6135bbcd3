// The agent's end of the data path: an HTTP/1.1 server on sockets that were authenticated before they came here. The
// gateway is always the client. Plain node:http and no Nest: nothing of a framework is needed on this path, and it would
// halve the rate (docs on the data path say what was measured).
//
// Every refusal before the first byte says whether another cluster may try (`x-atoll-retryable`). `x-atoll-version` is
// the digest that the answering engine was started with, not what the cluster should run (DESIGN §7.6).
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import {
  forwardableRequestHeaders,
  forwardRequest,
  type OpenAiErrorKind,
  openAiError,
  writeOpenAiError,
  writeRefusal,
} from '#inference';
import type { Replica } from '../engines/replica.ts';
import type { AgentMetrics } from '../metrics.ts';

const PATHS = new Set(['/v1/chat/completions', '/v1/completions']);
const DROPPED_HEADERS = new Set(['authorization', 'cookie', 'x-atoll-replica']);
const RETRYABLE = ['x-atoll-retryable', 'true'] as const;
/** Longest pause within a request's body. */
const BODY_STALL_MS = 30_000;

export interface InferenceServerOptions {
  readonly find: (replicaId: string) => Replica | undefined;
  readonly bodyBytesMax: number;
  readonly firstByteTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly metrics: AgentMetrics;
  /** Told of each request's begin; what it gives back is called at the end. */
  readonly onRequest?: (request: IncomingMessage) => () => void;
  /** True when the socket should close after this answer. */
  readonly isSurplus?: (request: IncomingMessage) => boolean;
}

export class InferenceServer {
  readonly #options: InferenceServerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #inflight = 0;
  #isStopping = false;
  #idle: (() => void) | undefined;

  constructor(options: InferenceServerOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => void this.#answer(request, response));
    // Sockets wait idle for as long as they live, so Node's own clocks for slow strangers are off: these are no strangers.
    this.#server.keepAliveTimeout = 0;
    this.#server.headersTimeout = 0;
    this.#server.requestTimeout = 0;
    this.#server.on('clientError', (_cause, socket) => socket.destroy());
  }

  get inflight(): number {
    return this.#inflight;
  }

  /** Serves a socket whose other end is a gateway, proven. */
  take(socket: Socket): void {
    socket.on('error', () => undefined);
    if (this.#isStopping) return void socket.destroy();
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    this.#server.emit('connection', socket);
  }

  /** Refuses what comes, lets what runs finish within `drainMs`, then closes every socket. */
  async stop(drainMs: number): Promise<void> {
    this.#isStopping = true;
    if (this.#inflight > 0 && drainMs > 0) {
      let timer: NodeJS.Timeout | undefined;
      const bound = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, drainMs);
      });
      const idle = new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
      await Promise.race([idle, bound]);
      clearTimeout(timer);
    }
    for (const socket of this.#sockets) socket.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url?.split('?', 1)[0] ?? '';
    const ended = this.#options.onRequest?.(request);
    if (ended !== undefined) response.once('close', ended);
    if (this.#isStopping || this.#options.isSurplus?.(request) === true) response.shouldKeepAlive = false;
    if (path === '/atoll/ping' && request.method === 'GET') return void response.writeHead(204).end();
    if (!PATHS.has(path)) return this.#refuse(request, response, 'route_not_found', false);
    if (request.method !== 'POST') return this.#refuse(request, response, 'method_not_allowed', false);
    if (this.#isStopping) return this.#refuse(request, response, 'shutting_down', true);
    const replicaId = request.headers['x-atoll-replica'];
    const replica = typeof replicaId === 'string' ? this.#options.find(replicaId) : undefined;
    if (replica?.phase !== 'Ready') return this.#refuse(request, response, 'no_ready_replica', true);
    this.#inflight += 1;
    replica.requestBegan();
    const beganAtMs = performance.now();
    let outcome = 'failed';
    try {
      outcome = await this.#forward(request, response, replica, path);
    } catch {
      response.destroy();
    } finally {
      replica.requestEnded();
      this.#inflight -= 1;
      if (this.#inflight === 0) this.#idle?.();
      this.#options.metrics.requestFinished(outcome, (performance.now() - beganAtMs) / 1000);
    }
  }

  async #forward(request: IncomingMessage, response: ServerResponse, replica: Replica, path: string): Promise<string> {
    const { bodyBytesMax, firstByteTimeoutMs, idleTimeoutMs } = this.#options;
    const body = await readBody(request, bodyBytesMax);
    if (body === 'gone') return 'client-gone';
    if (body === 'too-large') {
      this.#refuse(request, response, 'body_too_large', false);
      return 'refused';
    }
    // The engine may have ended while the body came.
    const { endpoint } = replica;
    if (endpoint === undefined || replica.phase !== 'Ready') {
      this.#refuse(request, response, 'no_ready_replica', true);
      return 'refused';
    }
    const version = ['x-atoll-version', replica.versionDigest];
    const outcome = await forwardRequest({
      dispatcher: endpoint.pool,
      method: 'POST',
      path: `${endpoint.basePath}${path}`,
      headers: [
        ...forwardableRequestHeaders(request.rawHeaders, DROPPED_HEADERS),
        ...(endpoint.token === null ? [] : ['authorization', `Bearer ${endpoint.token}`]),
      ],
      body,
      res: response,
      timeouts: { headersMs: firstByteTimeoutMs, bodyIdleMs: idleTimeoutMs },
      extraResponseHeaders: version,
    });
    if (outcome.kind === 'refused') writeRefusal(response, outcome, [...version, ...RETRYABLE]);
    return outcome.kind;
  }

  #refuse(request: IncomingMessage, response: ServerResponse, kind: OpenAiErrorKind, isRetryable: boolean): void {
    // What is left of the body must not be read as the next request.
    request.resume();
    writeOpenAiError(response, openAiError(kind), isRetryable ? RETRYABLE : []);
  }
}

/** The whole body, bounded in bytes and in how long it may pause. */
function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer | 'too-large' | 'gone'> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const stall = setTimeout(() => request.destroy(), BODY_STALL_MS);
    const finish = (outcome: Buffer | 'too-large' | 'gone') => {
      clearTimeout(stall);
      request.off('data', take);
      resolve(outcome);
    };
    const take = (chunk: Buffer) => {
      stall.refresh();
      bytes += chunk.length;
      if (bytes > bytesMax) return finish('too-large');
      chunks.push(chunk);
    };
    request.on('data', take);
    request.once('end', () => finish(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    request.once('close', () => finish('gone'));
    request.once('error', () => finish('gone'));
  });
}
