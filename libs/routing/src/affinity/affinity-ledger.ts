/**
 * The router's own account of the replicas of one cluster: the work that it gave each and has not seen done, and how fast
 * each was seen to be. All that `predicted-first-token` needs, with no report that could be old (SCHEDULING.md, finding 2).
 * Only what others gave an engine that is not ours alone it must be told; that is added, and never taken off.
 *
 * An engine is taken to compute one prompt after the other, in the order in which they came. Engines that compute several
 * at once share the same device, so that the sum of the work is right where the order is not.
 *
 * Times are of one clock that does not go back, in milliseconds; where it does, nothing gets negative.
 *
 * Speed is milliseconds of prefill a token: what passed from the later of "was given" and "the one before had its first
 * token" until its own first token, over the tokens that were not cached. Sums of both, the older the less; one
 * measurement counts for at most 4 times what was predicted, so that a hiccup does not empty a replica, and the first
 * request, in which engines compile, does not spoil the rest; what is slower by more is learnt in some ten requests.
 *
 * Replicas of one deployment are mostly equally fast, and what looks like a difference is mostly chance: sizes are
 * guessed, and who seems fast is given what seems large. Believing small differences feeds on itself (replayed: work
 * uneven by 3, first tokens 30 % later at σ 0.6), so one is believed from a factor of 1.6 on. The longer a replica was not
 * measured, the more it is taken to be as the others: what was slow once is tried again (R8).
 */
import { smoothedLoad } from './choose.ts';
import type { ForeignRequests } from './replicas.ts';

export interface LedgerOptions {
  /** Weight of what is now in the smoothed load; the reference takes 0.7 to 0.9. Default 0.8. */
  readonly loadAlpha?: number;
  /** Milliseconds of prefill a token that are assumed while nothing was measured anywhere. Default 0.1. */
  readonly prefillMsPerToken?: number;
  /** A latency that is older counts as none (R8), milliseconds. Default 10,000. */
  readonly measuredForMs?: number;
}

export interface DispatchedWork {
  /** Tokens of the prompt that are not cached there. */
  readonly uncachedTokens: number;
  /** Predicted until the first token, apart from waiting. */
  readonly workMs: number;
  /** Of which prefill; the rest is starting and fetching. */
  readonly prefillMs: number;
  /** False: the answer comes in one piece, so that its first token is not seen. */
  readonly tellsFirstToken: boolean;
}

/**
 * `answered`: says how long it took. `failed`: the replica's fault, and `cancelled`: the caller's, or its request was wrong;
 * both say nothing about speed.
 */
export type AnswerOutcome = 'answered' | 'failed' | 'cancelled';

/** One dispatched request; what is told of it twice counts once. */
export interface Ticket {
  readonly replicaId: string;
}

interface OpenTicket extends Ticket, DispatchedWork {
  readonly dispatchedMs: number;
  /** Told, or assumed: no longer queued. */
  isPrefilled: boolean;
  /** Null: not told. */
  firstTokenMs: number | null;
  isFinished: boolean;
}

interface Account {
  /** Without a first token, in order of dispatch; the head is at work since `headSinceMs`. */
  readonly queue: OpenTicket[];
  headSinceMs: number;
  /** Not finished, in order of dispatch. */
  readonly open: Set<OpenTicket>;
  readonly speed: Speed;
  latencyMs: number | null;
  latencyAtMs: number;
  load: number;
  loadAtMs: number;
  recentMs: number;
  recentAtMs: number;
}

/** Decayed sums. */
interface Speed {
  count: number;
  tokens: number;
  ms: number;
  atMs: number;
}

/** Weight of the newest latency; small, so that one slow answer does not empty a replica. */
const SMOOTHING = 0.2;
/** Answers differ far more than replicas do. */
const ANSWER_SMOOTHING = 0.02;
/** Of the sums after each measurement: about the last 50 prompts of a replica count, and the last 500 of all. */
const SPEED_KEPT = 0.98;
const SPEED_OF_ALL_KEPT = 0.998;
/** In this time without a measurement a replica's own speed loses half its weight. */
const SPEED_HALVED_MS = 10_000;
/** Weight of the speed of all against a replica's own, in prompts of their mean size. */
const PRIOR_PROMPTS = 4;
const BELIEVED_FACTOR = 1.6;
/**
 * Who takes longer than predicted is expected to need this share of what it has taken so far, still: sizes are guessed,
 * and an engine that hangs becomes the less attractive the longer it does.
 */
