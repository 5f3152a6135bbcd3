import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Those of which single rows are noted: table → the column that names them. */
const BY_ROW = { jobs: 'id', attempts: 'id', observations: 'cluster_id' } as const;
/** Those of which it is noted only that something of them was written. */
const BY_TABLE = ['clusters', 'placements', 'deployments', 'queues', 'queue_usage'] as const;

/**
 * Who keeps rows in memory reads what was written since it last looked. A row of `row_changes` says that a transaction
 * wrote a row of a table, or (id null) any of it; `row_changes_horizon` says how far back they are kept.
 */
export class RowChanges1795463000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(TABLES);
    for (const [table, column] of Object.entries(BY_ROW)) {
      await queryRunner.query(noteRows(column));
      await queryRunner.query(triggers(table, `note_rows_by_${column}`));
    }
    await queryRunner.query(NOTE_TABLE);
    for (const table of BY_TABLE) await queryRunner.query(triggers(table, 'note_table'));
    for (const table of [...Object.keys(BY_ROW), ...BY_TABLE]) await queryRunner.query(truncateTrigger(table));
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    for (const table of [...Object.keys(BY_ROW), ...BY_TABLE]) {
      const names = ['insert', 'update', 'delete', 'truncate'].map((event) => `${table}_note_${event}`);
      for (const name of names) await queryRunner.query(`DROP TRIGGER ${name} ON ${table}`);
    }
    await queryRunner.query(`
      DROP FUNCTION note_rows_by_id, note_rows_by_cluster_id, note_table, note_truncated;
      DROP TABLE row_changes, row_changes_horizon;
    `);
  }
}

// Appended only: whoever writes waits for nobody. The transaction's id and not a time: in the order of ids it can be told
// which transactions a look has not seen (see libs/store/src/rows/changes.ts).
const TABLES = `
  CREATE TABLE row_changes (
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    of_table text NOT NULL,
    id uuid
  );
  CREATE INDEX row_changes_index ON row_changes (changed_in);
  CREATE TABLE row_changes_horizon (
    is_only boolean PRIMARY KEY DEFAULT true,
    kept_from xid8 NOT NULL,
    CONSTRAINT row_changes_horizon_check CHECK (is_only)
  );
  INSERT INTO row_changes_horizon (kept_from) VALUES (pg_current_xact_id());
`;

function noteRows(column: string): string {
  return `
    CREATE OR REPLACE FUNCTION note_rows_by_${column}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO row_changes (of_table, id) SELECT TG_TABLE_NAME, ${column} FROM written;
      RETURN NULL;
    END $$;
  `;
}

const NOTE_TABLE = `
  CREATE FUNCTION note_table() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO row_changes (of_table, id) SELECT TG_TABLE_NAME, NULL WHERE EXISTS (SELECT FROM written);
    RETURN NULL;
  END $$;
  CREATE FUNCTION note_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO row_changes (of_table, id) VALUES (TG_TABLE_NAME, NULL);
    RETURN NULL;
  END $$;
`;

function triggers(table: string, execute: string): string {
  const trigger = (event: string, written: 'NEW' | 'OLD') => `
    CREATE TRIGGER ${table}_note_${event} AFTER ${event} ON ${table} REFERENCING ${written} TABLE AS written
      FOR EACH STATEMENT EXECUTE FUNCTION ${execute}();
  `;
  return trigger('insert', 'NEW') + trigger('update', 'NEW') + trigger('delete', 'OLD');
}

function truncateTrigger(table: string): string {
  return `
    CREATE TRIGGER ${table}_note_truncate AFTER TRUNCATE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION note_truncated();
  `;
}
