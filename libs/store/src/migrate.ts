import type { DataSource } from 'typeorm';
import { dataSourceOf, MIGRATIONS } from './data-source.ts';
import { SchemaOutdatedError, translateError } from './errors.ts';

export interface MigrationResult {
  /** Names of the migrations that ran now, oldest first. */
  readonly ran: readonly string[];
  /** How many had run before. */
  readonly already: number;
}

const MIGRATION_LOCK = 4_107_001;
const LOCK_WAIT_MS = 60_000;

/**
 * Brings the schema up to date: all missing migrations in one transaction, or none. Two at once wait for each other
 * (at most 60 s, then StoreTimeoutError); running it again does nothing.
 * Throws StoreUnreachableError when there is no database at `databaseUrl`.
 */
export async function migrate(databaseUrl: string): Promise<MigrationResult> {
  const dataSource = dataSourceOf(databaseUrl, {
    poolSize: 2,
    applicationName: 'atoll-migrate',
    onError: () => undefined,
  });
  try {
    await dataSource.initialize();
    return await underLock(dataSource, async () => {
      const ran = await dataSource.runMigrations({ transaction: 'all' });
      return { ran: ran.map((migration) => migration.name), already: MIGRATIONS.length - ran.length };
    });
  } catch (error) {
    throw translateError(error);
  } finally {
    if (dataSource.isInitialized) await dataSource.destroy();
  }
}

/** The lock lives in a transaction of its own connection: it ends with the process, whatever happens to it. */
async function underLock<T>(dataSource: DataSource, work: () => Promise<T>): Promise<T> {
  return dataSource.transaction(async (manager) => {
    await manager.query(`SET LOCAL lock_timeout = ${LOCK_WAIT_MS}`);
    await manager.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    return work();
  });
}

/** Throws SchemaOutdatedError unless every migration that this program knows has run. Newer ones are fine (expand → contract). */
export async function assertMigrated(dataSource: DataSource): Promise<void> {
  const [table] = await dataSource.query<{ name: string | null }[]>(`SELECT to_regclass('migrations')::text AS name`);
  const done = table?.name ? await dataSource.query<{ name: string }[]>('SELECT name FROM migrations') : [];
  const names = new Set(done.map((row) => row.name));
  const missing = MIGRATIONS.map((migration) => migration.name).filter((name) => !names.has(name));
  if (missing.length > 0) throw new SchemaOutdatedError(missing);
}
