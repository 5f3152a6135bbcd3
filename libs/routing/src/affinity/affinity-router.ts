/**
 * Requests → replicas of one cluster, with all that is remembered between requests: the ledger, what is cached where, and
 * which session was where. One router for replicas that stand in for each other: one deployment, one version.
 *
 * A replica that failed is left alone for a second or two (`breaker.ts`), while another may take the request: it fails
 * fast, so that its queue looks short, and without this it would draw everything to itself.
 *
 * Pure: the time and random numbers are arguments. The agent and the replay of traces run this very code.
 */
import type { RoutingPolicy } from '#domain';
import { Breaker } from '../breaker.ts';
import { AffinityLedger, type AnswerOutcome, type LedgerOptions, type Ticket } from './affinity-ledger.ts';
import { type Choice, chooseReplica, type NoChoice } from './choose.ts';
import { PrefixIndex } from './prefix-index.ts';
import { PROMPT_BLOCK_TOKENS } from './prompt-blocks.ts';
import { type AffinityRequest, predictedWorkMs, type ReplicaFacts, uncachedTokens } from './replicas.ts';
import { Sessions, type SessionsOptions } from './sessions.ts';

export interface AffinityRouterOptions extends LedgerOptions, SessionsOptions {
  /** Blocks that are remembered of each replica; default 16,384. */
  readonly blocksMax?: number;
}

export interface RoutedRequest extends Omit<AffinityRequest, 'sessionReplicaId'> {
  /** Null: no session. */
  readonly sessionId: string | null;
  /** Chained hashes of the prompt's beginning, see `promptBlocks`. */
  readonly blocks: readonly number[];
  /** Tokens that each of them stands for; of `promptBlocks` 256. */
  readonly blockTokens: number;
  /** False: the answer comes in one piece. */
  readonly tellsFirstToken: boolean;
}

/** What engines of accelerators take at once, or more. */
const SLOTS_DEFAULT = 256;

/** What most requests are. */
export const PLAIN_REQUEST: RoutedRequest = {
  promptTokens: 0,
  sessionId: null,
  blocks: [],
  blockTokens: PROMPT_BLOCK_TOKENS,
  memoryBytes: 0,
  needs: [],
  requiredLabels: {},
  preferredLabels: {},
  tellsFirstToken: true,
};

export class AffinityRouter {
  private readonly ledger: AffinityLedger;
  private readonly prefixes: PrefixIndex;
  private readonly sessions: Sessions;
  private readonly breaker = new Breaker();

  constructor({ blocksMax, ...rest }: AffinityRouterOptions = {}) {
    this.ledger = new AffinityLedger(rest);
    this.prefixes = new PrefixIndex(blocksMax);
    this.sessions = new Sessions(rest);
  }

  /** Changes nothing: who is not sent the request after all need not be told. */
  choose(
    replicas: readonly ReplicaFacts[],
    request: RoutedRequest,
    policy: RoutingPolicy,
    nowMs: number,
    random: () => number,
  ): Choice | NoChoice {
    const { sessionId } = request;
    const sessionReplicaId = sessionId === null ? null : this.sessions.replicaOf(sessionId, nowMs);
    const known = replicas.map((facts) => this.known(facts, request, nowMs));
    const wanted = { ...request, sessionReplicaId };
    const options = { ...policy, random };
    const up = known.filter(({ id }) => !this.breaker.isDown(id, nowMs));
    const choice = chooseReplica(up, wanted, options);
    return 'replica' in choice || up.length === known.length ? choice : chooseReplica(known, wanted, options);
  }

  /** The request goes to this replica now, chosen or not. */
  dispatched(facts: ReplicaFacts, request: RoutedRequest, nowMs: number): Ticket {
    const replica = this.known(facts, request, nowMs);
    const uncached = uncachedTokens(replica, request);
    const work = {
      uncachedTokens: uncached,
      workMs: predictedWorkMs(replica, request),
      prefillMs: uncached * replica.prefillMsPerToken,
      tellsFirstToken: request.tellsFirstToken,
    };
    this.prefixes.served(facts.id, request.blocks);
    if (request.sessionId !== null) this.sessions.used(request.sessionId, facts.id, nowMs);
    return this.ledger.dispatched(facts.id, work, nowMs);
  }

  firstToken(ticket: Ticket, nowMs: number): void {
    if (this.ledger.firstToken(ticket, nowMs)) this.breaker.succeeded(ticket.replicaId);
  }

  finished(ticket: Ticket, outcome: AnswerOutcome, nowMs: number): void {
    const isNews = this.ledger.finished(ticket, outcome, nowMs);
    if (isNews && outcome === 'failed') this.breaker.failed(ticket.replicaId, nowMs);
    if (isNews && outcome === 'answered') this.breaker.succeeded(ticket.replicaId);
  }

  outstanding(replicaId: string, nowMs: number): number {
    return this.ledger.outstanding(replicaId, nowMs);
  }

  /** Its engine started anew: its cache is empty, and nothing that it was given is being worked on. */
  forget(replicaId: string): void {
    this.ledger.forget(replicaId);
    this.breaker.succeeded(replicaId);
    this.prefixes.forget(replicaId);
    this.sessions.forget(replicaId);
  }

  /** Forgets replicas that are not in `replicaIds`, but for what is still in flight there. */
  retain(replicaIds: ReadonlySet<string>): void {
    this.ledger.retain(replicaIds);
    this.breaker.retain(replicaIds);
    this.prefixes.retain(replicaIds);
    this.sessions.retain(replicaIds);
  }

  private known(facts: ReplicaFacts, { blocks, blockTokens, promptTokens }: RoutedRequest, nowMs: number) {
    const { ledger } = this;
    const cached = this.prefixes.cachedBlocks(facts.id, blocks) * blockTokens;
    const { foreign, slots = SLOTS_DEFAULT } = facts;
    // Who computes for others has been at work of late too.
    const foreignMs = foreign === undefined ? 0 : foreign.running * ledger.promptMs(facts.id, nowMs);
    return {
      ...facts,
      cachedTokens: Math.min(promptTokens, cached),
      prefillMsPerToken: ledger.prefillMsPerToken(facts.id, nowMs),
      queuedMs: ledger.queuedMs(facts.id, slots, nowMs, foreign),
      outstanding: ledger.outstanding(facts.id, nowMs),
      latencyMs: ledger.latencyMs(facts.id, nowMs),
      recentMs: ledger.recentMs(facts.id, nowMs) + foreignMs,
      load: ledger.load(facts.id, nowMs),
    };
  }
}
