import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { v7 } from 'uuid';
import {
  DEFAULT_DEPLOYMENT_SERVING,
  DEFAULT_DISCONNECT_POLICY,
  DEFAULT_PRIORITY_CLASSES,
  DEFAULT_QUEUE_ID,
  DEFAULT_QUEUE_NAME,
  DEFAULT_SERVING_PRIORITY_CLASS,
  DEFAULT_SYNC_POLICIES,
  DEFAULT_TENANT_ID,
  type Store,
} from '#domain';
import { migrate, openStore, SchemaOutdatedError, StoreUnreachableError } from '#store';
import { createTestDatabase } from '#testing';
// The schema's law needs the entities themselves, which the library does not show to anyone else.
import { dataSourceOf, MIGRATIONS } from '../../libs/store/src/data-source.ts';
import { insertDeployment } from './store.fixture.ts';

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
    expect(await migrate(database.url)).toEqual({ ran: [], already: ALL.length });
  });
});

const ALL = MIGRATIONS.map(({ name }) => name);
/** Those after the named one. */
const laterThan = (name: string) => ALL.slice(ALL.indexOf(name) + 1);

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

  async function withStore<T>(work: (store: Store) => Promise<T>): Promise<T> {
    const store = await openStore({ url: database.url });
    return work(store).finally(() => store.close());
  }

  async function undo(names: readonly string[]): Promise<void> {
    await withDataSource(async (dataSource) => {
      for (const _ of names) await dataSource.undoLastMigration();
    });
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

  it('gives deployments from before jobs the default queue and the class of serving', async () => {
    const deployment = await withStore(insertDeployment);
    await undo(laterThan('ModelSync1795446000000'));
    await migrate(database.url);
    const { tenantId } = deployment;
    const [found, queue, serving] = await withStore(async ({ read }) => [
      await read.deployments.find({ id: deployment.id }),
      await read.queues.find({ tenantId, name: DEFAULT_QUEUE_NAME }),
      await read.priorityClasses.find({ tenantId, name: DEFAULT_SERVING_PRIORITY_CLASS }),
    ]);
    expect(found).toEqual({
      ...deployment,
      queueId: queue!.id,
      priorityClass: serving!.name,
      priority: serving!.priority,
    });
    expect(queue).toMatchObject({ id: DEFAULT_QUEUE_ID, weight: 1, quota: {}, order: 'class-shortest', paused: false });
  });

  it('gives deployments from before they could be said how to be served what they did then', async () => {
    const deployment = await withStore(insertDeployment);
    await undo(laterThan('Jobs1795450000000'));
    await migrate(database.url);
    const found = await withStore(({ read }) => read.deployments.find({ id: deployment.id }));
    expect(found).toMatchObject({ serving: DEFAULT_DEPLOYMENT_SERVING, disconnect: DEFAULT_DISCONNECT_POLICY });
  });

  it('gives the default tenant the priority classes that every tenant has', async () => {
    const page = { tenantId: DEFAULT_TENANT_ID, after: null, limit: 50 };
    const classes = await withStore(({ read }) => read.priorityClasses.list(page));
    const given = classes.map(({ name, priority, preemption, preemptible }) => ({
      name,
      priority,
      preemption,
      preemptible,
    }));
    expect(given.sort((left, right) => left.priority - right.priority)).toEqual(DEFAULT_PRIORITY_CLASSES);
  });

  it('gives clusters from before model sync the policy of their kind', async () => {
    await undo(laterThan('Initial1795440000000'));
    await withDataSource(async (dataSource) => {
      for (const kind of ['central', 'edge'])
        await dataSource.query(INSERT_OLD_CLUSTER, [v7(), DEFAULT_TENANT_ID, kind]);
    });
    await migrate(database.url);
    const clusters = await withStore(({ read }) => read.clusters.all());
    expect(clusters.map(({ kind, sync }) => [kind, sync]).sort()).toEqual([
      ['central', DEFAULT_SYNC_POLICIES.central],
      ['edge', DEFAULT_SYNC_POLICIES.edge],
    ]);
  });

  it('says that nobody is there', async () => {
    await expect(migrate('postgres://nobody@127.0.0.1:1/nothing')).rejects.toThrow(StoreUnreachableError);
  });
});
