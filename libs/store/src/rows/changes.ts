/**
 * What was written since a look, by the ids of the transactions that wrote (ADR 22). Transactions do not commit in the
 * order of their ids; but every one that a look did not see has an id from `pg_snapshot_xmin` of the look's snapshot on,
 * which is the look's mark: the oldest transaction that was under way then. What has at least that id is told by the next
 * look, also what the earlier one had told already.
 *
 * A mark is of one life of the database: after a restart, a restore or a failover all is read again.
 */
import { ChangeRows, type RowChanges, TOLD_BY_ROW, TOLD_BY_TABLE, type ToldByRow, type ToldByTable } from '#domain';
import type { Session } from '../session.ts';

interface Look {
  readonly xmin: string;
  readonly life: string;
  readonly isKept: boolean;
  readonly ofTable: string | null;
  /** Null: any of the table's rows. */
  readonly ids: readonly (string | null)[] | null;
}

export class PostgresChangeRows extends ChangeRows {
  constructor(private readonly session: Session) {
    super();
  }

  async look(since: string | null): Promise<RowChanges> {
    const { xmin, life } = partsOf(since);
    const rows = await this.session.rows<Look>(LOOK, [xmin, life]);
    const [{ xmin: nextXmin, life: nextLife, isKept }] = rows as [Look, ...Look[]];
    return { mark: `${nextXmin} ${nextLife}`, changed: isKept ? changedOf(rows) : null };
  }

  async forget(mark: string): Promise<void> {
    const { xmin, life } = partsOf(mark);
    await this.session.write(FORGET, [xmin, life]);
  }
}

function partsOf(mark: string | null): { xmin: string | null; life: string | null } {
  const [xmin = null, life = null] = mark?.split(' ') ?? [];
  return { xmin, life };
}

/** Null where a table of which rows are told was emptied as a whole. */
function changedOf(looks: readonly Look[]): RowChanges['changed'] {
  const rows: Record<ToldByRow, ReadonlySet<string>> = { jobs: NONE, attempts: NONE, observations: NONE };
  const tables = new Set<ToldByTable>();
  for (const { ofTable, ids } of looks) {
    if (isAmong(TOLD_BY_TABLE, ofTable)) tables.add(ofTable);
    if (!isAmong(TOLD_BY_ROW, ofTable)) continue;
    const told = (ids ?? []).flatMap((id) => id ?? []);
    if (told.length < (ids?.length ?? 0)) return null;
    rows[ofTable] = new Set(told);
  }
  return { rows, tables };
}

const NONE: ReadonlySet<string> = new Set();

function isAmong<Name extends string>(names: readonly Name[], name: string | null): name is Name {
  return names.includes(name as Name);
}

// One statement, so that one snapshot: its xmin, how far back is kept, and what is there. A mark from the future is of
// another life too.
const NOW = `
  SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin,
    extract(epoch FROM pg_postmaster_start_time())::text || ':' || 'row_changes'::regclass::oid AS life`;

const LOOK = `
  WITH now AS MATERIALIZED (${NOW}),
  kept AS MATERIALIZED (
    SELECT coalesce(now.life = $2 AND kept_from <= $1::xid8 AND $1::xid8 <= now.xmin, false) AS is_kept
    FROM now, row_changes_horizon
  ),
  changed AS (
    SELECT of_table, array_agg(DISTINCT id) AS ids FROM row_changes
    WHERE changed_in >= $1::xid8 AND (SELECT is_kept FROM kept) GROUP BY of_table
  )
  SELECT now.xmin::text AS xmin, now.life, kept.is_kept AS "isKept", changed.of_table AS "ofTable", changed.ids
  FROM now CROSS JOIN kept LEFT JOIN changed ON true`;

// What has an id that no transaction has had yet is of a life that was restored away.
const FORGET = `
  WITH now AS MATERIALIZED (${NOW}),
  moved AS (
    UPDATE row_changes_horizon SET kept_from = $1::xid8 FROM now WHERE now.life = $2 AND $1::xid8 <= now.xmin
    RETURNING kept_from
  )
  DELETE FROM row_changes USING moved
  WHERE changed_in < kept_from OR changed_in >= pg_snapshot_xmax(pg_current_snapshot())`;
