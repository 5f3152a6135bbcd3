// Which of this cluster's replicas takes a request, and the account of what each was given (DESIGN §6). The decision is
// the pure one of `libs/routing/affinity`; here is what is remembered between requests, one router for replicas that stand
// in for each other: of one deployment and one version.
//
// Load is the router's own ledger and nothing else: what engines say of their load is a second old (SCHEDULING.md).
import { DEFAULT_ROUTING_POLICY, type DesiredReplica, type DesiredState, type RoutingPolicy } from '#domain';
import { AffinityRouter, type AnswerOutcome, PLAIN_REQUEST, type ReplicaFacts, type RoutedRequest } from '#routing';
import type { Replica } from '../engines/replica.ts';
import type { ReplicaSupervisor } from '../engines/replica-supervisor.ts';
import type { Prompt } from './prompt.ts';

/** What is no longer served is forgotten this often. */
const SWEEP_MS = 60_000;
const NO_LABELS = {};
const HOLDS_NOTHING: ReadonlySet<string> = new Set();

export interface ReplicaRouterOptions {
  readonly replicas: Pick<ReplicaSupervisor, 'find' | 'all'>;
  readonly desired: () => DesiredState | null;
  /** How long a replica took to its first token. */
  readonly onFirstToken?: (replica: Replica, ms: number) => void;
  /** Uniform in [0, 1); default Math.random. */
  readonly random?: () => number;
  /** Monotonic milliseconds; default performance.now. */
  readonly nowMs?: () => number;
}

interface DesiredIndex {
  readonly state: DesiredState | null;
  readonly replicas: ReadonlyMap<string, DesiredReplica>;
  readonly policies: ReadonlyMap<string, RoutingPolicy>;
}

export interface ReplicaChoice {
  readonly replica: Replica;
  /** `session`, `prefix`, `exploration`, or the policy's name. */
  readonly by: string;
}

/** One request at one replica. Each may be told twice; once counts. */
export interface Dispatch {
  firstToken(): void;
  finished(outcome: AnswerOutcome): void;
}

export class ReplicaRouter {
  readonly #options: ReplicaRouterOptions;
  readonly #random: () => number;
  readonly #nowMs: () => number;
  readonly #routers = new Map<string, AffinityRouter>();
  /** Replica → the engine that it was when something was given to it last. */
  readonly #instances = new Map<string, string>();
  #indexed: DesiredIndex | undefined;
  #sweptAtMs = 0;

  constructor(options: ReplicaRouterOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#nowMs = options.nowMs ?? (() => performance.now());
  }