const OVERRUN_SHARE = 0.25;
const OUTLIER_FACTOR = 4;
/** Tokens of a prompt of which nothing is known, while none was measured. */
const PROMPT_TOKENS_GUESS = 1_000;
const NO_FOREIGN: ForeignRequests = { running: 0, waiting: 0 };
/** A request of which nothing was heard for so long is taken to be lost by its caller. */
const LOST_AFTER_MS = 3_600_000;
const RECENT_HALVED_MS = 60_000;
/** The load is looked at as often as clusters report it. */
const LOAD_SAMPLE_MS = 1_000;

export class AffinityLedger {
  private readonly accounts = new Map<string, Account>();
  /** Of all replicas: the prior of those that are not measured. */
  private readonly speed: Speed = { count: 0, tokens: 0, ms: 0, atMs: 0 };
  /** From the first token to the end, of all replicas, smoothed; 0 while not measured. */
  private answerMs = 0;
  private readonly loadAlpha: number;
  private readonly firstGuess: number;
  private readonly measuredForMs: number;

  constructor({ loadAlpha = 0.8, prefillMsPerToken = 0.1, measuredForMs = 10_000 }: LedgerOptions = {}) {
    this.loadAlpha = loadAlpha;
    this.firstGuess = prefillMsPerToken;
    this.measuredForMs = measuredForMs;
  }

  dispatched(replicaId: string, work: DispatchedWork, nowMs: number): Ticket {
    const account = this.settled(replicaId, nowMs);
    const ticket: OpenTicket = {
      replicaId,
      ...work,
      dispatchedMs: nowMs,
      isPrefilled: false,
      firstTokenMs: null,
      isFinished: false,
    };
    if (account.queue.length === 0) account.headSinceMs = nowMs;
    account.queue.push(ticket);
    account.recentMs = recentMsOf(account, nowMs) + work.workMs;
    account.recentAtMs = nowMs;
    account.open.add(ticket);
    return ticket;
  }

  /** The first byte of the answer's text. False: it was told before, or the request has ended. */
  firstToken(told: Ticket, nowMs: number): boolean {
    const ticket = told as OpenTicket;
    const account = this.accounts.get(ticket.replicaId);
    if (account === undefined || ticket.isPrefilled) return false;
    const sinceMs = Math.max(ticket.dispatchedMs, account.headSinceMs);
    if (ticket.tellsFirstToken) this.measured(account, ticket, nowMs - sinceMs, nowMs);
    ticket.firstTokenMs = nowMs;
    leaveQueue(account, ticket, nowMs, true);
    return true;
  }

  /** False: it was told before, or the request is of an engine that is no more. */
  finished(told: Ticket, outcome: AnswerOutcome, nowMs: number): boolean {
    const ticket = told as OpenTicket;
    const account = this.accounts.get(ticket.replicaId);
    if (ticket.isFinished || account === undefined) return false;
    ticket.isFinished = true;
    this.settle(account, nowMs);
    leaveQueue(account, ticket, nowMs, outcome === 'answered');
    account.open.delete(ticket);
    if (outcome !== 'answered') return true;
    const latencyMs = Math.max(0, nowMs - ticket.dispatchedMs);
    const known = this.latencyOf(account, nowMs);
    account.latencyMs = known === null ? latencyMs : known + SMOOTHING * (latencyMs - known);
    account.latencyAtMs = nowMs;
    if (ticket.firstTokenMs !== null) this.answered(nowMs - ticket.firstTokenMs);
    return true;
  }

