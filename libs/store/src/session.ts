/**
 * The one way from the row classes to the database: a pooled connection each call (`Store.read`) or the connection of a
 * transaction. Errors are translated here; writes and locks outside a transaction are refused here.
 */
import type {
  DataSource,
  EntityManager,
  EntityTarget,
  FindOptionsOrder,
  FindOptionsWhere,
  ObjectLiteral,
  QueryDeepPartialEntity,
} from 'typeorm';
import { ReadOnlyRowsError, translateError } from './errors.ts';

export interface Written<Row> {
  readonly rows: Row[];
  readonly affected: number;
}

export class Session {
  private constructor(
    private readonly dataSource: DataSource,
    private readonly manager: EntityManager,
    private readonly writable: boolean,
  ) {}

  static reading(dataSource: DataSource): Session {
    return new Session(dataSource, dataSource.manager, false);
  }

  static inTransaction(dataSource: DataSource, manager: EntityManager): Session {
    return new Session(dataSource, manager, true);
  }

  async find<Row extends ObjectLiteral>(
    entity: EntityTarget<Row>,
    where: FindOptionsWhere<Row>,
    options: { order?: FindOptionsOrder<Row>; limit?: number } = {},
  ): Promise<Row[]> {
    return this.translated(() => this.manager.find(entity, { where, order: options.order, take: options.limit }));
  }

  async findOne<Row extends ObjectLiteral>(
    entity: EntityTarget<Row>,
    where: FindOptionsWhere<Row>,
    forUpdate = false,
    order?: FindOptionsOrder<Row>,
  ): Promise<Row | null> {
    if (forUpdate) this.mustWrite();
    const lock = forUpdate ? ({ mode: 'pessimistic_write' } as const) : undefined;
    return this.translated(() => this.manager.findOne(entity, { where, lock, order }));
  }

  async insert<Row extends ObjectLiteral>(entity: EntityTarget<Row>, row: Row): Promise<void> {
    this.mustWrite();
    await this.translated(() =>
      this.manager
        .createQueryBuilder()
        .insert()
        .into(entity)
        .values(row as QueryDeepPartialEntity<Row>)
        .updateEntity(false)
        .execute(),
    );
  }

  /** Rows as the driver gives them: column names as in the statement, bigint as text. */
  async rows<Row>(statement: string, parameters: readonly unknown[] = []): Promise<Row[]> {
    return (await this.run<Row>(statement, parameters)).rows;
  }

  async write<Row>(statement: string, parameters: readonly unknown[] = []): Promise<Written<Row>> {
    this.mustWrite();
    return this.run<Row>(statement, parameters);
  }

  private async run<Row>(statement: string, parameters: readonly unknown[]): Promise<Written<Row>> {
    return this.translated(async () => {
      const runner = this.manager.queryRunner ?? this.dataSource.createQueryRunner();
      try {
        const result = await runner.query(statement, [...parameters], true);
        return { rows: result.records as Row[], affected: result.affected ?? 0 };
      } finally {
        if (runner !== this.manager.queryRunner) await runner.release();
      }
    });
  }

  private mustWrite(): void {
    if (!this.writable) throw new ReadOnlyRowsError();
  }

  private async translated<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw translateError(error);
    }
  }
}
