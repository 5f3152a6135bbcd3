// The cluster's own OpenAI endpoint: the gateway's surface for who is near, also while the centre, NATS and the network
// are gone (R4). Keys, models and budgets come from the offline bundle; replicas are those of this cluster.
//
// In this order: key (S3; without one every path is 401), what stands in the way, body, model, replica, budget, engine. A
// request is tried at most twice, only before its first byte, and only within the retry budget (R13): nobody else retries
// it, for the client asked here. What cannot be judged is 503, with when the centre was last seen.
import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import {
  asksForStreamUsage,
  bodyTooLarge,
  type Charge,
  type Charging,
  CLIENT_HEADERS_DROPPED,
  createPublicServer,
  type ForwardOutcome,
  forwardableRequestHeaders,
  INFERENCE_SURFACES,
  type InferenceSurface,
  inferenceObstacle,
  isOpenAiError,
  type KeyAuthenticator,
  MIN_VERSION_HEADER,
  modelList,
  modelNotFound,
  modelObject,
  type OpenAiError,
  openAiError,
  pathOf,
  readBody,
  readMinVersion,
  readRoutingFields,
  requestIdOf,
  type ServedModel,
  tokensOf,
  tokensReserved,
  writeOpenAiError,
} from '#inference';
import { RetryBudget } from '#routing';
import { messageOf } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';
import type { OfflineKey, OfflineView } from '../offline/offline-view.ts';
import {
  choiceHeaders,
  type ForwardBounds,
  type ForwardCall,
  forwardToReplica,
  mayTryElsewhere,
  writeReplicaRefusal,
} from './forward-to-replica.ts';
import { Inflight } from './inflight.ts';
import { findReplicas } from './local-replicas.ts';
import { type Prompt, readPrompt } from './prompt.ts';
import type { ReplicaChoice, ReplicaRouter } from './replica-router.ts';

const ATTEMPTS_MAX = 2;
/** A client has this long for its request's head, and this long for the whole of it. */
const LISTENER_LIMITS = { headersMs: 20_000, requestMs: 120_000, connectionsMax: 4_096 };
const LAST_ANSWERS_MS = 1_000;
/** Beside what no client may send on: what this endpoint reads itself. */
const DROPPED_HEADERS: ReadonlySet<string> = new Set([...CLIENT_HEADERS_DROPPED, 'x-atoll-session']);

export interface LocalEndpointOptions extends ForwardBounds {
  readonly host: string;
  readonly port: number;
  readonly clusterName: string;
  readonly inflightMax: number;
  readonly bodyBytesMax: number;
  readonly keys: KeyAuthenticator<OfflineKey>;
  /** What is served by; undefined only while no bundle was ever held, when no key can be right. */
  readonly view: () => OfflineView | undefined;
  /** The number of a version that is wanted here; 0: not known. */
  readonly versionNumberOf: (versionDigest: string) => number;
  readonly router: ReplicaRouter;
  readonly charging: Charging;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

interface LocalCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly key: OfflineKey;
  readonly view: OfflineView;
}

interface ParsedCall extends LocalCall {
  readonly path: string;
  readonly surface: InferenceSurface;
  readonly body: Buffer;
  readonly value: Readonly<Record<string, unknown>>;
  readonly model: string;
  readonly maxTokens: number | null;
  readonly prompt: Prompt;
  readonly versionNumberMin: number;
}

export class LocalEndpoint {
  readonly #options: LocalEndpointOptions;
  readonly #server: Server;
  readonly #retries = new RetryBudget();
  readonly #inflight = new Inflight();
  #isDraining = false;

