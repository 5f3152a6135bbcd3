// Which of this cluster's replicas takes a request, and the account of what each was given (DESIGN §6). The decision is
// the pure one of `libs/routing/affinity`; here is what is remembered between requests, one router for replicas that stand
// in for each other: of one deployment and one version.
//
// Load is the router's own ledger. What engines say of theirs is a second old (SCHEDULING.md), so it only adds what no
// ledger can know: the requests of others at a shared engine, and how full its cache is. Facts are made in
// `replica-facts.ts`.
import {
  DEFAULT_ROUTING_POLICY,
  type DesiredReplica,
  type DesiredState,
  type Labels,
  type Node,
  type RoutingPolicy,
} from '#domain';
import { AffinityRouter, type AnswerOutcome, PLAIN_REQUEST, type ReplicaFacts, type RoutedRequest } from '#routing';
import type { Replica } from '../engines/replica.ts';
import type { ReplicaSupervisor } from '../engines/replica-supervisor.ts';
import type { Prompt } from './prompt.ts';
import { replicaFacts } from './replica-facts.ts';

/** What is no longer served is forgotten this often. */
const SWEEP_MS = 60_000;
/**
 * What a token of a prompt takes of a cache, at least: keys and values of a model of a billion parameters (Llama 3.2 1B:
 * 16 layers × 8 heads × 64 × 2 × 2 bytes). Larger models take more, so that who has no room for this has none.
 */
const CACHE_BYTES_A_TOKEN = 32_768;

export interface ReplicaRouterOptions {
  readonly replicas: Pick<ReplicaSupervisor, 'find' | 'all'>;
  readonly desired: () => DesiredState | null;
  /** Of the inventory; default none. */
  readonly nodes?: () => readonly Node[];
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
  /** By deployment. */
  readonly wishes: ReadonlyMap<string, RoutingWishes>;
}

/** What a deployment asks of the choice between its replicas. */
interface RoutingWishes {
  readonly policy: RoutingPolicy;
  readonly preferredLabels: Labels;
  /** Names that clients may give as `model`. */
  readonly adapters: ReadonlySet<string>;
}

const NO_NODES: readonly Node[] = [];
const NODES_BEFORE = { list: NO_NODES, byName: new Map<string, Node>() };
const NO_WISHES: RoutingWishes = { policy: DEFAULT_ROUTING_POLICY, preferredLabels: {}, adapters: new Set() };

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
  #nodes: { readonly list: readonly Node[]; readonly byName: ReadonlyMap<string, Node> } = NODES_BEFORE;
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

  /** Whether anything hangs on what a request's prompt says. */
  readsPrompt(replicas: readonly Replica[]): boolean {
    return replicas.length > 1 || replicas.some((replica) => this.#wishesOf(replica).adapters.size > 0);
  }

  /** Of replicas of one deployment and version; undefined when there is none, or none that has the adapter. */
  choose(replicas: readonly Replica[], prompt: Prompt): ReplicaChoice | undefined {
    const [first] = replicas;
    if (first === undefined) return undefined;
    this.#sweep();
    for (const replica of replicas) this.#meet(replica);
    const nowMs = this.#nowMs();
    const facts = replicas.map((replica) => this.#factsOf(replica, nowMs));
    const request = this.#requestOf(first, prompt, facts);
    const { policy } = this.#wishesOf(first);
    const router = this.#routerOf(first);
    const fitting = router.choose(facts, request, policy, nowMs, this.#random);
    // Its memory is estimated and was true a second ago: that steers, and refuses nobody.
    const isWanting = !('replica' in fitting) && request.memoryBytes > 0;
    const choice = isWanting
      ? router.choose(facts, { ...request, memoryBytes: 0 }, policy, nowMs, this.#random)
      : fitting;
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
    const facts = this.#factsOf(replica, atMs);
    const ticket = router.dispatched(facts, this.#requestOf(replica, prompt, [facts]), atMs);
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

  #factsOf(replica: Replica, nowMs: number): ReplicaFacts {
    return replicaFacts(replica, replica.load(nowMs), this.#nodesByName(), () => this.#options.replicas.all());
  }

  /** Made anew with each list. */
  #nodesByName(): ReadonlyMap<string, Node> {
    const list = this.#options.nodes?.() ?? NO_NODES;
    if (this.#nodes.list !== list) this.#nodes = { list, byName: new Map(list.map((node) => [node.name, node])) };
    return this.#nodes.byName;
  }

  /**
   * A05: an adapter is served only where it is loaded, for none is loaded by a request, and a base must not answer in its
   * name. Whatever a replica has loaded is an adapter, also when the document says so no longer.
   */
  #requestOf(
    of: Replica,
    { sessionId, blocks, promptTokens, isStream, model }: Prompt,
    facts: readonly ReplicaFacts[],
  ): RoutedRequest {
    const { adapters, preferredLabels } = this.#wishesOf(of);
    const isAdapter = adapters.has(model) || facts.some(({ holds }) => holds.has(model));
    return {
      ...PLAIN_REQUEST,
      ...{ sessionId, blocks, promptTokens, preferredLabels },
      memoryBytes: promptTokens * CACHE_BYTES_A_TOKEN,
      needs: isAdapter ? [{ name: model, fetchMs: null }] : [],
      tellsFirstToken: isStream,
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

  #wishesOf({ deploymentId }: Replica): RoutingWishes {
    return this.#index().wishes.get(deploymentId) ?? NO_WISHES;
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
    const wishes = new Map(wanted.map((replica) => [replica.deploymentId, wishesOf(replica)]));
    this.#indexed = { state, replicas, wishes };
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

function wishesOf({ routing, nodes, adapters }: DesiredReplica): RoutingWishes {
  return {
    policy: routing ?? NO_WISHES.policy,
    preferredLabels: nodes?.preferred ?? NO_WISHES.preferredLabels,
    adapters: new Set(adapters?.map(({ name }) => name)),
  };
}
