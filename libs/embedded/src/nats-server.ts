/** A real nats-server in operator mode, for the quickstart and the tests: own folder, a port of its own choosing. */
import { accessSync, constants } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { EmbeddedServerError } from './errors.ts';
import { type RunningProcess, startProcess, waitWhileRunning } from './processes.ts';

const START_TIMEOUT_MS = 20_000;

export interface EmbeddedNats {
  /** `nats://127.0.0.1:<port>` */
  readonly url: string;
  readonly port: number;
  readonly process: RunningProcess;
}

export interface StartNatsOptions {
  readonly directory: string;
  /** -1 lets the server choose. Give the former port to come back where clients look. */
  readonly port: number;
  /** Renders the server's configuration for these folders. */
  readonly renderConfiguration: (folders: {
    port: number;
    storeDirectory: string;
    jwtDirectory: string;
    portsFileDirectory: string;
  }) => string;
}

export async function startNats(options: StartNatsOptions): Promise<EmbeddedNats> {
  const folders = {
    storeDirectory: join(options.directory, 'jetstream'),
    jwtDirectory: join(options.directory, 'jwt'),
    portsFileDirectory: join(options.directory, 'ports'),
  };
  await rm(folders.portsFileDirectory, { recursive: true, force: true });
  for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true, mode: 0o700 });
  const configurationFile = join(options.directory, 'nats.conf');
  await writeFile(configurationFile, options.renderConfiguration({ ...folders, port: options.port }), { mode: 0o600 });
  const running = startProcess({
    name: 'nats-server',
    command: findNatsServer(),
    args: ['-c', configurationFile],
    logFile: join(options.directory, 'nats.log'),
  });
  let port: number | null = null;
  const started = await waitWhileRunning(
    running,
    async () => {
      port = await readPort(folders.portsFileDirectory, running.identity.pid);
      return port !== null;
    },
    START_TIMEOUT_MS,
  );
  if (!started || port === null) {
    const tail = running.logTail();
    await running.stop();
    throw new EmbeddedServerError('nats-server did not start.', tail);
  }
  return { url: `nats://127.0.0.1:${port}`, port, process: running };
}

/** ATOLL_NATS_SERVER, else the launcher's copy, else the PATH. */
export function findNatsServer(): string {
  const given = process.env.ATOLL_NATS_SERVER;
  const candidates = [
    ...(given ? [given] : []),
    resolve('.cache/nats-server/nats-server'),
    ...(process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'nats-server')),
  ];
  const found = candidates.find(isExecutable);
  if (found !== undefined) return found;
  throw new EmbeddedServerError(
    'There is no nats-server. Start through ./atoll, which fetches it, or install nats-server 2.10 or newer.',
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The server writes `nats-server_<pid>.ports` once it listens; null until then. */
async function readPort(folder: string, pid: number): Promise<number | null> {
  const file = (await readdir(folder)).find((name) => name.endsWith(`_${pid}.ports`));
  if (file === undefined) return null;
  try {
    const ports = JSON.parse(await readFile(join(folder, file), 'utf8')) as { nats?: string[] };
    return ports.nats?.[0] === undefined ? null : Number(new URL(ports.nats[0]).port);
  } catch {
    return null; // half written; the next look finds it whole
  }
}
