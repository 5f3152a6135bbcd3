/**
 * The processes of a quickstart: real Postgres, real nats-server, and Atoll's own processes as they run in production,
 * each with its YAML file. Started in order, ended in the opposite order.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import {
  type EmbeddedPostgres,
  EmbeddedServerError,
  freePort,
  type RunningProcess,
  startNats,
  startPostgres,
  startProcess,
} from '#embedded';
import { readOperatorFiles, renderServerConfiguration } from '#messaging';
import { type Instance, PROJECT_ROOT } from './instance.ts';
import { StepError } from './narrator.ts';

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;

export interface ClusterPlan {
  readonly name: string;
  readonly kind: 'central' | 'edge';
  readonly region: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export const CLUSTERS: readonly ClusterPlan[] = [
  { name: 'dc-1', kind: 'central', region: 'cn-north' },
  { name: 'edge-shanghai', kind: 'edge', region: 'cn-east' },
  { name: 'edge-frankfurt', kind: 'edge', region: 'eu-central' },
];

interface Kept {
  readonly name: string;
  readonly process: RunningProcess;
  readonly stop: () => Promise<void>;
  /** Starts it again as it was, where its clients look for it. */
  readonly restart: () => Promise<void>;
  /** False for the servers, without which nothing can be promised. */
  readonly isSupervised: boolean;
}

/** What serves in the clusters: the embedded llama.cpp, or simulators in its place. */
export const ENGINES = ['llama', 'sim'] as const;
export type QuickstartEngine = (typeof ENGINES)[number];

export interface FleetOptions {
  /** Default: llama. */
  readonly engine?: QuickstartEngine;
  /** Default: CLUSTERS. */
  readonly clusters?: readonly ClusterPlan[];
  /** Changes the configuration of one of Atoll's processes before it is written, by the process' name. */
  readonly adjust?: (name: string, configuration: Record<string, unknown>) => Record<string, unknown>;
  /** What one of Atoll's processes finds in its environment besides, at each start. */
  readonly environment?: (name: string) => Readonly<Record<string, string>>;
}

/** What ends by itself is started again after this long, as a service manager would. */
const RESTART_AFTER_MS = 10_000;

export class QuickstartFleet {
  private readonly running: Kept[] = [];
  private stopping = false;
  controlPlaneUrl = '';
  gatewayUrl = '';
  private natsUrl = '';
  /** Cluster → its agent's own OpenAI endpoint. */
  private readonly localUrls = new Map<string, string>();
  private databaseUrl = '';

  constructor(
    private readonly instance: Instance,
    private readonly options: FleetOptions = {},
  ) {}

  get clusters(): readonly ClusterPlan[] {
    return this.options.clusters ?? CLUSTERS;
  }

  /** Of the nats-server, `nats://…`; empty before it runs. */
  get natsAddress(): string {
    return this.natsUrl;
  }

  /** Where the cluster answers by itself, without `/v1`. */
  localUrlOf(cluster: string): string {
    const url = this.localUrls.get(cluster);
    if (url === undefined) throw new Error(`${cluster} was not started here.`);
    return url;
  }

  get ownerKeyFile(): string {
    return this.instance.path('secrets', 'owner-key');
  }

  /** DATABASE_URL selects a Postgres of yours, unless it must be our own; else one comes with Atoll. */
  async startPostgres({ mayBeGiven = true } = {}): Promise<string> {
    const given = process.env.DATABASE_URL;
    if (mayBeGiven && given !== undefined && given !== '') {
      this.databaseUrl = given;
      return 'the one in DATABASE_URL';
    }
    await this.startEmbeddedPostgres();
    return 'embedded, 127.0.0.1 only';
  }

