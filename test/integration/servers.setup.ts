// Before the integration specs: one Postgres for the run, whose URL the workers find in ATOLL_TEST_POSTGRES_URL.
// DATABASE_URL, when it is set, names one that is used instead (its user must be allowed to create databases).
import { type PostgresServer, startPostgres } from '../../libs/testing/src/postgres-server.ts';

declare global {
  var atollTestPostgres: PostgresServer | undefined;
}

export default async function startServers(): Promise<void> {
  const given = process.env.DATABASE_URL;
  if (given) {
    process.env.ATOLL_TEST_POSTGRES_URL = given;
    return;
  }
  globalThis.atollTestPostgres = await startPostgres();
  process.env.ATOLL_TEST_POSTGRES_URL = globalThis.atollTestPostgres.url;
}
