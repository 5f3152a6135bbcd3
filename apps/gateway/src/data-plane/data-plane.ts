/**
 * The hot path: POST /v1/chat/completions and /v1/completions, taken before Nest sees them (GATEWAY.md: a diverted path
 * doubles the rate of a controller). Everything it needs is in memory; the body's bytes are forwarded untouched.
 *
 * A request is tried at most twice, only before its first byte, and only within the retry budget (R13, R15). After the
 * first byte a break is an error event or a destroyed socket, never a clean finish (R14).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RouteCluster, RouteDeployment, RouteKey } from '#domain';
import {
  asksForStreamUsage,
  bodyTooLarge,
  CLIENT_HEADERS_DROPPED,
  type ForwardOutcome,
  type ForwardRefused,
  forwardableRequestHeaders,
  forwardRequest,
  INFERENCE_SURFACES,
  type InferenceSurface,
  inferenceObstacle,
  isOpenAiError,
  type KeyAuthenticator,
  MIN_VERSION_HEADER,
  mayUseModel,
  modelNotFound,
  type OpenAiError,
  openAiError,
  pathOf,
  type RoutingFields,
  readBody,
  readMinVersion,
  readRoutingFields,
  requestIdOf,
  tokensOf,
  tokensReserved,
  USAGE_HEADER,
  versionNotAvailable,
  writeOpenAiError,
  writeRefusal,
} from '#inference';
import {
  Breaker,
  type Candidate,
  type CandidateSet,
  DispatchLedger,
  describeRejections,
  findCandidates,
  PICK_POLICIES,
  type PickInputs,
  type PickPolicyName,
  RetryBudget,
} from '#routing';
import type { GatewayCharge, RequestCharging } from '../budgets/request-charging.ts';
import type { FleetView } from '../fleet/fleet-view.ts';
import type { ClusterTransport } from '../links/cluster-transport.ts';
import type { RouteTable } from '../routes/route-table.ts';
import type { RoutesFeed } from '../routes/routes-feed.ts';
import type { DataPlaneObserver } from './observer.ts';

const ATTEMPTS_MAX = 2;
/** Of a prompt that nobody has counted. */
const BYTES_A_TOKEN = 4;

export interface DataPlaneSettings {
  readonly pick: PickPolicyName;
  readonly bodyBytesMax: number;
  readonly firstByteMs: number;
  readonly idleMs: number;
  readonly inflightMax: number;
}

interface InferenceCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly path: string;
  readonly model: string;
  readonly body: Buffer;
  readonly headers: readonly string[];
  readonly startedAtMs: number;
  /** Estimated, by the size of the body. */
  readonly promptTokens: number;
  readonly charge: GatewayCharge;
  /** The client did not ask for the stream's usage, which is needed for the charge: it is not passed on. */
  readonly hidesUsage: boolean;
  /** 0: any version will do. */
  readonly versionNumberMin: number;
}

interface Refusal {
  readonly outcome: ForwardRefused;
  readonly candidate: Candidate;
  readonly attempt: number;
}

export class DataPlane {
  private readonly ledger = new DispatchLedger();
  private readonly breaker = new Breaker();
  private readonly retries = new RetryBudget();
  /** Attempts that wait for their first byte, by cluster: a cluster that turns suspect frees them to go elsewhere. */
  private readonly waiting = new Map<string, Set<AbortController>>();
  private inflight = 0;
  private draining = false;
  private readonly idleListeners: (() => void)[] = [];
  private readonly tooLarge: OpenAiError;
  // Made once: a request makes no closures of its own where these do.
  private readonly clusterProblem = (cluster: RouteCluster) => this.fleet.problem(cluster);
  private readonly openPaths = (cluster: RouteCluster) => this.transport.openPaths(cluster);
  private readonly pickInputs: PickInputs = {
    outstanding: (replicaId) => this.ledger.outstanding(replicaId),
    serviceMs: (replicaId) => this.ledger.serviceMs(replicaId, performance.now()),
    roundTripMs: () => null,
    random: Math.random,
  };

