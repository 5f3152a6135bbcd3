// One try at one replica, whoever asked: the body in its engine's dialect, the answer byte for byte, and the account of it.
//
// `x-atoll-version` is the digest that the answering engine was started with, not what the cluster should run (DESIGN §7.6).
import type { ServerResponse } from 'node:http';
import {
  adaptError,
  adaptedStatuses,
  adaptRequest,
  type ForwardOutcome,
  type ForwardRefused,
  forwardRequest,
  headerValue,
  type InferenceSurface,
  retryableStatusesDefault,
  writeOpenAiError,
  writeRefusal,
} from '#inference';
import type { EngineEndpoint, Replica } from '../engines/replica.ts';
import type { Prompt } from './prompt.ts';
import type { Dispatch, ReplicaChoice, ReplicaRouter } from './replica-router.ts';

export interface ForwardCall {
  readonly path: string;
  readonly surface: InferenceSurface;
  readonly body: Buffer;
  /** Flat list, fit for the engine but for its token. */
  readonly headers: readonly string[];
  readonly response: ServerResponse;
  readonly prompt: Prompt;
  /** The client did not ask for a stream's usage, and it is needed here. */
  readonly asksForUsage: boolean;
  /** What was asked for so is read here and not passed on. */
  readonly hidesUsage: boolean;
  /** The usage of an answer that is no stream is needed too. */
  readonly readsUsage: boolean;
  /** Flat list, for the answer. */
  readonly answerHeaders: readonly string[];
}

export interface ForwardBounds {
  readonly firstByteTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

/** Flat list: which replica and version answer, and why this one. */
export function choiceHeaders({ replica, by }: ReplicaChoice): string[] {
  return ['x-atoll-version', replica.versionDigest, 'x-atoll-replica', replica.replicaId, 'x-atoll-choice', by];
}

/** `gone`: the engine ended in this very moment; nothing was sent. */
export async function forwardToReplica(
  call: ForwardCall,
  choice: ReplicaChoice,
  router: ReplicaRouter,
  bounds: ForwardBounds,
): Promise<ForwardOutcome | 'gone'> {
  const { replica } = choice;
  const { endpoint } = replica;
  if (endpoint === undefined || replica.phase !== 'Ready') return 'gone';
  replica.requestBegan();
  const dispatch = router.dispatched(replica, call.prompt);
  try {
    const outcome = await forward(call, choice, endpoint, dispatch, bounds);
    dispatch.finished(answerOutcome(outcome));
    return outcome;
  } finally {
    dispatch.finished('failed');
    replica.requestEnded();
  }
}

function forward(
  call: ForwardCall,
  choice: ReplicaChoice,
  endpoint: EngineEndpoint,
  dispatch: Dispatch,
  bounds: ForwardBounds,
): Promise<ForwardOutcome> {
  const { path, surface, body, headers, response, asksForUsage, hidesUsage, readsUsage, answerHeaders } = call;
  const { dialect, upstreamModel, fieldsOfModels, token, pool, basePath } = endpoint;
  return forwardRequest({
    dispatcher: pool,
    method: 'POST',
    path: `${basePath}${path}`,
    headers: [...headers, ...(token === null ? [] : ['authorization', `Bearer ${token}`])],
    body: adaptRequest(dialect, surface, body, { upstreamModel, fieldsOfModels, includeUsage: asksForUsage }),
    res: response,
    timeouts: { headersMs: bounds.firstByteTimeoutMs, bodyIdleMs: bounds.idleTimeoutMs },
    extraResponseHeaders: [...choiceHeaders(choice), ...answerHeaders],
    retryableStatuses: dialect === undefined ? retryableStatusesDefault : adaptedStatuses,
    readsUsage,
    hidesUsageEvent: hidesUsage,
    onFirstByte: (status) => {
      if (status < 400) dispatch.firstToken();
    },
  });
}

/** Statuses of the 4xx that are the replica's fault: our token, a path or model that it has not, no time, no room. */
const REPLICA_FAULTS: ReadonlySet<number> = new Set([401, 403, 404, 405, 407, 408, 429]);

/** Only a good answer says how fast a replica is, and who asks for nonsense must not make it be left alone. */
function answerOutcome(outcome: ForwardOutcome): 'answered' | 'failed' | 'cancelled' {
  if (outcome.kind === 'client-gone') return 'cancelled';
  const status = outcome.kind === 'refused' ? outcome.upstream?.status : outcome.status;
  if (status !== undefined && status >= 400 && status < 500 && !REPLICA_FAULTS.has(status)) return 'cancelled';
  return outcome.kind === 'completed' && status !== undefined && status < 400 ? 'answered' : 'failed';
}

/** Whether another replica may do better: not where the engine said what is wrong with the request. */
export function mayTryElsewhere({ upstream }: ForwardRefused): boolean {
  return upstream === undefined || retryableStatusesDefault.has(upstream.status);
}

/** The refusal as the answer: the engine's own words, in OpenAI's shape where its dialect has another. */
export function writeReplicaRefusal(
  response: ServerResponse,
  refused: ForwardRefused,
  { endpoint }: Replica,
  extraHeaders: readonly string[],
): void {
  const { upstream } = refused;
  if (upstream === undefined || endpoint?.dialect === undefined) {
    writeRefusal(response, refused, extraHeaders);
    return;
  }
  const adapted = adaptError(upstream.status, upstream.body);
  const seconds = Number(headerValue(upstream.headers, 'retry-after') ?? Number.NaN);
  const retryAfterSeconds = Number.isFinite(seconds) ? seconds : undefined;
  writeOpenAiError(response, { kind: 'upstream_error', ...adapted, retryAfterSeconds }, extraHeaders);
}
