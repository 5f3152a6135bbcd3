// One real Postgres for a test run: fast instead of durable, in a temporary folder that goes with it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres as startEmbedded } from '#embedded';

export interface PostgresServer {
  /** Superuser's URL of the database `postgres`, on 127.0.0.1. */
  readonly url: string;
  /** Ends it and removes its folder. Fine to call twice. */
  stop(): Promise<void>;
}

/** Throws with the server's own last words when it cannot start. */
export async function startPostgres(): Promise<PostgresServer> {
  const directory = await mkdtemp(join(tmpdir(), 'atoll-test-postgres-'));
  const remove = () => rm(directory, { recursive: true, force: true });
  try {
    const server = await startEmbedded({ directory, durable: false, connectionsMax: 200 });
    return {
      url: server.url,
      stop: async () => {
        await server.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
