// One cloned database a spec file. The first spec to ask makes a migrated template; all others copy it.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import pg from 'pg';

export interface TestDatabase {
  readonly url: string;
  /** Cuts what is still connected and removes it. */
  drop(): Promise<void>;
}

const MIGRATIONS = resolve(import.meta.dirname, '../../../migrations');

/**
 * A database of its own for a spec file, on the run's server (ATOLL_TEST_POSTGRES_URL, set by the integration
 * project's set-up). `migrate` is called at most once a run for the same migrations: on the template, which is then
 * copied (0.04–0.12 s). It must close its connections. On a server that outlives the run (DATABASE_URL) the template
 * stays and is found again.
 */
export async function createTestDatabase(options: {
  migrate: (url: string) => Promise<unknown>;
}): Promise<TestDatabase> {
  const server = process.env.ATOLL_TEST_POSTGRES_URL;
  if (!server) throw new Error('No ATOLL_TEST_POSTGRES_URL: only specs under test/integration have a Postgres.');
  const template = await templateName(options.migrate);
  const name = `atoll_test_${crypto.randomUUID().replaceAll('-', '')}`;
  await withClient(server, async (client) => {
    await ensureTemplate(client, server, template, options.migrate);
    await client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  });
  return {
    url: databaseUrl(server, name),
    drop: () => withClient(server, async (client) => void (await client.query(`DROP DATABASE ${name} WITH (FORCE)`))),
  };
}

/** Names what is in the template: the migrations' text and the function that applies them. */
async function templateName(migrate: (url: string) => Promise<unknown>): Promise<string> {
  const hash = createHash('sha256').update(String(migrate));
  for (const file of (await readdir(MIGRATIONS)).filter((entry) => /\.(ts|sql)$/.test(entry)).sort()) {
    hash.update(`\0${file}\0`).update(await readFile(join(MIGRATIONS, file)));
  }
  return `atoll_template_${hash.digest('hex').slice(0, 24)}`;
}

/** Made under another name and renamed when whole, so that a migration that fails leaves no template behind. */
async function ensureTemplate(
  client: pg.Client,
  server: string,
  template: string,
  migrate: (url: string) => Promise<unknown>,
): Promise<void> {
  const exists = async () =>
    (await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [template])).rowCount === 1;
  if (await exists()) return;
  await client.query('SELECT pg_advisory_lock(hashtext($1))', [template]); // released when the client ends
  if (await exists()) return;
  await client.query(`DROP DATABASE IF EXISTS ${template}_making WITH (FORCE)`);
  await client.query(`CREATE DATABASE ${template}_making TEMPLATE template0`);
  await migrate(databaseUrl(server, `${template}_making`));
  await client.query(`ALTER DATABASE ${template}_making RENAME TO ${template}`);
  await client.query('SELECT pg_advisory_unlock(hashtext($1))', [template]);
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function databaseUrl(server: string, name: string): string {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}