  private async startEmbeddedPostgres(port?: number): Promise<void> {
    let postgres: EmbeddedPostgres;
    try {
      const directory = await this.instance.makeFolder('postgres');
      postgres = await startPostgres({ directory, ...(port === undefined ? {} : { port }) });
    } catch (error) {
      throw asStepError(error, 'Give the address of a Postgres 15 or newer in DATABASE_URL, or send us the log.');
    }
    await this.keep({
      name: 'postgres',
      process: postgres.process,
      stop: () => postgres.stop(),
      restart: () => this.startEmbeddedPostgres(Number(new URL(postgres.url).port)),
      isSupervised: false,
    });
    this.databaseUrl = await postgres.ensureDatabase('atoll');
  }

  /** Secrets of this installation: made once, by the same command as in production. */
  async bootstrap(): Promise<void> {
    await this.runOnce(
      'bootstrap',
      'apps/control-plane/src/bootstrap.js',
      ['--directory', this.instance.path('secrets')],
      {},
    );
  }

  async startNats(): Promise<string> {
    const operator = await readOperatorFiles(this.instance.path('secrets'));
    if (operator === undefined) throw new StepError('the bootstrap made no NATS operator', 'Run with --fresh.');
    const ports = await this.instance.ports();
    const directory = await this.instance.makeFolder('nats');
    const start = (port: number) =>
      startNats({
        directory,
        port,
        renderConfiguration: (folders) => renderServerConfiguration({ ...folders, operator }),
      });
    try {
      // Agents that joined before look for the former port; when it was taken meanwhile, any will do.
      const nats = await start(ports.nats ?? -1).catch(() => start(-1));
      await this.keep({
        name: 'nats-server',
        process: nats.process,
        stop: () => nats.process.stop(),
        restart: async () => void (await this.startNats()),
        isSupervised: false,
      });
      await this.instance.rememberPorts({ ...ports, nats: nats.port });
      this.natsUrl = nats.url;
      return `operator mode, ${nats.url}`;
    } catch (error) {
      throw asStepError(error, 'Install nats-server 2.10 or newer, or delete .cache/nats-server and try again.');
    }
  }

  async migrate(): Promise<void> {
    await this.runOnce('migrate', 'apps/control-plane/src/migrate.js', [], { ATOLL_DATABASE_URL: this.databaseUrl });
  }

  async startControlPlane(): Promise<void> {
    const port = await this.portOf('controlPlane');
    this.controlPlaneUrl = `http://127.0.0.1:${port}`;
    const secrets = (name: string) => this.instance.path('secrets', name);
    await this.startAtoll('control-plane', 'apps/control-plane/src/main.js', this.controlPlaneUrl, {
      configuration: {
        http: { host: '127.0.0.1', port, publicUrl: this.controlPlaneUrl },
        database: { urlFile: await this.secretFile('database-url', this.databaseUrl) },
        nats: { servers: [this.natsUrl], operatorDirectory: this.instance.path('secrets') },
        blobs: { directory: await this.instance.makeFolder('blobs') },
        secrets: { pepperFile: secrets('pepper'), blobSigningKeyFile: secrets('blob-signing-key.pem') },
        owner: { keyFile: this.ownerKeyFile },
      },
    });
  }

  async startGateway(): Promise<void> {
    const port = await this.portOf('gateway');
    this.gatewayUrl = `http://127.0.0.1:${port}`;
    const secrets = (name: string) => this.instance.path('secrets', name);
    await this.startAtoll('gateway', 'apps/gateway/src/main.js', this.gatewayUrl, {
      configuration: {
        http: { host: '127.0.0.1', port },
        nats: { servers: [this.natsUrl] },
        identity: { jwtFile: secrets('gateway.jwt'), seedFile: secrets('gateway.seed') },
        pepperFile: secrets('pepper'),
        stateDirectory: await this.instance.makeFolder('gateway'),
        shutdown: { drainSeconds: 5 },
      },
    });
  }

