// What stands around one gateway in its integration specs: a real NATS server, a centre that hands out routes, clusters
// that answer over real links. The gateway runs inside the spec, so that its end can be checked for what it leaves open;
// or as the built process, where it is to be killed.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { v7 } from 'uuid';
import { loadConfiguration } from '#configuration';
import { DEFAULT_TENANT_ID } from '#domain';
import { type RunningProcess, startProcess } from '#embedded';
import { createLogger } from '#telemetry';
import { eventually, startNatsServer, type TestNatsServer } from '#testing';
import { type RunningGateway, startGateway } from '../../apps/gateway/src/application.ts';
import { gatewayConfiguration } from '../../apps/gateway/src/configuration.ts';
import { type Behaviour, FakeCluster, type FakeClusterOptions } from '../bench/gateway/fake-cluster.ts';
import {
  createKey,
  deploymentOf,
  FakeCentre,
  identityFor,
  type KnownIdentity,
  PEPPER,
} from '../bench/gateway/installation.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** False when the connection broke before the answer was whole. */
  readonly isWhole: boolean;
}

export const TENANT = DEFAULT_TENANT_ID;
const MAIN = join(import.meta.dirname, '../../.cache/dist/apps/gateway/src/main.js');

export class GatewayWorld {
  readonly clusters: FakeCluster[] = [];
  /** All that the gateway logged. */
  log = '';
  token = '';
  /** Spreads requests evenly: a cluster that gets none is one that is not routable, not one that is slower. */
  pick = 'least-outstanding';
  nats!: TestNatsServer;
  centre!: FakeCentre;
  gateway!: RunningGateway;
  private gatewayUrl = '';
  private directory!: string;
  private identity!: KnownIdentity;

  static async start(): Promise<GatewayWorld> {
    const world = new GatewayWorld();
    world.directory = await mkdtemp(join(tmpdir(), 'atoll-gateway-'));
    world.nats = await startNatsServer();
    world.centre = await FakeCentre.open(world.installation);
    world.identity = await identityFor(world.nats.operator, 'gateway', v7());
    const { token, key } = createKey({ tenantId: TENANT });
    world.token = token;
    world.centre.changeQuietly({ keys: [key] });
    return world;
  }

  get installation() {
    return { natsUrl: this.nats.url, operator: this.nats.operator };
  }

  get routesFile(): string {
    return join(this.directory, 'state', 'routes.json');
  }

  async addCluster(options: FakeClusterOptions): Promise<FakeCluster> {
    const cluster = await FakeCluster.start(this.installation, options);
    this.clusters.push(cluster);
    return cluster;
  }

  /** Two clusters, `one` direct and `two` dialled, serving `tiny`; and the gateway, ready. */
  async startPair(behave: Behaviour, limits: Readonly<Record<string, number>> = {}): Promise<FakeCluster[]> {
    await this.addCluster({ name: 'one', path: 'direct', behave });
    await this.addCluster({ name: 'two', path: 'dialled', behave });
    this.route();
    await this.startGateway(limits);
    await this.untilReachable();
    return this.clusters;
  }

  /** Routes `tiny` to all clusters. */
  route(): void {
    const ids = this.clusters.map((cluster) => cluster.id);
    this.centre.change({
      clusters: this.clusters.map((cluster) => cluster.route),
      deployments: [deploymentOf('tiny', TENANT, ids)],
    });
  }

  async startGateway(limits: Readonly<Record<string, number>> = {}): Promise<void> {
    const settings = loadConfiguration(gatewayConfiguration, {
      file: 'gateway.yaml',
      env: this.secrets,
      readFile: () => ({ mode: 0o600, text: this.configuration(0, limits) }),
    });
    const destination = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.log += chunk.toString('utf8');
        done();
      },
    });
    this.gateway = await startGateway(settings, createLogger({ process: 'gateway', level: 'debug', destination }));
    this.gatewayUrl = this.gateway.url;
  }

  /** The built process, at a port that the caller chose, so that it comes back at the same. It is starting. */
  async startGatewayProcess(port: number): Promise<RunningProcess> {
    const file = join(this.directory, 'gateway.yaml');
    await writeFile(file, this.configuration(port), { mode: 0o600 });
    this.gatewayUrl = `http://127.0.0.1:${port}`;
    return startProcess({
      name: 'gateway',
      command: process.execPath,
      args: [MAIN, '--config', file],
      environment: this.secrets,
      logFile: join(this.directory, 'gateway.log'),
    });
  }

  private get secrets() {
    return { ATOLL_IDENTITY_JWT: this.identity.jwt, ATOLL_IDENTITY_SEED: this.identity.seed, ATOLL_PEPPER: PEPPER };
  }

  private configuration(port: number, limits: Readonly<Record<string, number>> = {}): string {
    return JSON.stringify({
      http: { host: '127.0.0.1', port },
      nats: { servers: [this.nats.url] },
      stateDirectory: join(this.directory, 'state'),
      limits,
      routing: { pick: this.pick },
      shutdown: { drainSeconds: 20 },
    });
  }

  /** Waits until every cluster can be reached over its path. */
  async untilReachable(): Promise<void> {
    await eventually(async () => {
      const { text, status } = await this.get('/readyz', null);
      if (status !== 200) throw new Error(`not ready: ${text}`);
      for (const cluster of this.clusters) {
        if (cluster.route.endpoint === null && cluster.openSockets === 0) throw new Error('no link yet');
      }
    });
  }

  /** The gateway's view of its routes has this sequence. */
  async untilRouted(): Promise<void> {
    const { sequence } = this.centre.view;
    await eventually(() => {
      if (!this.log.includes(`"sequence":${sequence},`)) throw new Error(`sequence ${sequence} is not in use yet`);
    });
  }

  chat(body: Readonly<Record<string, unknown>> = {}, options: SendOptions = {}): Promise<Answer> {
    const whole = { model: 'tiny', messages: [{ role: 'user', content: 'hello' }], ...body };
    return this.send('POST', '/v1/chat/completions', JSON.stringify(whole), options);
  }

  get(path: string, token: string | null = this.token): Promise<Answer> {
    return this.send('GET', path, null, { token });
  }

  /** Never rejects for a broken answer: `isWhole` says so. */
  send(method: string, path: string, body: string | Buffer | null, options: SendOptions = {}): Promise<Answer> {
    const { token = this.token, headers = {}, onChunk, signal } = options;
    const { hostname, port } = new URL(this.gatewayUrl);
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        hostname,
        port,
        method,
        path,
        agent: false,
        signal,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === null ? {} : { 'content-type': 'application/json' }),
          ...(body === null || 'transfer-encoding' in headers ? {} : { 'content-length': Buffer.byteLength(body) }),
          ...headers,
        },
      });
      request.on('error', reject);
      request.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          onChunk?.(chunk);
        });
        response.on('error', () => undefined);
        response.on('close', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, isWhole: response.complete }),
        );
      });
      request.end(body ?? undefined);
    });
  }

  async stop(): Promise<void> {
    if (this.gateway !== undefined) await this.gateway.shutdown.run('spec');
    await Promise.all(this.clusters.map((cluster) => cluster.stop()));
    await this.centre.stop().catch(() => undefined);
    await this.nats.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export interface SendOptions {
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly onChunk?: (text: string) => void;
  readonly signal?: AbortSignal;
}

export function errorOf(answer: Answer): { message: string; type: string; param: string | null; code: string | null } {
  return (JSON.parse(answer.text) as { error: ReturnType<typeof errorOf> }).error;
}