  constructor(options: LocalEndpointOptions) {
    this.#options = options;
    this.#server = createPublicServer(LISTENER_LIMITS, (request, response) => {
      this.#answer(request, response).catch((cause: unknown) => {
        options.log.error({ reason: messageOf(cause) }, 'the local endpoint failed; this is a bug');
        writeOpenAiError(response, openAiError('internal_error'));
      });
    });
  }

  get inflight(): number {
    return this.#inflight.count;
  }

  /** Resolves with the port once it listens. */
  async start(): Promise<number> {
    this.#server.listen(this.#options.port, this.#options.host);
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  /** Refuses new requests, lets what runs finish within `drainMs`, then closes. */
  async stop(drainMs: number): Promise<void> {
    this.#isDraining = true;
    this.#server.close();
    await this.#inflight.drained(drainMs);
    this.#server.closeIdleConnections();
    setTimeout(() => this.#server.closeAllConnections(), LAST_ANSWERS_MS).unref();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = requestIdOf(request.headers['x-request-id']);
    const found = this.#options.keys.authenticate(request.headers.authorization);
    const key = found instanceof Promise ? await found : found;
    if (isOpenAiError(key)) return this.#refuse(response, requestId, key);
    const call = { request, response, requestId, key, view: this.#options.view()! };
    const path = pathOf(request.url);
    const surface = INFERENCE_SURFACES[path];
    if (surface === undefined) return this.#listModels(call, path);
    const obstacle = inferenceObstacle(request.method, key.role, {
      isDraining: this.#isDraining,
      inflight: this.#inflight.count,
      inflightMax: this.#options.inflightMax,
      who: 'This cluster',
    });
    if (obstacle !== null) return this.#refuse(response, requestId, obstacle);
    await this.#infer(call, path, surface);
  }

  #listModels({ request, response, requestId, key, view }: LocalCall, path: string): void {
    const listed = listModels(request.method, path, view.modelsFor(key));
    if ('status' in listed) this.#refuse(response, requestId, listed);
    else this.#sendJson(response, requestId, listed);
  }

  async #infer(call: LocalCall, path: string, surface: InferenceSurface): Promise<void> {
    this.#inflight.began();
    const beganAtMs = performance.now();
    let outcome = 'failed';
    try {
      const parsed = await this.#read(call, path, surface);
      if (parsed === 'gone') outcome = 'client-gone';
      else if ('kind' in parsed) outcome = this.#refused(call, parsed);
      else outcome = await this.#serve(parsed);
    } finally {
      this.#inflight.ended();
      this.#options.metrics.requestFinished(outcome, (performance.now() - beganAtMs) / 1000);
    }
  }

  async #read(call: LocalCall, path: string, surface: InferenceSurface): Promise<ParsedCall | OpenAiError | 'gone'> {
    const { bodyBytesMax } = this.#options;
    const { headers } = call.request;
    const versionNumberMin = readMinVersion(headers[MIN_VERSION_HEADER]);
    if (typeof versionNumberMin !== 'number') return versionNumberMin;
    const body = await readBody(call.request, bodyBytesMax);
    if (body === 'gone') return 'gone';
    if (body === 'too-large') return bodyTooLarge(bodyBytesMax);
    const read = readRoutingFields(body, surface, bodyBytesMax);
    if (read.kind === 'error') return read.error;
    const { fields, value } = read;
    const { model, maxTokens } = fields;
    return {
      ...call,
      path,
      surface,
      body,
      value,
      model,
      maxTokens,
      versionNumberMin,
      prompt: readPrompt(headers, value),
    };
  }

  async #serve(call: ParsedCall): Promise<string> {
    const { charging, router, versionNumberOf } = this.#options;
    const found = findReplicas(call, router, versionNumberOf);
    if ('kind' in found) return this.#refused(call, found);
    const { route, replicas } = found;
    const charge = await charging.begin(call.key, {
      deploymentId: route.deployment.deploymentId,
      servedModel: call.model,
      versionDigest: replicas[0]!.versionDigest,
      promptTokens: call.prompt.promptTokens,
      reservedTokens: tokensReserved(call.prompt.promptTokens, call.maxTokens, call.value),
    });
    if ('kind' in charge) return this.#refused(call, charge);
    this.#retries.requested();
    return this.#tryReplicas(call, charge);
  }

  /** The first byte of an answer, or the second failure, ends it. */
  async #tryReplicas(call: ParsedCall, charge: Charge): Promise<string> {
    const { router, versionNumberOf } = this.#options;
    const tried = new Set<string>();
    let refused: { outcome: Extract<ForwardOutcome, { kind: 'refused' }>; choice: ReplicaChoice } | undefined;
    let outcome: ForwardOutcome | 'gone' = 'gone';
    try {
      for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
        if (refused !== undefined && !(mayTryElsewhere(refused.outcome) && this.#retries.trySpend())) break;
        const found = findReplicas(call, router, versionNumberOf, tried);
        const choice = 'kind' in found ? undefined : router.choose(found.replicas, call.prompt);
        if (choice === undefined) break;
        tried.add(choice.replica.replicaId);
        outcome = await this.#attempt(call, choice, attempt);
        if (outcome === 'gone') continue;
        if (outcome.kind !== 'refused') {
          charge.end(tokensOf(outcome, call.prompt.promptTokens), {
            versionDigest: choice.replica.versionDigest,
          });
          return outcome.kind;
        }
        refused = { outcome, choice };
      }
    } finally {
      // Nothing came of it: what was reserved is free again. After an end this changes nothing.
      charge.end(null);
    }
    if (refused === undefined) return this.#refused(call, openAiError('no_ready_replica'));
    const headers = [...choiceHeaders(refused.choice), ...this.#headersOf(call, refused.choice, tried.size)];
    writeReplicaRefusal(call.response, refused.outcome, refused.choice.replica, headers);
    return 'refused';
  }

  #attempt(call: ParsedCall, choice: ReplicaChoice, attempt: number): Promise<ForwardOutcome | 'gone'> {
    const { path, surface, body, response, prompt, request, value } = call;
    const forwarded: ForwardCall = {
      ...{ path, surface, body, response, prompt },
      headers: [...forwardableRequestHeaders(request.rawHeaders, DROPPED_HEADERS), 'x-request-id', call.requestId],
      asksForUsage: asksForStreamUsage(value),
      hidesUsage: asksForStreamUsage(value),
      readsUsage: true,
      answerHeaders: this.#headersOf(call, choice, attempt),
    };
    return forwardToReplica(forwarded, choice, this.#options.router, this.#options);
  }

  #headersOf(call: LocalCall, { replica }: ReplicaChoice, attempts: number): string[] {
    const number = this.#options.versionNumberOf(replica.versionDigest);
    return [
      ...this.#ownHeaders(call.requestId),
      ...['x-atoll-attempts', String(attempts)],
      ...(number > 0 ? ['x-atoll-version-number', String(number)] : []),
    ];
  }

  #ownHeaders(requestId: string): string[] {
    return ['x-request-id', requestId, 'x-atoll-cluster', this.#options.clusterName, 'x-atoll-path', 'local'];
  }

  #sendJson(response: ServerResponse, requestId: string, value: unknown): void {
    const headers = ['content-type', 'application/json; charset=utf-8', ...this.#ownHeaders(requestId)];
    response.writeHead(200, headers).end(JSON.stringify(value));
  }

  #refused({ response, requestId }: LocalCall, error: OpenAiError): 'refused' {
    this.#refuse(response, requestId, error);
    return 'refused';
  }

  #refuse(response: ServerResponse, requestId: string, error: OpenAiError): void {
    const closing = this.#isDraining && error.status !== 413 ? ['connection', 'close'] : [];
    writeOpenAiError(response, error, [...this.#ownHeaders(requestId), ...closing]);
  }
}

function listModels(method: string | undefined, path: string, models: readonly ServedModel[]) {
  const [isListing, name] = /^\/v1\/models(?:\/(.+))?$/.exec(path) ?? [];
  if (isListing === undefined) return openAiError('route_not_found');
  if (method !== 'GET') return openAiError('method_not_allowed');
  if (name === undefined) return modelList(models);
  const wanted = decoded(name);
  const available = models.map(({ id }) => id);
  const model = models.find(({ id }) => id === wanted);
  return model === undefined ? modelNotFound(wanted, available) : modelObject(model);
}

/** A name that cannot be decoded is none that is served. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
