// The leases that this cluster spends from: asked for, kept on disk, told apart from what the journal knows. What may be
// spent is the decision of `LeaseBook` (`libs/inference/src/budgets`), which gateways share.
//
// Invariants: a wish is on disk before it is sent, and a grant before it is spent from, so that an agent that dies forgets
// neither; a stored book names the first segment of the journal that it does not know, so a restart counts each request
// once. Time across restarts: exact within one boot of the machine; else by the wall clock, and CLOCK_SKEW_MS_MAX more,
// so that leases end here before they do at the centre (R22).
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { type LeaseRequest, leaseReplySchema } from '#contracts';
import { CLOCK_SKEW_MS_MAX } from '#domain';
import {
  CLUSTER_HORIZON_MS,
  type ExpectedBudget,
  LeaseBook,
  type LeaseStanding,
  leaseBookSnapshotSchema,
  type NoRoom,
  type Reservation,
} from '#inference';
import { messageOf } from '../errors.ts';
import type { StateDocument } from '../state/document.ts';
import type { OfflineClock } from './offline-clock.ts';
import type { RecoveredUsage, UsageJournal } from './usage-journal.ts';

/** How often it is looked whether something is to be asked for. */
const ASK_MS = 5_000;

export const storedLeasesSchema = z.object({
  snapshot: leaseBookSnapshotSchema,
  /** The first segment of the journal of which the snapshot knows nothing. */
  fromSegment: z.int(),
  /** Unix milliseconds. */
  wallMs: z.number(),
  elapsedMs: z.number(),
  machineBootId: z.string(),
});

export interface LeaseKeeperOptions {
  readonly document: Pick<StateDocument<typeof storedLeasesSchema>, 'read' | 'write'>;
  readonly journal: Pick<UsageJournal, 'seal' | 'currentOrder'>;
  readonly request: (request: LeaseRequest) => Promise<unknown>;
  readonly isConnected: () => boolean;
  readonly clock: OfflineClock;
  readonly machineBootId: string;
  readonly log: Logger;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  #book: LeaseBook;
  #storedWishes = '';
  #asking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastFailure = '';

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#book = new LeaseBook(BOOK_OPTIONS);
  }

  /** After the journal was opened: what it recovered is what the stored book may not know. */
  async open(recovered: readonly RecoveredUsage[]): Promise<void> {
    const stored = await this.#options.document.read();
    if (stored === null) return;
    const nowMs = this.#options.clock.elapsedMs();
    this.#book = LeaseBook.restore(stored.snapshot, this.#elapsedSince(stored), nowMs, BOOK_OPTIONS);
    // What was reserved has ended, or is settled by the journal: either way it is among what it recovered.
    for (const reservation of this.#book.open()) this.#book.settle(reservation, 0, nowMs);
    for (const { order, ended } of recovered) {
      if (order < stored.fromSegment) continue;
      for (const { leaseIds, promptTokens, completionTokens } of ended) {
        this.#book.spend(leaseIds, promptTokens + completionTokens, nowMs);
      }
    }
  }

  start(): void {
    const again = () => {
      this.#timer = setTimeout(
        () => {
          void this.ask();
          again();
        },
        ASK_MS * (0.75 + Math.random() * 0.5),
      );
    };
    again();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The budgets that keys of the bundle are charged to. */
  expect(budgets: readonly ExpectedBudget[]): void {
    this.#book.expect(budgets, this.#options.clock.elapsedMs());
  }

  reserve(budgetIds: readonly string[], tokens: number): Reservation | NoRoom {
    return this.#book.reserve(budgetIds, tokens, this.#options.clock.elapsedMs());
  }

  /** In the turn in which the journal notes the end, so that a snapshot has both or neither. */
  settle(reservation: Reservation, tokens: number): void {
    this.#book.settle(reservation, tokens, this.#options.clock.elapsedMs());
  }

  standing(): LeaseStanding[] {
    return this.#book.standing(this.#options.clock.elapsedMs());
  }

  /** The book as it is now, or as `change` makes it; what this gives stores it. For the journal's `onSwitch`. */
  snapshot(change: (book: LeaseBook) => void = () => undefined): () => Promise<void> {
    const { clock, document, journal, machineBootId } = this.#options;
    const nowMs = clock.elapsedMs();
    const copy = LeaseBook.restore(this.#book.snapshot(nowMs), 0, nowMs, BOOK_OPTIONS);
    change(copy);
    const fromSegment = journal.currentOrder;
    const stored = {
      snapshot: copy.snapshot(nowMs),
      fromSegment,
      wallMs: clock.wallMs(),
      elapsedMs: nowMs,
      machineBootId,
    };
    return () => document.write(stored);
  }

  /** Asks for what is to be asked for, if anything. One at a time. Never rejects. */
  ask(): Promise<void> {
    this.#asking ??= this.#askOnce()
      .then(() => {
        this.#lastFailure = '';
      })
      .catch((cause: unknown) => {
        const reason = messageOf(cause);
        if (reason !== this.#lastFailure) this.#options.log.warn({ reason }, 'leases not asked for; trying again');
        this.#lastFailure = reason;
      })
      .finally(() => {
        this.#asking = undefined;
      });
    return this.#asking;
  }

  async #askOnce(): Promise<void> {
    const { clock, isConnected, request, log } = this.#options;
    if (!isConnected()) return;
    const wanted = this.#book.wishes(clock.elapsedMs());
    if (wanted === null) return;
    const wishIds = wanted.wishes.map(({ requestId }) => requestId).join();
    if (wishIds !== this.#storedWishes) await this.#options.journal.seal();
    this.#storedWishes = wishIds;
    const askedAtMs = clock.elapsedMs();
    const answer = leaseReplySchema.parse(await request(wanted));
    await this.#options.journal.seal(() => this.snapshot((book) => book.granted(answer, askedAtMs)));
    this.#book.granted(answer, askedAtMs);
    for (const { reason } of answer.refusals) log.warn({ reason }, 'a lease was refused');
    log.info({ granted: answer.grants.length, returned: wanted.returns.length }, 'leases renewed');
  }

  #elapsedSince({ wallMs, elapsedMs, machineBootId }: z.output<typeof storedLeasesSchema>): number {
    const { clock, machineBootId: now } = this.#options;
    const sameBootMs = clock.elapsedMs() - elapsedMs;
    if (machineBootId === now && now !== '' && sameBootMs >= 0) return sameBootMs;
    return Math.max(0, clock.wallMs() - wallMs) + CLOCK_SKEW_MS_MAX;
  }
}

const BOOK_OPTIONS = { newId: () => uuidv7(), horizonMs: CLUSTER_HORIZON_MS };