  constructor(
    private readonly feed: RoutesFeed,
    private readonly fleet: FleetView,
    private readonly transport: ClusterTransport,
    private readonly keys: KeyAuthenticator<RouteKey>,
    private readonly limits: DataPlaneSettings,
    private readonly charging: RequestCharging,
    private readonly observer: DataPlaneObserver,
  ) {
    this.tooLarge = bodyTooLarge(limits.bodyBytesMax);
    fleet.onSuspect((clusterId) => {
      for (const attempt of this.waiting.get(clusterId) ?? []) attempt.abort();
    });
  }

  /** True when the request is one of the data plane's, which then answers it. */
  readonly handle = (request: IncomingMessage, response: ServerResponse): boolean => {
    const path = pathOf(request.url);
    const surface = INFERENCE_SURFACES[path];
    if (surface === undefined) return false;
    this.answer(request, response, path, surface).catch((error: unknown) => {
      this.observer.failed(error);
      writeOpenAiError(response, openAiError('internal_error'));
    });
    return true;
  };

  /** Forgets what is no longer routed. */
  retain(table: RouteTable): void {
    this.ledger.retain(table.replicaIds);
    this.breaker.retain(table.replicaIds);
    this.transport.retain(table.clusters);
    this.fleet.retain(table.clusters);
  }

  /** Refuses new requests; resolves when those in flight are answered. */
  drain(): Promise<void> {
    this.draining = true;
    if (this.inflight === 0) return Promise.resolve();
    return new Promise((resolve) => this.idleListeners.push(resolve));
  }

  private async answer(request: IncomingMessage, response: ServerResponse, path: string, surface: InferenceSurface) {
    const requestId = requestIdOf(request.headers['x-request-id']);
    const found = this.keys.authenticate(request.headers.authorization);
    const key = found instanceof Promise ? await found : found;
    const problem = isOpenAiError(key)
      ? key
      : inferenceObstacle(request.method, key.role, {
          isDraining: this.draining,
          inflight: this.inflight,
          inflightMax: this.limits.inflightMax,
          who: 'This gateway',
        });
    if (problem !== null || isOpenAiError(key)) return this.refuse(response, requestId, problem!);
    const versionNumberMin = readMinVersion(request.headers[MIN_VERSION_HEADER]);
    if (typeof versionNumberMin !== 'number') return this.refuse(response, requestId, versionNumberMin);
    this.inflight += 1;
    try {
      const startedAtMs = performance.now();
      const body = await readBody(request, this.limits.bodyBytesMax);
      if (body === 'gone') return;
      if (body === 'too-large') return this.refuse(response, requestId, this.tooLarge);
      const read = readRoutingFields(body, surface, this.limits.bodyBytesMax);
      if (read.kind === 'error') return this.refuse(response, requestId, read.error);
      const { model } = read.fields;
      const deployments = this.deploymentsFor(key, model);
      if (deployments.length === 0) {
        const available = this.feed.table.modelsFor(key).map((one) => one.id);
        return this.refuse(response, requestId, modelNotFound(model, available));
      }
      const headers = forwardableRequestHeaders(request.rawHeaders, CLIENT_HEADERS_DROPPED);
      const call = { request, response, requestId, path, model, body, headers, startedAtMs, versionNumberMin };
      await this.charge(call, key, read, deployments);
    } finally {
      this.inflight -= 1;
      if (this.inflight === 0) for (const listener of this.idleListeners.splice(0)) listener();
    }
  }

  /** Room in the key's budgets, then the answer, then what it came to: nothing when there was none. */
  private async charge(
    call: Omit<InferenceCall, 'charge' | 'promptTokens' | 'hidesUsage'>,
    key: RouteKey,
    { fields, value }: { readonly fields: RoutingFields; readonly value: Readonly<Record<string, unknown>> },
    deployments: readonly RouteDeployment[],
  ): Promise<void> {
    const [{ id: deploymentId, versionDigest }] = deployments as [RouteDeployment];
    const promptTokens = Math.ceil(call.body.length / BYTES_A_TOKEN);
    const reservedTokens = tokensReserved(promptTokens, fields.maxTokens, value);
    const asked = { deploymentId, versionDigest, servedModel: call.model, promptTokens, reservedTokens };
    const begun = this.charging.begin(key, asked);
    const charge = begun instanceof Promise ? await begun : begun;
    if ('kind' in charge) return this.refuse(call.response, call.requestId, charge);
    try {
      await this.serve({ ...call, charge, promptTokens, hidesUsage: asksForStreamUsage(value) }, deployments);
    } finally {
      charge.end(null);
    }
  }

