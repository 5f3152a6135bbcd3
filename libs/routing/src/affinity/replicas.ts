/**
 * What a choice between replicas of one cluster is made from. Milliseconds, bytes, tokens; everything is an argument,
 * the router's own ledger included, because reported load is a second old (SCHEDULING.md, finding 2).
 */

export interface AffinityReplica {
  readonly id: string;
  /** True: takes nothing new; what is in flight drains. */
  readonly isCordoned: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** False: the model must be loaded first. */
  readonly isLoaded: boolean;
  readonly coldStartMs: number;
  readonly freeMemoryBytes: number;
  readonly memoryBytes: number;
  /** Adapters and datasets that are held here, by name. */
  readonly holds: ReadonlySet<string>;
  /** Milliseconds of prefill a token. */
  readonly prefillMsPerToken: number;
  /** Work of this router that it has and has not finished: predicted milliseconds, and requests. */
  readonly queuedMs: number;
  readonly outstanding: number;
  /** Observed milliseconds of one request, smoothed; null: never measured. */
  readonly latencyMs: number | null;
  /** Load as reported or smoothed, any unit, ≥ 0; for the policies that use it. */
  readonly load: number;
}

export interface AffinityRequest {
  readonly promptTokens: number;
  /** Null: no session. */
  readonly sessionReplicaId: string | null;
  /** Replica → tokens of the prompt's beginning that it has cached. */
  readonly cachedTokens: (replicaId: string) => number;
  /** Bytes that it needs beside what is loaded. */
  readonly memoryBytes: number;
  /** Adapters and datasets that it needs, with what fetching each costs where it is not held. */
  readonly needs: readonly { readonly name: string; readonly fetchMs: number }[];
  readonly requiredLabels: Readonly<Record<string, string>>;
  readonly preferredLabels: Readonly<Record<string, string>>;
}

/** Why a replica may not take a request; the first that says no. A10: memory before any score. */
export function rejectReplica(replica: AffinityReplica, request: AffinityRequest): string | null {
  if (replica.isCordoned) return 'cordoned';
  if (replica.freeMemoryBytes < request.memoryBytes) {
    return `has ${replica.freeMemoryBytes} bytes free, ${request.memoryBytes} are needed`;
  }
  const missing = Object.entries(request.requiredLabels).find(([key, value]) => replica.labels[key] !== value);
  return missing === undefined ? null : `without label ${missing[0]}=${missing[1]}`;
}

/** Share of the prompt that is cached there, 0..1. */
export function prefixHit(replica: AffinityReplica, request: AffinityRequest): number {
  if (request.promptTokens <= 0) return 0;
  return Math.min(1, request.cachedTokens(replica.id) / request.promptTokens);
}

/**
 * Milliseconds until the first token: what is queued, the start of the model where it is not loaded, what must be fetched,
 * and the prefill of what is not cached.
 */
export function predictedFirstTokenMs(replica: AffinityReplica, request: AffinityRequest): number {
  const start = replica.isLoaded ? 0 : replica.coldStartMs;
  const fetched = request.needs.filter(({ name }) => !replica.holds.has(name));
  const fetchMs = fetched.reduce((sum, need) => sum + need.fetchMs, 0);
  const uncached = request.promptTokens * (1 - prefixHit(replica, request));
  return replica.queuedMs + start + fetchMs + uncached * replica.prefillMsPerToken;
}

/** Preferred labels that it has. */
export function preference(replica: AffinityReplica, { preferredLabels }: AffinityRequest): number {
  return Object.entries(preferredLabels).filter(([key, value]) => replica.labels[key] === value).length;
}
