/**
 * The clock of an installation (ADR 25): the database's own and what the leader says that it is to be ahead of it, so that
 * a jump of the database's clock, too, is followed slowly. Times in rows that something is decided by are of this clock,
 * whichever process writes them (R22).
 */
export interface ClockReading {
  /** Not of the transaction's beginning: it may have waited for a lock. */
  readonly at: Date;
  /** Of `at`, before the database's own clock; negative: behind it. Milliseconds, 0 but after a jump. */
  readonly aheadMs: number;
}

export abstract class ClockRows {
  abstract read(): Promise<ClockReading>;
  /** `at` of a reading. */
  abstract now(): Promise<Date>;
  /** The same, Unix milliseconds. */
  abstract nowMs(): Promise<number>;
  /** What readings are ahead from now on; nothing while `epoch` is not the newest. Whole milliseconds. */
  abstract keepAhead(epoch: number, aheadMs: number): Promise<void>;
}