  /** Ready ones of a deployment that may take something new (A08), of one version or of any. */
  standIns(deploymentId: string, versionDigest?: string): Replica[] {
    const found: Replica[] = [];
    for (const replica of this.#options.replicas.all()) {
      const isOfIt = replica.deploymentId === deploymentId && replica.phase === 'Ready';
      if (!isOfIt || (versionDigest !== undefined && replica.versionDigest !== versionDigest)) continue;
      if (this.#wanted(replica.replicaId)?.draining !== true) found.push(replica);
    }
    return found;
  }

  /** Those that may answer in the place of a replica that somebody named; empty when nobody here knows it. */
  standInsOf(replicaId: string): Replica[] {
    const known = this.#options.replicas.find(replicaId) ?? this.#wanted(replicaId);
    return known === undefined ? [] : this.standIns(known.deploymentId, known.versionDigest);
  }

  /** Of replicas of one deployment and version; undefined when there is none. */
  choose(standIns: readonly Replica[], prompt: Prompt): ReplicaChoice | undefined {
    const replicas = havingAdapter(standIns, prompt.model);
    const [first] = replicas;
    if (first === undefined) return undefined;
    this.#sweep();
    const policy = this.#policyOf(first.deploymentId);
    for (const replica of replicas) this.#meet(replica);
    const facts = replicas.map((replica) => factsOf(replica));
    const choice = this.#routerOf(first).choose(facts, requestOf(prompt), policy, this.#nowMs(), this.#random);
    if (!('replica' in choice)) return undefined;
    const replica = replicas.find(({ replicaId }) => replicaId === choice.replica.id);
    return replica === undefined ? undefined : { replica, by: choice.by };
  }

  /** The request goes to this replica now. */
  dispatched(replica: Replica, prompt: Prompt): Dispatch {
    this.#meet(replica);
    const router = this.#routerOf(replica);
    const atMs = this.#nowMs();
    let isTold = false;
    const ticket = router.dispatched(factsOf(replica), requestOf(prompt), atMs);
    return {
      firstToken: () => {
        const nowMs = this.#nowMs();
        router.firstToken(ticket, nowMs);
        if (!isTold) this.#options.onFirstToken?.(replica, nowMs - atMs);
        isTold = true;
      },
      finished: (outcome) => router.finished(ticket, outcome, this.#nowMs()),
    };
  }

  #routerOf({ deploymentId, versionDigest }: Replica): AffinityRouter {
    const key = `${deploymentId} ${versionDigest}`;
    const router = this.#routers.get(key) ?? new AffinityRouter();
    this.#routers.set(key, router);
    return router;
  }

  /** An engine that started anew has nothing cached and nothing queued. */
  #meet(replica: Replica): void {
    const instanceId = replica.instance?.instanceId ?? '';
    const before = this.#instances.get(replica.replicaId);
    if (before === instanceId) return;
    this.#instances.set(replica.replicaId, instanceId);
    if (before !== undefined) this.#routerOf(replica).forget(replica.replicaId);
  }

  #policyOf(deploymentId: string): RoutingPolicy {
    return this.#index().policies.get(deploymentId) ?? DEFAULT_ROUTING_POLICY;
  }

  #wanted(replicaId: string): DesiredReplica | undefined {
    return this.#index().replicas.get(replicaId);
  }

  /** Made anew with each document. */
  #index(): DesiredIndex {
    const state = this.#options.desired();
    if (this.#indexed?.state === state) return this.#indexed;
    const wanted = state?.replicas ?? [];
    const replicas = new Map(wanted.map((replica) => [replica.replicaId, replica]));
    const policies = new Map(
      wanted.flatMap(({ deploymentId, routing }) => (routing ? [[deploymentId, routing] as const] : [])),
    );
    this.#indexed = { state, replicas, policies };
    return this.#indexed;
  }

  #sweep(): void {
    const nowMs = this.#nowMs();
    if (nowMs - this.#sweptAtMs < SWEEP_MS) return;
    this.#sweptAtMs = nowMs;
    const here = [...this.#options.replicas.all()];
    const ids = new Set(here.map(({ replicaId }) => replicaId));
    const keys = new Set(here.map(({ deploymentId, versionDigest }) => `${deploymentId} ${versionDigest}`));
    for (const [key, router] of this.#routers) {
      router.retain(ids);
      if (!keys.has(key)) this.#routers.delete(key);
    }
    for (const id of this.#instances.keys()) if (!ids.has(id)) this.#instances.delete(id);
  }
}

/** A05: an adapter is served where it is loaded. Where none has it, the engine says what is wrong. */
function havingAdapter(replicas: readonly Replica[], model: string): readonly Replica[] {
  const having = replicas.filter(({ adapters }) => adapters.has(model));
  return having.length > 0 ? having : replicas;
}

/** Where all is on one machine, memory and what is held here are the same for all; so none of it is told. */
function factsOf({ replicaId, slots }: Replica): ReplicaFacts {
  return {
    id: replicaId,
    isCordoned: false,
    labels: NO_LABELS,
    isLoaded: true,
    coldStartMs: 0,
    freeMemoryBytes: 0,
    memoryBytes: 0,
    holds: HOLDS_NOTHING,
    ...(slots === undefined ? {} : { slots }),
  };
}

function requestOf({ sessionId, blocks, promptTokens, isStream }: Prompt): RoutedRequest {
  return { ...PLAIN_REQUEST, sessionId, blocks, promptTokens, tellsFirstToken: isStream };
}