  private deploymentsFor(key: RouteKey, model: string): readonly RouteDeployment[] {
    if (!mayUseModel(key, model)) return [];
    return this.feed.table.deployments(key.tenantId, model);
  }

  private async serve(call: InferenceCall, deployments: readonly RouteDeployment[]): Promise<void> {
    this.retries.requested();
    const tried = new Set<string>();
    let refused: Refusal | null = null;
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const found = this.candidates(deployments, tried, call.versionNumberMin);
      if (found.candidates.length === 0) {
        if (refused === null || refused.outcome.cause === 'aborted') {
          return this.refuse(call.response, call.requestId, this.noReplica(call, deployments, tried, found));
        }
        break;
      }
      // A request that is called back from a cluster that turned suspect is moved, not retried: it costs no budget.
      if (refused !== null && refused.outcome.cause !== 'aborted' && !this.retries.trySpend()) break;
      const candidate = PICK_POLICIES[this.limits.pick].pick(found.candidates, this.pickInputs);
      const outcome = await this.attempt(call, candidate, attempt);
      if (outcome.kind !== 'refused') return;
      refused = { outcome, candidate, attempt };
      // A direct dial that failed says nothing of the replica: its dialled path may still be open.
      const onlyPathFailed = candidate.path === 'direct' && outcome.cause === 'connect';
      if (!onlyPathFailed) tried.add(candidate.replica.replicaId);
    }
    if (refused !== null) relayRefusal(call, refused);
  }

  private candidates(
    deployments: readonly RouteDeployment[],
    tried: ReadonlySet<string>,
    versionNumberMin: number,
  ): CandidateSet {
    const nowMs = performance.now();
    const { clusters } = this.feed.table;
    const filters = {
      clusterProblem: this.clusterProblem,
      replicaProblem: (replicaId: string) => (this.breaker.isDown(replicaId, nowMs) ? 'failing a moment ago' : null),
      openPaths: this.openPaths,
      tried,
      versionNumberMin,
    };
    const found = findCandidates(deployments, clusters, filters);
    if (found.candidates.length > 0) return found;
    // Better a replica that failed a moment ago than none: the breaker sheds load, it does not decide alone.
    return findCandidates(deployments, clusters, { ...filters, replicaProblem: () => null });
  }

  /** Why nobody can answer; with a wanted version, which one could. */
  private noReplica(
    { model, versionNumberMin }: InferenceCall,
    deployments: readonly RouteDeployment[],
    tried: ReadonlySet<string>,
    found: CandidateSet,
  ): OpenAiError {
    const why = describeRejections(found.rejected);
    if (versionNumberMin > 0) {
      const { candidates } = this.candidates(deployments, tried, 0);
      const newest = candidates.reduce((most, { replica }) => Math.max(most, replica.versionNumber), 0);
      return versionNotAvailable(model, versionNumberMin, newest, why);
    }
    const message = `No replica of '${model}' can answer now${why === '' ? '' : ` (replicas: ${why})`}.`;
    return openAiError('no_ready_replica', { message });
  }

  private async attempt(call: InferenceCall, candidate: Candidate, attempt: number): Promise<ForwardOutcome> {
    const { replica, cluster, path } = candidate;
    const abort = new AbortController();
    const waiting = this.waiting.get(cluster.id) ?? new Set();
    this.waiting.set(cluster.id, waiting.add(abort));
    this.ledger.dispatched(replica.replicaId);
    const startedAtMs = performance.now();
    try {
      const outcome = await forwardRequest({
        dispatcher: this.transport.pool(cluster, path),
        method: 'POST',
        path: call.path,
        headers: upstreamHeaders(call, replica.replicaId),
        readsUsage: true,
        hidesUsageEvent: call.hidesUsage,
        body: call.body,
        res: call.response,
        timeouts: { headersMs: this.limits.firstByteMs, bodyIdleMs: this.limits.idleMs },
        signal: abort.signal,
        extraResponseHeaders: answerHeaders(call.requestId, candidate, attempt, true),
        untilSendable: call.charge.untilNoted,
        onFirstByte: (status) => {
          waiting.delete(abort);
          const nowMs = performance.now();
          this.observer.firstByte(candidate, status, nowMs - call.startedAtMs, nowMs - startedAtMs);
        },
      });
      this.settle(call, candidate, outcome, attempt, performance.now() - startedAtMs);
      return outcome;
    } finally {
      waiting.delete(abort);
      if (waiting.size === 0) this.waiting.delete(cluster.id);
    }
  }

  /** Writes down what an attempt showed: load and speed of the replica, and whether it or its path is in trouble. */
  private settle(
    call: InferenceCall,
    candidate: Candidate,
    outcome: ForwardOutcome,
    attempt: number,
    elapsedMs: number,
  ): void {
    const { deployment, replica } = candidate;
    const { replicaId, versionDigest } = replica;
    if (outcome.kind !== 'refused') {
      call.charge.end(tokensOf(outcome, call.promptTokens), { deploymentId: deployment.id, versionDigest });
    }
    const nowMs = performance.now();
    // Only a good answer says how fast a replica is: quick errors must not attract requests.
    this.ledger.finished(replicaId, outcome.kind === 'completed' && outcome.status < 400 ? elapsedMs : null, nowMs);
    const verdict = verdictOf(candidate, outcome);
    if (verdict === 'good') this.breaker.succeeded(replicaId);
    else if (verdict === 'replica-failed') this.breaker.failed(replicaId, nowMs);
    else if (verdict === 'path-failed') this.transport.directFailed(candidate.cluster.id);
    this.observer.attempted({ requestId: call.requestId, model: call.model, candidate, outcome, attempt, elapsedMs });
  }

  private refuse(response: ServerResponse, requestId: string, error: OpenAiError): void {
    this.observer.refused(error);
    const extra = ['x-request-id', requestId];
    // A client that keeps its connection would only be refused again: the next one may reach another gateway.
    if (this.draining && error.status !== 413) extra.push('connection', 'close');
    writeOpenAiError(response, error, extra);
  }
}

