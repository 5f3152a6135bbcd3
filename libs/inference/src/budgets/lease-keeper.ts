// The leases that this process spends from, a cluster's agent or a gateway: asked for, kept on disk, told apart from what
// the journal knows. What may be spent is the decision of `LeaseBook`.
//
// Invariants: a wish is on disk before it is sent, and a grant before it is spent from, so that an agent that dies forgets
// neither; a stored book names the first segment of the journal that it does not know, so a restart counts each request
// once. Time across restarts: exact within one boot of the machine; else by the wall clock, and CLOCK_SKEW_MS_MAX more,
// so that leases end here before they do at the centre (R22).
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { CLOCK_SKEW_MS_MAX, type LeaseAnswer, type LeaseReturn, type LeaseWish } from '#domain';
import {
  CLUSTER_HORIZON_MS,
  CLUSTER_IDLE_MS,
  type ExpectedBudget,
  GATEWAY_HORIZON_MS,
  GATEWAY_IDLE_MS,
  LeaseBook,
  type LeaseStanding,
  type NoRoom,
  type Reservation,
} from './lease-book.ts';
import { leaseBookSnapshotSchema } from './lease-book-snapshot.ts';
import { failureWords, type RecoveredUsage, type UsageJournal } from './usage-journal.ts';

/** A request for which there is no room waits so long at most for the centre's answer. */
const ROOM_WAIT_MS = 1_500;

/** How a kind of holder leases. `askMs`: how often it is looked whether something is to be asked for. */
export const LEASE_HABITS = {
  cluster: { horizonMs: CLUSTER_HORIZON_MS, idleMs: CLUSTER_IDLE_MS, wantsStandby: true, askMs: 5_000 },
  gateway: { horizonMs: GATEWAY_HORIZON_MS, idleMs: GATEWAY_IDLE_MS, wantsStandby: false, askMs: 1_000 },
} as const;

/** `elapsedMs` only goes forward, `wallMs` is Unix time as far as this machine knows. */
export interface LeaseClock {
  elapsedMs(): number;
  wallMs(): number;
}

export const storedLeasesSchema = z.object({
  snapshot: leaseBookSnapshotSchema,
  /** The first segment of the journal of which the snapshot knows nothing. */
  fromSegment: z.int(),
  /** Unix milliseconds. */
  wallMs: z.number(),
  elapsedMs: z.number(),
  machineBootId: z.string(),
});

export type StoredLeases = z.output<typeof storedLeasesSchema>;

export interface LeaseKeeperOptions {
  readonly holder: keyof typeof LEASE_HABITS;
  readonly document: {
    read(): Promise<StoredLeases | null>;
    /** Durable when resolved. */
    write(stored: StoredLeases): Promise<void>;
  };
  readonly journal: Pick<UsageJournal, 'seal' | 'currentOrder'>;
  readonly request: (request: { wishes: LeaseWish[]; returns: LeaseReturn[] }) => Promise<LeaseAnswer>;
  readonly isConnected: () => boolean;
  readonly clock: LeaseClock;
  readonly machineBootId: string;
  readonly log: Logger;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  #book: LeaseBook;
  #storedWishes = '';
  #asking: Promise<boolean> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastFailure = '';
  readonly #bookOptions;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#bookOptions = { newId: () => uuidv7(), ...LEASE_HABITS[options.holder] };
    this.#book = new LeaseBook(this.#bookOptions);
  }

  /** After the journal was opened: what it recovered is what the stored book may not know. */
  async open(recovered: readonly RecoveredUsage[]): Promise<void> {
    const stored = await this.#options.document.read();
    if (stored === null) return;
    const nowMs = this.#options.clock.elapsedMs();
    this.#book = LeaseBook.restore(stored.snapshot, this.#elapsedSince(stored), nowMs, this.#bookOptions);
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
        this.#bookOptions.askMs * (0.75 + Math.random() * 0.5),
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

  /** As `reserve`; where the centre may give more, after its answer, or 1.5 s at most. */
  async reserveSoon(budgetIds: readonly string[], tokens: number): Promise<Reservation | NoRoom> {
    const untilMs = performance.now() + ROOM_WAIT_MS;
    for (;;) {
      const found = this.reserve(budgetIds, tokens);
      if (!('refused' in found) || !found.mayHaveMore) return found;
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0 || !(await within(this.ask(), leftMs))) return this.reserve(budgetIds, tokens);
    }
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
    const copy = LeaseBook.restore(this.#book.snapshot(nowMs), 0, nowMs, this.#bookOptions);
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

  /** Asks the centre to take everything back, as far as nothing is reserved. For the end of a process. Never rejects. */
  async giveBack(): Promise<void> {
    this.#book.close();
    // What is being asked knows nothing of the end, and may bring one more lease.
    await this.#asking;
    await this.ask();
  }

  /** Asks for what is to be asked for, if anything. One at a time. Never rejects. Gives whether there was an answer. */
  ask(): Promise<boolean> {
    this.#asking ??= this.#askOnce()
      .then((isAnswered) => {
        this.#lastFailure = '';
        return isAnswered;
      })
      .catch((cause: unknown) => {
        const reason = failureWords(cause);
        if (reason !== this.#lastFailure) this.#options.log.warn({ reason }, 'leases not asked for; trying again');
        this.#lastFailure = reason;
        return false;
      })
      .finally(() => {
        this.#asking = undefined;
      });
    return this.#asking;
  }

  async #askOnce(): Promise<boolean> {
    const { clock, isConnected, request, log } = this.#options;
    if (!isConnected()) return false;
    const wanted = this.#book.wishes(clock.elapsedMs());
    if (wanted === null) return false;
    const wishIds = wanted.wishes.map(({ requestId }) => requestId).join();
    if (wishIds !== this.#storedWishes) await this.#options.journal.seal();
    this.#storedWishes = wishIds;
    const askedAtMs = clock.elapsedMs();
    const answer = await request(wanted);
    await this.#options.journal.seal(() => this.snapshot((book) => book.granted(answer, askedAtMs)));
    this.#book.granted(answer, askedAtMs);
    for (const { reason } of answer.refusals) log.warn({ reason }, 'a lease was refused');
    log.info({ granted: answer.grants.length, returned: wanted.returns.length }, 'leases renewed');
    return true;
  }

  #elapsedSince({ wallMs, elapsedMs, machineBootId }: StoredLeases): number {
    const { clock, machineBootId: now } = this.#options;
    const sameBootMs = clock.elapsedMs() - elapsedMs;
    if (machineBootId === now && now !== '' && sameBootMs >= 0) return sameBootMs;
    return Math.max(0, clock.wallMs() - wallMs) + CLOCK_SKEW_MS_MAX;
  }
}

/** False: not within so long. */
async function within(answer: Promise<boolean>, ms: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const bound = setTimeout(() => resolve(false), ms);
  return Promise.race([answer, promise]).finally(() => clearTimeout(bound));
}