  /** Without `joinToken` the agent has joined before and finds its identity in its folder. */
  async startAgent(cluster: ClusterPlan, joinToken: string | null): Promise<void> {
    const [port, localPort] = [await freePort(), await freePort()];
    this.localUrls.set(cluster.name, `http://127.0.0.1:${localPort}`);
    await this.startAtoll(cluster.name, 'apps/agent/src/main.js', `http://127.0.0.1:${port}`, {
      configuration: {
        stateDirectory: await this.instance.makeFolder('agents', cluster.name),
        controlPlaneUrl: this.controlPlaneUrl,
        operational: { host: '127.0.0.1', port },
        engine: { ...this.engineProgram(), contextSize: 256, maxConcurrent: 2 },
        localEndpoint: { listen: { host: '127.0.0.1', port: localPort } },
        // An instance that is stopped leaves no processes behind.
        jobs: { onShutdown: 'stop' },
        ...(joinToken === null ? {} : { joinTokenFile: await this.secretFile(`join-${cluster.name}`, joinToken) }),
        shutdown: { drainSeconds: 5 },
      },
      livePath: '/healthz',
    });
  }

  private engineProgram(): Record<string, unknown> {
    if (this.options.engine === 'sim') {
      return { command: [process.execPath, join(PROJECT_ROOT, '.cache/dist/apps/engine-sim/src/main.js')] };
    }
    return { modulesDirectory: process.env.ATOLL_ENGINE_MODULES ?? join(PROJECT_ROOT, '.cache/engine/node_modules') };
  }

  hasJoined(cluster: ClusterPlan): boolean {
    return existsSync(this.instance.path('agents', cluster.name, 'joined'));
  }

  async rememberJoined(cluster: ClusterPlan): Promise<void> {
    await writeFile(this.instance.path('agents', cluster.name, 'joined'), '', { mode: 0o600 });
  }

  /** Cuts every cluster off from the centre. Resolves with what starts NATS again, where its clients look for it. */
  async stopNats(): Promise<() => Promise<void>> {
    const nats = this.running.find((one) => one.name === 'nats-server');
    if (nats === undefined) throw new Error('NATS was not started here.');
    await nats.stop();
    return () => nats.restart();
  }

  /** Ends a process, unless it has ended already, and starts it as it was. */
  async restart(name: string): Promise<void> {
    const kept = this.running.find((one) => one.name === name);
    if (kept === undefined) throw new Error(`${name} was not started here.`);
    await kept.stop();
    await kept.restart();
  }

  processOf(name: string): RunningProcess | undefined {
    return this.running.find((one) => one.name === name)?.process;
  }

  /**
   * Watches over what runs: one of Atoll's processes that ends by itself is started again, as a service manager would do
   * it. Resolves with the first server that ends, or with the first process that cannot be started again.
   */
  supervise(say: (text: string) => void): Promise<RunningProcess> {
    return new Promise((resolve) => {
      const watch = (kept: Kept) => {
        kept.process.exited
          .then(async ({ code, signal }) => {
            if (this.stopping) return;
            if (!kept.isSupervised) return resolve(kept.process);
            say(`${kept.name} ended (${signal ?? `code ${code}`}); it starts again in ${RESTART_AFTER_MS / 1_000} s.`);
            await delay(RESTART_AFTER_MS);
            if (this.stopping) return;
            await kept.restart();
            say(`${kept.name} is back.`);
            watch(this.running.find((one) => one.name === kept.name)!);
          })
          .catch(() => resolve(kept.process));
      };
      for (const kept of this.running) watch(kept);
    });
  }

  /** Ends everything: agents with their engines together, then the rest from the outside in. */
  async stop(): Promise<void> {
    this.stopping = true;
    const agents = this.running.filter((one) => this.clusters.some((cluster) => cluster.name === one.name));
    await Promise.all(agents.map((one) => one.stop()));
    await this.instance.endTasks();
    for (const one of this.running.reverse()) if (!agents.includes(one)) await one.stop();
    this.running.length = 0;
  }

