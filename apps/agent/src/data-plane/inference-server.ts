// The agent's end of the data path: an HTTP/1.1 server on sockets that were authenticated before they came here. The
// gateway is always the client. Plain node:http and no Nest: nothing of a framework is needed on this path, and it would
// halve the rate (docs on the data path say what was measured).
//
// The gateway names a replica; any other that stands in for it (same deployment, same version) may answer, by the
// deployment's policy. Every refusal before the first byte says whether another cluster may try (`x-atoll-retryable`).
// Nothing is tried twice here: the gateway has a retry budget of its own, and two budgets would multiply (R13). Nothing is
// charged here either: the gateway charges what it forwards, and asks for a stream's usage where its client did not.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import {
  FORWARDED_HEAD_BYTES_MAX,
  type ForwardOutcome,
  forwardableRequestHeaders,
  INFERENCE_SURFACES,
  type InferenceSurface,
  type OpenAiErrorKind,
  openAiError,
  pathOf,
  readBody,
  USAGE_HEADER,
  writeOpenAiError,
} from '#inference';
import type { AgentMetrics } from '../metrics.ts';
import {
  choiceHeaders,
  type ForwardBounds,
  forwardToReplica,
  mayTryElsewhere,
  writeReplicaRefusal,
} from './forward-to-replica.ts';
import { Inflight } from './inflight.ts';
import { readPromptOf, unreadPrompt } from './prompt.ts';
import type { ReplicaRouter } from './replica-router.ts';

const DROPPED_HEADERS = new Set(['authorization', 'cookie', 'x-atoll-replica', 'x-atoll-session', USAGE_HEADER]);
const RETRYABLE = ['x-atoll-retryable', 'true'] as const;
/** Longest pause within a request's body. */
const BODY_STALL_MS = 30_000;

export interface InferenceServerOptions extends ForwardBounds {
  readonly router: ReplicaRouter;
  readonly bodyBytesMax: number;
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
  readonly #inflight = new Inflight();
  #isStopping = false;

  constructor(options: InferenceServerOptions) {
    this.#options = options;
    const bounds = { maxHeaderSize: FORWARDED_HEAD_BYTES_MAX };
    this.#server = createServer(bounds, (request, response) => void this.#answer(request, response));
    // Sockets wait idle for as long as they live, so Node's own clocks for slow strangers are off: these are no strangers.
    this.#server.keepAliveTimeout = 0;
    this.#server.headersTimeout = 0;
    this.#server.requestTimeout = 0;
    this.#server.on('clientError', (_cause, socket) => socket.destroy());
  }

  get inflight(): number {
    return this.#inflight.count;
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
    await this.#inflight.drained(drainMs);
    for (const socket of this.#sockets) socket.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = pathOf(request.url);
    const ended = this.#options.onRequest?.(request);
    if (ended !== undefined) response.once('close', ended);
    if (this.#isStopping || this.#options.isSurplus?.(request) === true) response.shouldKeepAlive = false;
    if (path === '/atoll/ping' && request.method === 'GET') return void response.writeHead(204).end();
    const surface = INFERENCE_SURFACES[path];
    if (surface === undefined) return this.#refuse(request, response, 'route_not_found', false);
    if (request.method !== 'POST') return this.#refuse(request, response, 'method_not_allowed', false);
    if (this.#isStopping) return this.#refuse(request, response, 'shutting_down', true);
    const replicaId = request.headers['x-atoll-replica'];
    if (typeof replicaId !== 'string' || this.#options.router.standInsOf(replicaId).length === 0) {
      return this.#refuse(request, response, 'no_ready_replica', true);
    }
    this.#inflight.began();
    const beganAtMs = performance.now();
    let outcome: string = 'failed';
    try {
      outcome = await this.#forward(request, response, replicaId, path, surface);
    } catch {
      response.destroy();
    } finally {
      this.#inflight.ended();
      this.#options.metrics.requestFinished(outcome, (performance.now() - beganAtMs) / 1000);
    }
  }

  async #forward(
    request: IncomingMessage,
    response: ServerResponse,
    replicaId: string,
    path: string,
    surface: InferenceSurface,
  ): Promise<ForwardOutcome['kind']> {
    const { bodyBytesMax, router } = this.#options;
    const body = await readBody(request, bodyBytesMax, BODY_STALL_MS);
    if (body === 'gone') return 'client-gone';
    if (body === 'too-large') return this.#refused(request, response, 'body_too_large', false);
    // Engines may have ended while the body came.
    const replicas = router.standInsOf(replicaId);
    const prompt = router.readsPrompt(replicas) ? readPromptOf(request.headers, body) : unreadPrompt(body);
    const choice = router.choose(replicas, prompt);
    if (choice === undefined) return this.#refused(request, response, 'no_ready_replica', true);
    const headers = forwardableRequestHeaders(request.rawHeaders, DROPPED_HEADERS);
    const call = { path, surface, body, headers, response, prompt, answerHeaders: [] };
    const outcome = await forwardToReplica(
      { ...call, asksForUsage: request.headers[USAGE_HEADER] === 'true', hidesUsage: false, readsUsage: false },
      choice,
      router,
      this.#options,
    );
    if (outcome === 'gone') return this.#refused(request, response, 'no_ready_replica', true);
    if (outcome.kind === 'refused') {
      const extra = [...choiceHeaders(choice), ...(mayTryElsewhere(outcome) ? RETRYABLE : [])];
      writeReplicaRefusal(response, outcome, choice.replica, extra);
    }
    return outcome.kind;
  }

  #refused(request: IncomingMessage, response: ServerResponse, kind: OpenAiErrorKind, isRetryable: boolean): 'refused' {
    this.#refuse(request, response, kind, isRetryable);
    return 'refused';
  }

  #refuse(request: IncomingMessage, response: ServerResponse, kind: OpenAiErrorKind, isRetryable: boolean): void {
    // What is left of the body must not be read as the next request.
    request.resume();
    writeOpenAiError(response, openAiError(kind), isRetryable ? RETRYABLE : []);
  }
}
