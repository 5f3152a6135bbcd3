/**
 * What a choice between replicas of one cluster is made from. Milliseconds, bytes, tokens; everything is an argument,
 * the router's own ledger included, because reported load is a second old (SCHEDULING.md, finding 2).
 */

/** What the caller knows of a replica. */
export interface ReplicaFacts {
  readonly id: string;
  /** True: takes nothing new; what is in flight drains. */
  readonly isCordoned: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** False: the model must be loaded first. */
  readonly isLoaded: boolean;
  readonly coldStartMs: number;
  /** Absent: not known, and nothing is refused for it. */
  readonly freeMemoryBytes?: number;
  readonly memoryBytes?: number;
  /** Adapters and datasets that are held here, by name. */
  readonly holds: ReadonlySet<string>;
  /** Requests that it answers at once; what comes on top waits for one of them to end. Default 256. */
  readonly slots?: number;
  /** What its engine works on for others, as it told last: no ledger of ours knows of that. Absent: nothing, or not told. */
  readonly foreign?: ForeignRequests;
}

/** Requests of others at an engine that is not ours alone. */
export interface ForeignRequests {
  /** Each has a slot. */
  readonly running: number;
  /** Each is a prompt that is ahead. */
  readonly waiting: number;
}

/** And what the router knows of it, for one request. */
export interface AffinityReplica extends ReplicaFacts {
  /** Tokens of the request's beginning that it has cached. */
  readonly cachedTokens: number;
  /** Milliseconds of prefill a token. */
  readonly prefillMsPerToken: number;
  /** Work of this router that it has and has not finished: predicted milliseconds, and requests. */
  readonly queuedMs: number;
  readonly outstanding: number;
  /** Predicted milliseconds of work that it was given of late. */
  readonly recentMs: number;
  /** Observed milliseconds of one request, smoothed; null: not measured, or too long ago. */
  readonly latencyMs: number | null;
  /** Load as reported or smoothed, any unit, ≥ 0; for the policies that use it. */
  readonly load: number;
}

export interface AffinityRequest {
  readonly promptTokens: number;
  /** Null: no session. */
  readonly sessionReplicaId: string | null;
  /** Bytes that it needs beside what is loaded. */
  readonly memoryBytes: number;
  /**
   * Adapters and datasets that it needs, with what fetching each costs where it is not held; null: nobody fetches it for a
   * request, so that only who holds it may answer.
   */
  readonly needs: readonly { readonly name: string; readonly fetchMs: number | null }[];
  readonly requiredLabels: Readonly<Record<string, string>>;
  readonly preferredLabels: Readonly<Record<string, string>>;
}

/** Why a replica may not take a request; the first that says no. A10: memory before any score. */
export function rejectReplica(replica: ReplicaFacts, request: AffinityRequest): string | null {
  if (replica.isCordoned) return 'cordoned';
  if (replica.freeMemoryBytes !== undefined && replica.freeMemoryBytes < request.memoryBytes) {
    return `has ${replica.freeMemoryBytes} bytes free, ${request.memoryBytes} are needed`;
  }
  const needed = request.needs.find(({ name, fetchMs }) => fetchMs === null && !replica.holds.has(name));
  if (needed !== undefined) return `without ${needed.name}`;
  const missing = Object.entries(request.requiredLabels).find(([key, value]) => replica.labels[key] !== value);
  return missing === undefined ? null : `without label ${missing[0]}=${missing[1]}`;
}

/** Share of the prompt that is cached there, 0..1. */
export function prefixHit(
  { cachedTokens }: AffinityReplica,
  { promptTokens }: Pick<AffinityRequest, 'promptTokens'>,
): number {
  return promptTokens <= 0 ? 0 : Math.min(1, cachedTokens / promptTokens);
}

/** Tokens of the prompt that it must compute. */
export function uncachedTokens(
  { cachedTokens }: AffinityReplica,
  { promptTokens }: Pick<AffinityRequest, 'promptTokens'>,
): number {
  return Math.max(0, promptTokens - cachedTokens);
}

/**
 * Milliseconds of work until the first token, once it is this request's turn: the start of the model where it is not
 * loaded, what must be fetched, and the prefill of what is not cached.
 */
export function predictedWorkMs(
  replica: AffinityReplica,
  request: Pick<AffinityRequest, 'needs' | 'promptTokens'>,
): number {
  let workMs = replica.isLoaded ? 0 : replica.coldStartMs;
  for (const { name, fetchMs } of request.needs) if (!replica.holds.has(name)) workMs += fetchMs ?? 0;
  return workMs + uncachedTokens(replica, request) * replica.prefillMsPerToken;
}

/** Milliseconds until the first token: what is queued, and the work. */
export function predictedFirstTokenMs(
  replica: AffinityReplica,
  request: Pick<AffinityRequest, 'needs' | 'promptTokens'>,
): number {
  return replica.queuedMs + predictedWorkMs(replica, request);
}

/** Preferred labels that it has. */
export function preference(replica: ReplicaFacts, { preferredLabels }: AffinityRequest): number {
  return Object.entries(preferredLabels).filter(([key, value]) => replica.labels[key] === value).length;
}