  /** One that starts again takes its former place in the order of the end; one that comes too late ends at once. */
  private async keep(kept: Kept): Promise<void> {
    if (this.stopping) {
      await kept.stop();
      throw new StepError(`${kept.name} was stopped while it started`, 'Start again.');
    }
    const place = this.running.findIndex((one) => one.name === kept.name);
    if (place === -1) this.running.push(kept);
    else this.running[place] = kept;
    await this.instance.register(kept.name, kept.process.identity);
  }

  private async portOf(name: 'controlPlane' | 'gateway'): Promise<number> {
    const ports = await this.instance.ports();
    const port = ports[name] !== undefined && (await isFree(ports[name])) ? ports[name] : await freePort();
    await this.instance.rememberPorts({ ...ports, [name]: port });
    return port;
  }

  private async secretFile(name: string, value: string): Promise<string> {
    await this.instance.makeFolder('secrets');
    const path = this.instance.path('secrets', name);
    await writeFile(path, `${value}\n`, { mode: 0o600 });
    return path;
  }

  private async startAtoll(
    name: string,
    entry: string,
    url: string,
    options: { configuration: Record<string, unknown>; livePath?: string },
  ): Promise<void> {
    const configurationFile = join(await this.instance.makeFolder('configuration'), `${name}.yaml`);
    const configuration = this.options.adjust?.(name, options.configuration) ?? options.configuration;
    await writeFile(configurationFile, stringify(configuration), { mode: 0o600 });
    const running = startProcess({
      name,
      command: process.execPath,
      args: [join(PROJECT_ROOT, '.cache/dist', entry), '--config', configurationFile],
      environment: this.options.environment?.(name),
      logFile: join(await this.instance.makeFolder('logs'), `${name}.log`),
      workingDirectory: PROJECT_ROOT,
    });
    await this.keep({
      name,
      process: running,
      stop: () => running.stop('SIGTERM', STOP_TIMEOUT_MS),
      restart: () => this.startAtoll(name, entry, url, options),
      isSupervised: true,
    });
    if (await answersOk(running, `${url}${options.livePath ?? '/readyz'}`)) return;
    const why = running.isRunning() ? `was not ready after ${READY_TIMEOUT_MS / 1_000} s` : 'ended while it started';
    throw new StepError(
      `${name} ${why}`,
      `Look at ${running.logFile}; ./atoll quickstart --fresh starts from nothing.`,
      running.logTail(),
    );
  }

  private async runOnce(
    name: string,
    entry: string,
    args: readonly string[],
    environment: Record<string, string>,
  ): Promise<void> {
    try {
      await promisify(execFile)(process.execPath, [join(PROJECT_ROOT, '.cache/dist', entry), ...args], {
        env: { ...process.env, ...environment },
        timeout: READY_TIMEOUT_MS,
      });
    } catch (cause) {
      const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string };
      throw new StepError(
        `${name} failed`,
        './atoll quickstart --fresh starts from nothing.',
        (stdout + stderr).slice(-4_000),
        { cause },
      );
    }
  }
}

/** The URL-safe name of a file's key, kept so that a restart prints the same one. */
export async function readOrNull(path: string): Promise<string | null> {
  return readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
}

export function randomSuffix(): string {
  return randomBytes(3).toString('hex');
}

async function answersOk(running: RunningProcess, url: string): Promise<boolean> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadlineMs && running.isRunning()) {
    const ok = await fetch(url, { signal: AbortSignal.timeout(2_000) }).then(
      (response) => response.ok,
      () => false,
    );
    if (ok) return true;
    await delay(50);
  }
  return false;
}

async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function asStepError(error: unknown, advice: string): StepError {
  if (error instanceof EmbeddedServerError)
    return new StepError(error.message.split('\n')[0]!, advice, error.logTail, { cause: error });
  return new StepError(error instanceof Error ? error.message : String(error), advice, '', { cause: error });
}
