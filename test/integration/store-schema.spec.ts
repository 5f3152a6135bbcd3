import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { v7 } from 'uuid';
import { DEFAULT_SYNC_POLICIES, DEFAULT_TENANT_ID } from '#domain';
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
    expect(await migrate(database.url)).toEqual({ ran: [], already: 2 });
  });
});

const ALL = ['Initial1795440000000', 'ModelSync1795446000000'];

const INSERT_OLD_CLUSTER = `
  INSERT INTO clusters (id, tenant_id, name, kind, region, zone, labels, public_key, phase, cordoned, phase_since,
    created_at, revision)
  VALUES ($1, $2, $3, $3, '', '', '{}', $3, 'Ready', false, now(), now(), 1)`;

describe('migrate', () => {
  let database: Awaited<ReturnType<typeof createTestDatabase>>;
  beforeAll(async () => {
    database = await createTestDatabase({ migrate: async () => undefined });
  });
  afterAll(async () => {
    await database.drop();
  });

  async function withDataSource<T>(work: (dataSource: DataSource) => Promise<T>): Promise<T> {
    const dataSource = dataSourceOf(database.url, { poolSize: 2, applicationName: 'spec', onError: () => undefined });
    await dataSource.initialize();
    return work(dataSource).finally(() => dataSource.destroy());
  }

  it('is asked for by name when it is missing', async () => {
    await expect(openStore({ url: database.url })).rejects.toThrow(SchemaOutdatedError);
    await expect(openStore({ url: database.url })).rejects.toThrow('Initial1795440000000');
  });

  it('says what ran, once, though two run at once', async () => {
    const results = await Promise.all([migrate(database.url), migrate(database.url)]);
    expect(results.map((result) => result.ran).sort((left, right) => left.length - right.length)).toEqual([[], ALL]);
  });

  it('goes down and up again', async () => {
    const left = await withDataSource(async (dataSource) => {
      for (const _ of ALL) await dataSource.undoLastMigration();
      return dataSource.query(
        `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`,
      );
    });
    expect(left).toEqual([{ name: 'migrations' }]);
    expect((await migrate(database.url)).ran).toEqual(ALL);
  });

  it('gives clusters from before model sync the policy of their kind', async () => {
    await withDataSource(async (dataSource) => {
      await dataSource.undoLastMigration();
      for (const kind of ['central', 'edge'])
        await dataSource.query(INSERT_OLD_CLUSTER, [v7(), DEFAULT_TENANT_ID, kind]);
    });
    await migrate(database.url);
    const store = await openStore({ url: database.url });
    const clusters = await store.read.clusters.all().finally(() => store.close());
    expect(clusters.map(({ kind, sync }) => [kind, sync]).sort()).toEqual([
      ['central', DEFAULT_SYNC_POLICIES.central],
      ['edge', DEFAULT_SYNC_POLICIES.edge],
    ]);
  });

  it('says that nobody is there', async () => {
    await expect(migrate('postgres://nobody@127.0.0.1:1/nothing')).rejects.toThrow(StoreUnreachableError);
  });
});
