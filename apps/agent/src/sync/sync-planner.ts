// Asks the control plane how to get a version, and remembers what failed here so that it is not offered again.
//
// No answer is an answer: whole files by the blob token, as agents did before there were plans. A centre that is one
// release older has nobody on the subject, or its credentials do not cover it (R21). But a centre that answers nothing at
// all, or only that it failed inside (its database is away), is away; one that has too much to do has not answered; and
// being cut off is no answer yet: a whole version costs many times a diff, and windows and neighbours count, so the caller
// tries again later.
import type { Logger } from 'pino';
import { type SyncPlanReply, type SyncPlanRequest, syncPlanReplySchema } from '#contracts';
import type { SyncMeasures } from '#domain';
import { MessagingError, RequestRefusedError } from '#messaging';
import { messageOf, SyncError } from '../errors.ts';

/** A neighbour that failed is left alone for so long. */
const NEIGHBOUR_REST_MS = 60_000;
/** Credentials that do not cover the subject are tried again after so long: a renewal may bring better ones. */
const FORBIDDEN_REST_MS = 60_000;
const TRIES = 2;
/** Bounds of the contract; beyond them the oldest is forgotten. */
const AVOIDED_MAX = 1_000;
const HELD_MAX = 1_000;

export interface SyncPlannerOptions {
  /** One request; rejects when nobody answers. */
  readonly request: (request: SyncPlanRequest) => Promise<unknown>;
  /** Whether the centre answers anything: other questions, which older releases know too. */
  readonly isAnswering: () => Promise<boolean>;
  readonly measures: () => SyncMeasures;
  readonly log: Logger;
  /** Monotonic milliseconds. */
  readonly nowMs?: () => number;
}

export class SyncPlanner {
  readonly #options: SyncPlannerOptions;
  readonly #avoid = new Set<string>();
  readonly #neighbours = new Map<string, number>();
  #restsUntilMs = 0;

  constructor(options: SyncPlannerOptions) {
    this.#options = options;
  }

  /**
   * Null: whole files.
   * @throws SyncError `unreachable` while there is no connection to ask over, or nobody at its other end
   */
  async ask(versionDigest: string, held: readonly string[]): Promise<SyncPlanReply | null> {
    if (this.#nowMs() < this.#restsUntilMs) return null;
    const request: SyncPlanRequest = {
      versionDigest,
      held: held.slice(-HELD_MAX),
      avoid: [...this.#avoid],
      avoidNeighbours: this.#avoidedNeighbours(),
      measures: { ...this.#options.measures() },
    };
    for (let tries = 1; ; tries += 1) {
      try {
        return this.#read(versionDigest, await this.#options.request(request));
      } catch (cause) {
        const failure = cause instanceof MessagingError ? cause.failure : undefined;
        if (failure === 'timeout' && tries < TRIES) continue;
        const isSilent = failure === 'no-responder' || failure === 'timeout' || isRefusal(cause, 'internal');
        const isAway = failure === 'unreachable' || failure === 'closed' || isRefusal(cause, 'overloaded');
        if (isAway || (isSilent && !(await this.#options.isAnswering()))) {
          throw new SyncError('The control plane cannot be asked for a sync plan now.', {
            fault: 'unreachable',
            cause,
          });
        }
        if (failure === 'forbidden') this.#restsUntilMs = this.#nowMs() + FORBIDDEN_REST_MS;
        this.#options.log.info(
          { version: versionDigest, reason: messageOf(cause) },
          'no sync plan; whole files instead',
        );
        return null;
      }
    }
  }

  /** This artifact was no good here; not offered again until the agent starts anew. */
  avoidArtifact(id: string): void {
    this.#avoid.delete(id);
    this.#avoid.add(id);
    for (const oldest of this.#avoid) {
      if (this.#avoid.size <= AVOIDED_MAX) break;
      this.#avoid.delete(oldest);
    }
  }

  avoidNeighbour(name: string): void {
    this.#neighbours.set(name, this.#nowMs() + NEIGHBOUR_REST_MS);
  }

  #avoidedNeighbours(): string[] {
    for (const [name, untilMs] of this.#neighbours) if (untilMs <= this.#nowMs()) this.#neighbours.delete(name);
    return [...this.#neighbours.keys()].slice(-AVOIDED_MAX);
  }

  #read(versionDigest: string, answer: unknown): SyncPlanReply | null {
    const parsed = syncPlanReplySchema.safeParse(answer);
    if (parsed.success) return parsed.data;
    const at = parsed.error.issues[0]?.path.join('.');
    this.#options.log.warn({ version: versionDigest, at }, 'the sync plan is not of the contract; whole files instead');
    return null;
  }

  #nowMs(): number {
    return (this.#options.nowMs ?? (() => performance.now()))();
  }
}

/** `internal` and `overloaded` are no answers to the question, whoever is asked. */
function isRefusal(cause: unknown, code: string): boolean {
  return cause instanceof RequestRefusedError && cause.code === code;
}