  /**
   * Predicted milliseconds until all that it was given has its first token, and until it has a slot for one more: of `slots`
   * answers under way one ends every `answer ÷ slots` milliseconds. Both go on at the same time, so that the longer counts.
   * Those of others count as ours do: who waits is a prompt of mean size ahead, and each has a slot.
   */
  queuedMs(replicaId: string, slots: number, nowMs: number, foreign: ForeignRequests = NO_FOREIGN): number {
    const account = this.settledOrNone(replicaId, nowMs);
    const ahead = (account?.open.size ?? 0) + foreign.running + foreign.waiting;
    const slotMs = Math.max(0, ahead + 1 - slots) * (this.answerMs / slots);
    const foreignMs = foreign.waiting === 0 ? 0 : foreign.waiting * this.promptMs(replicaId, nowMs);
    return Math.max(slotMs, foreignMs + (account === undefined ? 0 : promptsMs(account, nowMs)));
  }

  /** Of a prompt of mean size. */
  promptMs(replicaId: string, nowMs: number): number {
    const { count, tokens } = this.speed;
    return (count > 0 ? tokens / count : PROMPT_TOKENS_GUESS) * this.prefillMsPerToken(replicaId, nowMs);
  }

  outstanding(replicaId: string, nowMs: number): number {
    return this.settledOrNone(replicaId, nowMs)?.open.size ?? 0;
  }

  /** Smoothed milliseconds of one request; null when not measured within the last 10 s. */
  latencyMs(replicaId: string, nowMs: number): number | null {
    const account = this.accounts.get(replicaId);
    return account === undefined ? null : this.latencyOf(account, nowMs);
  }

  prefillMsPerToken(replicaId: string, nowMs: number): number {
    const ofAll = this.speed.tokens > 0 ? this.speed.ms / this.speed.tokens : this.firstGuess;
    const own = this.accounts.get(replicaId)?.speed;
    if (own === undefined) return ofAll;
    const weight = 2 ** (-Math.max(0, nowMs - own.atMs) / SPEED_HALVED_MS);
    const priorTokens = (PRIOR_PROMPTS * this.speed.tokens) / Math.max(1, this.speed.count);
    const ofOne = (own.ms * weight + ofAll * priorTokens) / (own.tokens * weight + priorTokens);
    const isBelieved = ofOne > ofAll * BELIEVED_FACTOR || ofOne * BELIEVED_FACTOR < ofAll;
    return isBelieved ? ofOne : ofAll;
  }

  /** Predicted work that it was given of late, milliseconds; half of it forgotten every minute. */
  recentMs(replicaId: string, nowMs: number): number {
    const account = this.accounts.get(replicaId);
    return account === undefined ? 0 : recentMsOf(account, nowMs);
  }

  /** Requests in flight, looked at every second and smoothed by α. */
  load(replicaId: string, nowMs: number): number {
    return this.settledOrNone(replicaId, nowMs)?.load ?? 0;
  }

  /** Its engine started anew: what it was given is lost, and what was measured may be so no longer. */
  forget(replicaId: string): void {
    const account = this.accounts.get(replicaId);
    for (const ticket of account?.open ?? []) close(ticket);
    this.accounts.delete(replicaId);
  }

  /** Forgets idle replicas that are not in `replicaIds`. */
  retain(replicaIds: ReadonlySet<string>): void {
    for (const [replicaId, { open }] of this.accounts) {
      if (open.size === 0 && !replicaIds.has(replicaId)) this.accounts.delete(replicaId);
    }
  }

  private answered(tookMs: number): void {
    this.answerMs = this.answerMs === 0 ? tookMs : this.answerMs + ANSWER_SMOOTHING * (tookMs - this.answerMs);
  }

  /** `tookMs`: from the moment that it was its turn until its first token. */
  private measured({ speed }: Account, ticket: OpenTicket, tookMs: number, nowMs: number): void {
    const { uncachedTokens, workMs, prefillMs } = ticket;
    if (uncachedTokens <= 0 || prefillMs <= 0) return;
    const prefillTookMs = tookMs - (workMs - prefillMs);
    if (prefillTookMs <= 0) return;
    const ms = Math.min(OUTLIER_FACTOR * prefillMs, prefillTookMs);
    addTo(speed, SPEED_KEPT, uncachedTokens, ms, nowMs);
    addTo(this.speed, SPEED_OF_ALL_KEPT, uncachedTokens, ms, nowMs);
  }

