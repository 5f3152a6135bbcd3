/** What was written since an earlier look, whoever wrote it, for who keeps rows in memory (ADR 22). */

/** Of these single rows are told: job ids, attempt ids, cluster ids of observations. */
export const TOLD_BY_ROW = ['jobs', 'attempts', 'observations'] as const;
/** Of these only that something of them was written. */
export const TOLD_BY_TABLE = ['clusters', 'placements', 'deployments', 'queues', 'queue_usage'] as const;

export type ToldByRow = (typeof TOLD_BY_ROW)[number];
export type ToldByTable = (typeof TOLD_BY_TABLE)[number];

export interface RowChanges {
  /** To be given to the next look. Means nothing to anybody but the store. */
  readonly mark: string;
  /** Null: anything may have changed, and what is kept is to be read again. */
  readonly changed: {
    /** Written, or gone. The same may be told again by the next look. */
    readonly rows: Readonly<Record<ToldByRow, ReadonlySet<string>>>;
    readonly tables: ReadonlySet<ToldByTable>;
  } | null;
}

export abstract class ChangeRows {
  /**
   * All that was committed between the earlier look and this one is told, whichever transaction began first. Rows that are
   * read after a look are as it tells, or newer; what is newer the next look tells.
   *
   * @param since what an earlier look gave; null: there was none
   */
  abstract look(since: string | null): Promise<RowChanges>;
  /** Forgets what was written before the look that gave `mark`: who has not looked since reads all again. */
  abstract forget(mark: string): Promise<void>;
}
