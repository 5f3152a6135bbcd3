import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, QueryRunner } from 'typeorm';
import { type Rows, StaleEpochError, Store } from '#domain';
import { ChangeListener, type Topic } from './changes.ts';
import { type Bounds, dataSourceOf } from './data-source.ts';
import { StoreContentionError, translateError } from './errors.ts';
import { assertMigrated } from './migrate.ts';
import { rowsOf } from './rows/all.ts';
import { Session } from './session.ts';

/** How often a transaction is run in all when others stand in its way. */
export const TRANSACTION_ATTEMPTS_MAX = 3;

const DEFAULT_BOUNDS: Bounds = {
  connectTimeoutMs: 5_000,
  statementTimeoutMs: 15_000,
  lockTimeoutMs: 10_000,
  idleInTransactionTimeoutMs: 8_000,
};

export interface StoreOptions {
  /** `postgres://user:password@host:port/database` */
  readonly url: string;
  /** Connections for reads and transactions, default 10; one more listens. A call waits at most 5 s for a free one. */
  readonly poolSize?: number;
  /** Told of errors that no call can be given: idle connections lost, the listening connection lost, listeners thrown. */
  readonly onError?: (error: unknown) => void;
  readonly bounds?: Partial<Bounds>;
}

/**
 * Connects and checks that the schema is complete.
 * Throws StoreUnreachableError when Postgres is not there and SchemaOutdatedError when migrations are missing.
 */
export async function openStore(options: StoreOptions): Promise<PostgresStore> {
  const onError = options.onError ?? (() => undefined);
  const dataSource = dataSourceOf(options.url, {
    poolSize: options.poolSize ?? 10,
    applicationName: 'atoll-store',
    bounds: { ...DEFAULT_BOUNDS, ...options.bounds },
    onError: (error) => onError(translateError(error)),
  });
  try {
    await dataSource.initialize();
    await assertMigrated(dataSource);
  } catch (error) {
    if (dataSource.isInitialized) await dataSource.destroy();
    throw translateError(error);
  }
  return new PostgresStore(dataSource, new ChangeListener(options.url, onError));
}

export class PostgresStore extends Store {
  override readonly read: Rows;

  constructor(
    private readonly dataSource: DataSource,
    private readonly changes: ChangeListener,
  ) {
    super();
    this.read = rowsOf(Session.reading(dataSource));
  }

  /**
   * As the port says, and: READ COMMITTED; after a deadlock or serialization failure `work` runs again, three times in
   * all, so it must have no effect outside its rows. Then StoreContentionError. Statements are bounded to 15 s, waits
   * for a lock to 10 s (StoreTimeoutError), idling inside the transaction to 8 s (then Postgres
   * ends it: StoreTimeoutError or StoreUnreachableError). Calls on `rows` one after the other, not by Promise.all: one
   * transaction is one connection.
   * A unique or foreign key that stands against a write throws ConflictError, which is a refusal.
   */
  override async transaction<T>(work: (rows: Rows) => Promise<T>, options: { epoch?: number } = {}): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.once(work, options.epoch);
      } catch (error) {
        const translated = translateError(error);
        if (!(translated instanceof StoreContentionError) || attempt >= TRANSACTION_ATTEMPTS_MAX) throw translated;
        await delay(attempt * 10 + Math.random() * 40);
      }
    }
  }

  override onChange(topic: Topic, listener: () => void): () => void {
    return this.changes.add(topic, listener);
  }

  /** Throws StoreUnreachableError unless Postgres answers. */
  override async ping(): Promise<void> {
    await Session.reading(this.dataSource).rows('SELECT 1');
  }

  /** Ends the listening and the pool; waits for transactions that are under way. Idempotent. */
  override async close(): Promise<void> {
    await this.changes.close();
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }

  private async once<T>(work: (rows: Rows) => Promise<T>, epoch: number | undefined): Promise<T> {
    const runner = this.dataSource.createQueryRunner();
    try {
      await runner.startTransaction('READ COMMITTED');
      if (epoch !== undefined) await assertEpoch(runner, epoch);
      const result = await work(rowsOf(Session.inTransaction(this.dataSource, runner.manager)));
      await runner.commitTransaction();
      return result;
    } catch (error) {
      // Its own failure says nothing new: the connection is gone, and the transaction with it.
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
      throw error;
    } finally {
      await runner.release();
    }
  }
}

/** Share mode: many writers of one epoch at once, and the next leader's increment waits for all of them. */
async function assertEpoch(runner: QueryRunner, epoch: number): Promise<void> {
  const [leader] = await runner.query('SELECT epoch FROM leader FOR SHARE');
  const newest = Number(leader.epoch);
  if (newest !== epoch) throw new StaleEpochError(epoch, newest);
}
