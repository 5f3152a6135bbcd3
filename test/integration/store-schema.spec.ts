import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { migrate, openStore, SchemaOutdatedError, StoreUnreachableError } from '#store';
import { createTestDatabase } from '#testing';
// The schema's law needs the entities themselves, which the library does not show to anyone else.
import { dataSourceOf } from '../../libs/store/src/data-source.ts';

describe('the schema', () => {
  let database: Awaited<ReturnType<typeof createTestDatabase>>;
  beforeAll(async () => {
    database = await createTestDatabase({ migrate });
  });
  afterAll(async () => {
    await database.drop();
  });

  it('is what the entities say', async () => {
    const dataSource = dataSourceOf(database.url, { poolSize: 2, applicationName: 'spec', onError: () => undefined });
    await dataSource.initialize();
    const differences = await dataSource.driver.createSchemaBuilder().log();
    await dataSource.destroy();
    expect(differences.upQueries.map((query) => query.query)).toEqual([]);
  });

  it('does nothing when it is migrated again', async () => {
    expect(await migrate(database.url)).toEqual({ ran: [], already: 1 });
  });
});

describe('migrate', () => {
  let database: Awaited<ReturnType<typeof createTestDatabase>>;
  beforeAll(async () => {
    database = await createTestDatabase({ migrate: async () => undefined });
  });
  afterAll(async () => {
    await database.drop();
  });

  it('is asked for by name when it is missing', async () => {
    await expect(openStore({ url: database.url })).rejects.toThrow(SchemaOutdatedError);
    await expect(openStore({ url: database.url })).rejects.toThrow('Initial1795440000000');
  });

  it('says what ran, once, though two run at once', async () => {
    const results = await Promise.all([migrate(database.url), migrate(database.url)]);
    expect(results.map((result) => result.ran).sort((left, right) => left.length - right.length)).toEqual([
      [],
      ['Initial1795440000000'],
    ]);
  });

  it('goes down and up again', async () => {
    const dataSource = dataSourceOf(database.url, { poolSize: 2, applicationName: 'spec', onError: () => undefined });
    await dataSource.initialize();
    await dataSource.undoLastMigration();
    const left = await dataSource.query(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`,
    );
    await dataSource.destroy();
    expect(left).toEqual([{ name: 'migrations' }]);
    expect((await migrate(database.url)).ran).toEqual(['Initial1795440000000']);
  });

  it('says that nobody is there', async () => {
    await expect(migrate('postgres://nobody@127.0.0.1:1/nothing')).rejects.toThrow(StoreUnreachableError);
  });
});
