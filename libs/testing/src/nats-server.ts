// A real nats-server for specs: operator mode, own temporary folder, a port of its own choosing.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedNats, startNats } from '#embedded';
import { createNatsOperator, type NatsOperator, renderServerConfiguration } from '#messaging';

export interface TestNatsServer {
  /** `nats://127.0.0.1:<port>`; the same after `restart`. */
  readonly url: string;
  readonly operator: NatsOperator;
  /** JetStream's folder; remove it between `kill` and `restart` to make NATS forget. */
  readonly storeDirectory: string;
  /** Ends it in order, and removes the folder when it was made here. */
  stop(): Promise<void>;
  /** SIGKILL; everything stays on disk. */
  kill(): Promise<void>;
  /** Starts it again (killing it first when it runs) on the same port. */
  restart(): Promise<void>;
}

/** @param options.directory default: a new temporary one; `operator` default: a new one */
export async function startNatsServer(
  options: { directory?: string; operator?: NatsOperator } = {},
): Promise<TestNatsServer> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'atoll-nats-')));
  const operator = options.operator ?? (await createNatsOperator('test'));
  const start = (port: number) =>
    startNats({
      directory,
      port,
      renderConfiguration: (folders) => renderServerConfiguration({ ...folders, operator }),
    });
  let server: EmbeddedNats = await start(-1);
  const { url, port } = server;
  return {
    url,
    operator,
    storeDirectory: join(directory, 'jetstream'),
    stop: async () => {
      await server.process.stop();
      if (!options.directory) await rm(directory, { recursive: true, force: true });
    },
    kill: () => server.process.stop('SIGKILL'),
    restart: async () => {
      await server.process.stop('SIGKILL');
      server = await start(port);
    },
  };
}