/** What an attempt's end says: nothing at all when a client left, or the gateway itself called the attempt back. */
function verdictOf(candidate: Candidate, outcome: ForwardOutcome): 'good' | 'replica-failed' | 'path-failed' | 'none' {
  if (outcome.kind === 'client-gone') return 'none';
  if (outcome.kind === 'completed') return outcome.status >= 500 ? 'replica-failed' : 'good';
  if (outcome.cause === 'aborted') return 'none';
  if (outcome.kind === 'broken') return outcome.cause === 'reported' ? 'none' : 'replica-failed';
  // 429 is an engine that works and is full.
  if (outcome.upstream?.status === 429) return 'none';
  return candidate.path === 'direct' && outcome.cause === 'connect' ? 'path-failed' : 'replica-failed';
}

/** The last attempt's refusal, as the answer. */
function relayRefusal(call: InferenceCall, { outcome, candidate, attempt }: Refusal): void {
  const { response } = call;
  if (response.headersSent || response.destroyed) return;
  // Only what a replica said itself has a version that it came from.
  const extra = answerHeaders(call.requestId, candidate, attempt, outcome.upstream !== undefined);
  if (outcome.cause === 'aborted') {
    const message = 'The clusters that were asked stopped answering.';
    writeOpenAiError(response, openAiError('no_ready_replica', { message }), extra);
  } else writeRefusal(response, outcome, extra);
}

function upstreamHeaders({ headers, requestId, hidesUsage }: InferenceCall, replicaId: string): string[] {
  const own = ['x-atoll-replica', replicaId, 'x-request-id', requestId];
  return hidesUsage ? [...headers, ...own, USAGE_HEADER, 'true'] : [...headers, ...own];
}

/** The digest comes from the cluster that serves it; its number is what the routes say of that replica. */
function answerHeaders(
  requestId: string,
  { replica, cluster, path }: Candidate,
  attempt: number,
  hasVersion: boolean,
): string[] {
  const headers = [
    'x-request-id',
    requestId,
    'x-atoll-cluster',
    cluster.name,
    'x-atoll-path',
    path,
    'x-atoll-attempts',
    String(attempt),
  ];
  if (hasVersion && replica.versionNumber > 0) headers.push('x-atoll-version-number', String(replica.versionNumber));
  return headers;
}