  private settled(replicaId: string, nowMs: number): Account {
    let account = this.accounts.get(replicaId);
    if (account === undefined) {
      account = newAccount(nowMs);
      this.accounts.set(replicaId, account);
    }
    this.settle(account, nowMs);
    return account;
  }

  private settledOrNone(replicaId: string, nowMs: number): Account | undefined {
    const account = this.accounts.get(replicaId);
    if (account !== undefined) this.settle(account, nowMs);
    return account;
  }

  private latencyOf({ latencyMs, latencyAtMs }: Account, nowMs: number): number | null {
    return nowMs - latencyAtMs > this.measuredForMs ? null : latencyMs;
  }

  /** What time alone has changed. */
  private settle(account: Account, nowMs: number): void {
    for (const oldest of account.open) {
      if (nowMs - oldest.dispatchedMs < LOST_AFTER_MS) break;
      leaveQueue(account, oldest, nowMs, false);
      account.open.delete(oldest);
      close(oldest);
    }
    assumeSilent(account, nowMs);
    const samples = Math.floor((nowMs - account.loadAtMs) / LOAD_SAMPLE_MS);
    if (samples < 1) return;
    account.loadAtMs += samples * LOAD_SAMPLE_MS;
    account.load = smoothedLoad(account.load, account.open.size, 1 - (1 - this.loadAlpha) ** samples);
  }
}

function newAccount(nowMs: number): Account {
  return {
    queue: [],
    headSinceMs: nowMs,
    open: new Set(),
    speed: { count: 0, tokens: 0, ms: 0, atMs: nowMs },
    latencyMs: null,
    latencyAtMs: nowMs,
    load: 0,
    loadAtMs: nowMs,
    recentMs: 0,
    recentAtMs: nowMs,
  };
}

/** The work that is queued, less what was worked on the head of the queue. */
function promptsMs({ queue, headSinceMs }: Account, nowMs: number): number {
  const head = queue[0];
  if (head === undefined) return 0;
  const workedMs = Math.max(0, nowMs - headSinceMs);
  const queuedMs = queue.reduce((sum, { workMs }) => sum + workMs, 0);
  const headLeftMs = Math.max(head.workMs - workedMs, OVERRUN_SHARE * workedMs);
  return queuedMs - head.workMs + headLeftMs;
}

function recentMsOf({ recentMs, recentAtMs }: Account, nowMs: number): number {
  return recentMs * 2 ** (-Math.max(0, nowMs - recentAtMs) / RECENT_HALVED_MS);
}

function addTo(speed: Speed, kept: number, tokens: number, ms: number, nowMs: number): void {
  speed.count = speed.count * kept + 1;
  speed.tokens = speed.tokens * kept + tokens;
  speed.ms = speed.ms * kept + ms;
  speed.atMs = nowMs;
}

/** Answers in one piece do not say when their prompt was done: as predicted, then. */
function assumeSilent(account: Account, nowMs: number): void {
  for (let head = account.queue[0]; head !== undefined && !head.tellsFirstToken; head = account.queue[0]) {
    const doneMs = account.headSinceMs + head.workMs;
    if (doneMs > nowMs) return;
    leaveQueue(account, head, doneMs, true);
  }
}

/** `isDone`: it has its first token. Who leaves without says nothing of the work on who is before it. */
function leaveQueue(account: Account, ticket: OpenTicket, nowMs: number, isDone: boolean): void {
  if (ticket.isPrefilled) return;
  ticket.isPrefilled = true;
  const place = account.queue.indexOf(ticket);
  if (place !== -1) account.queue.splice(place, 1);
  // Whoever is head now was not at work before this moment, or it had been done before.
  if (isDone || place === 0) account.headSinceMs = nowMs;
}

function close(ticket: OpenTicket): void {
  ticket.isPrefilled = true;
  ticket.isFinished = true;
}
