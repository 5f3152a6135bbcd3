// What stands around one agent in its integration specs: a real NATS server, and small stand-ins for the control plane
// (join, blobs, fetch, reports, acknowledgements), for a gateway (accepts links and asks over them) and for the engine.
// The agent itself is the built process, so that it can be killed.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { SyncPlanReply, SyncPlanRequest, TaskLogsReply, TaskLogsRequest } from '#contracts';
import type { DesiredState, HeldVersion, Node, NodeDevices, SyncMeasures, TaskReport, VersionFile } from '#domain';
import { manifestText } from '#domain';
import {
  acceptLink,
  connectNats,
  createIdentity,
  dialLink,
  ensureEventStream,
  inboxPrefixOf,
  issueUserJwt,
  type NatsSession,
  permissionTables,
  publishJson,
  requestJson,
  subscribeJson,
  verifyProof,
} from '#messaging';
import { startNatsServer, type TestNatsServer } from '#testing';
import { type TemporaryFolder, temporaryFolder, until } from '../../apps/agent/test/temporary-folder.ts';

const root = resolve(import.meta.dirname, '../..');
export const CLUSTER_ID = '01900000-0000-7000-8000-00000000c001';
const GATEWAY_ID = '01900000-0000-7000-8000-00000000a001';
const BLOB_TOKEN = 'blob-token';

export interface Report {
  readonly bootId: string;
  readonly sequence: number;
  readonly epoch: number;
  readonly revision: number;
  readonly replicas: {
    replicaId: string;
    phase: string;
    reason: string;
    restarts: number;
    processId?: number;
    engine?: string;
    devices?: NodeDevices[];
    isLocal?: boolean;
  }[];
  readonly nodes: Node[];
  readonly versions: HeldVersion[];
  readonly measures?: SyncMeasures;
  readonly blobEndpoint?: string;
  readonly tasks?: TaskReport[];
}
export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

/** Brings .cache/dist up to date: the agent under test is the built one. */
export async function buildAgent(): Promise<void> {
  await promisify(execFile)(process.execPath, [join(root, 'deploy/launcher/build.mjs')], { cwd: root });
}

export class AgentWorld {
  readonly reports: Report[] = [];
  readonly heartbeats: { boot: string; sequence: number; stallMs: number; revision: number; bytes: number }[] = [];
  readonly events: { id: string; kind: string; [field: string]: unknown }[] = [];
  /** Digests of the blobs that were asked for. */
  readonly blobRequests: string[] = [];
  readonly blobs = new Map<string, Buffer>();
  desired: DesiredState | null = null;
  blobAnswers: ((response: ServerResponse) => void)[] = [];
  /** At which byte each of them was to begin. */
  readonly blobStarts: number[] = [];
  isAcknowledging = true;
  /** `<attempt> <digest>` of the blobs that were uploaded, in order. */
  readonly uploads: string[] = [];
  /** Answers to the next uploads, instead of taking them. */
  uploadAnswers: ((incoming: IncomingMessage, response: ServerResponse) => void)[] = [];
  /** What the centre says to join and renewal. */
  membership: 'ready' | 'pending' | 'removed' = 'ready';
  /** Of the answers to a fetch of the desired document, when there are such. */
  verifyingKey: string | undefined;
  verification: { mode: 'full' | 'sample'; dueInSeconds: number } | undefined;
  /** Of the agent's process; undefined: this one's. */
  environment: Record<string, string> | undefined;
  log = '';
  #nats!: TestNatsServer;
  #session!: NatsSession;
  #http!: Server;
  #gateway!: Server;
  #gatewayIdentity!: { publicKey: string; seed: string; jwt: string };
  #folder!: TemporaryFolder;
  #agent: ChildProcess | undefined;
  #links: Socket[] = [];
  readonly #parts = new Map<string, Buffer>();

  async start(): Promise<void> {
    this.#folder = await temporaryFolder();
    this.#nats = await startNatsServer();
    this.#http = await listen(createServer((incoming, response) => void this.#answerHttp(incoming, response)));
    await this.#openControlPlane();
    await this.#openGateway();
  }

  async stop(): Promise<void> {
    await this.killAgent('SIGTERM');
    await this.#session.close(500);
    for (const server of [this.#http, this.#gateway]) {
      server.closeAllConnections();
      server.close();
    }
    for (const link of this.#links) link.destroy();
    await this.#nats.stop();
    await this.#folder.remove();
  }

  get stateFolder(): string {
    return join(this.#folder.path, 'state');
  }
  get links(): number {
    return this.#links.length;
  }
  get lastReport(): Report | undefined {
    return this.reports.at(-1);
  }
  /** Cuts the agent off from NATS, or heals it. */
  killNats = () => this.#nats.kill();
  restartNats = () => this.#nats.restart();

  /** Asks the agent for a part of a task's log, as an operator's request does. */
  async askLog(request: TaskLogsRequest): Promise<TaskLogsReply> {
    const { connection } = this.#session;
    return (await requestJson(connection, `atoll.v1.${CLUSTER_ID}.rpc.task-logs`, request, {
      timeoutMs: 5_000,
    })) as TaskLogsReply;
  }

  async waitForTask(taskId: string, isSo: (task: TaskReport) => boolean, what: string): Promise<TaskReport> {
    const find = () => this.lastReport?.tasks?.find((task) => task.taskId === taskId);
    return until(
      () => {
        const task = find();
        return task !== undefined && isSo(task) ? task : undefined;
      },
      () => `task ${what}; it is ${JSON.stringify(find())}; log: ${this.log.slice(-3_000)}`,
      30_000,
    );
  }

  /** A version of a text file, and of others when there are such, ready to be fetched. */
  publishVersion(
    number: number,
    text: string | Buffer,
    others: Readonly<Record<string, string>> = {},
  ): DesiredState['versions'][number] {
    const files = Object.entries({ 'weights/model.gguf': text, ...others }).map(([path, each]): VersionFile => {
      const content = Buffer.from(each);
      const digest = sha256(content);
      this.blobs.set(digest, content);
      return { path, digest, sizeBytes: content.length };
    });
    const versionId = `01900000-0000-7000-8000-0000000000${number.toString().padStart(2, '0')}`;
    return { versionId, modelName: 'tiny', number, digest: sha256(manifestText(files)), files };
  }

  /** The world's blob server as the source of a plan's steps. */
  get registry() {
    const url = `http://127.0.0.1:${portOf(this.#http)}/api/v1/blobs`;
    return { kind: 'registry', name: 'registry', url, token: BLOB_TOKEN } as const;
  }

  /** From now on this control plane answers questions for sync plans; before, nobody does, as in an older release. */
  answerPlans(answer: (request: SyncPlanRequest) => SyncPlanReply): void {
    subscribeJson(
      this.#session.connection,
      'atoll.v1.*.sync',
      ({ value, respond }) => respond(answer(value as SyncPlanRequest)),
      { onError: () => undefined },
    );
  }

  /** From now on this control plane answers questions of one conversation: `bundle`, `lease`. */
  answerAs(conversation: 'bundle' | 'lease', answer: (question: never) => unknown): void {
    subscribeJson(
      this.#session.connection,
      `atoll.v1.*.${conversation}`,
      ({ value, respond }) => respond(answer(value as never)),
      { onError: () => undefined },
    );
  }

  /** Makes a document the desired one and hints at it. */
  want(state: Partial<DesiredState>): void {
    const before = this.desired ?? { epoch: 1, revision: 0, versions: [], replicas: [], tasks: [] };
    this.desired = { ...before, revision: before.revision + 1, ...state, clusterId: CLUSTER_ID };
    const { epoch, revision } = this.desired;
    publishJson(this.#session.connection, `atoll.v1.${CLUSTER_ID}.desired`, { epoch, revision });
  }

  /** The agent fetches its document again, though it has not changed: what else the answer says is told. */
  hint(): void {
    const { epoch, revision } = this.desired!;
    publishJson(this.#session.connection, `atoll.v1.${CLUSTER_ID}.desired`, { epoch, revision: revision + 1 });
  }

  announceGateway(): void {
    const linkEndpoint = `127.0.0.1:${portOf(this.#gateway)}`;
    const { publicKey } = this.#gatewayIdentity;
    publishJson(this.#session.connection, 'atoll.v1.gateways', { gatewayId: GATEWAY_ID, linkEndpoint, publicKey });
  }

  /** Asks the agent over one of the links that it dialled; `onHead` is called when the answer begins. */
  async ask(replicaId: string, body: object, onHead?: () => void, path = '/v1/chat/completions'): Promise<Answer> {
    const socket = await until(() => this.#links.shift(), 'a link is idle', 30_000);
    const outgoing = request({ createConnection: () => socket, method: 'POST', path });
    outgoing.setHeader('connection', 'keep-alive');
    outgoing.setHeader('x-atoll-replica', replicaId);
    outgoing.setHeader('content-type', 'application/json');
    outgoing.end(JSON.stringify({ model: 'tiny', messages: [], ...body }));
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    onHead?.();
    const text = (await response.setEncoding('utf8').toArray()).join('');
    if (!socket.destroyed) this.#links.push(socket);
    return { status: response.statusCode ?? 0, headers: response.headers, text };
  }

  /** A link that the gateway dials to the agent's own listener. */
  async dialDirect(port: number): Promise<void> {
    const { jwt, seed } = this.#gatewayIdentity;
    const trustedAccount = this.#nats.operator.atollAccount.publicKey;
    const { socket } = await dialLink({
      host: '127.0.0.1',
      port,
      identity: { jwt, seed },
      trustedAccount,
      allowedRoles: ['agent'],
      expectedClusterId: CLUSTER_ID,
    });
    for (const link of this.#links.splice(0)) link.destroy();
    this.#links.unshift(socket);
  }

  async startAgent(change: Record<string, unknown> = {}): Promise<ChildProcess> {
    const file = join(this.#folder.path, 'agent.yaml');
    const tokenFile = join(this.#folder.path, 'join-token');
    await writeFile(tokenFile, 'atolljoin_12345678_secret', { mode: 0o600 });
    const configuration = {
      stateDirectory: this.stateFolder,
      controlPlaneUrl: `http://127.0.0.1:${portOf(this.#http)}`,
      joinTokenFile: tokenFile,
      engine: { command: [process.execPath, join(root, 'apps/agent/test/engine-child.mjs')], startTimeoutSeconds: 10 },
      operational: { port: 0 },
      links: { perGateway: 2 },
      shutdown: { drainSeconds: 5 },
      sync: { headroomBytes: 0 },
      ...change,
    };
    await writeFile(file, JSON.stringify(configuration));
    const main = join(root, '.cache/dist/apps/agent/src/main.js');
    const agent = spawn(process.execPath, [main, '--config', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: this.environment,
    });
    for (const stream of [agent.stdout, agent.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.log = (this.log + text).slice(-20_000);
      });
    }
    this.#agent = agent;
    return agent;
  }

  async killAgent(signal: NodeJS.Signals): Promise<number | null> {
    const agent = this.#agent;
    this.#agent = undefined;
    if (agent === undefined) return null;
    if (agent.exitCode === null && agent.signalCode === null) {
      agent.kill(signal);
      await once(agent, 'exit');
    }
    // Nobody reads an idle link, so its end would only be noticed at the next request.
    for (const link of this.#links.splice(0)) link.destroy();
    return agent.exitCode;
  }

  /** SIGKILL, so many milliseconds from now. */
  async killAgentAfter(ms: number): Promise<void> {
    await delay(ms);
    await this.killAgent('SIGKILL');
  }

  async waitForReplica(replicaId: string, phase: string): Promise<Report['replicas'][number]> {
    const find = () => this.lastReport?.replicas.find((replica) => replica.replicaId === replicaId);
    await until(
      () => find()?.phase === phase,
      () => `replica ${phase}; log: ${this.log.slice(-3_000)}`,
      30_000,
    );
    return find()!;
  }

  async #openControlPlane(): Promise<void> {
    const { jwt, seed } = await this.#issue('control-plane', 'control-plane');
    this.#session = await connectNats({
      servers: this.#nats.url,
      credentials: () => ({ jwt, seed }),
      name: 'control-plane',
      inboxPrefix: inboxPrefixOf('control-plane'),
      reconnectWaitMs: 50,
      reconnectJitterMs: 50,
    });
    const { connection } = this.#session;
    const onError = () => undefined;
    await ensureEventStream(connection);
    subscribeJson(connection, 'atoll.v1.*.fetch', ({ subject, respond }) => respond(this.#answerFetch(subject)), {
      onError,
    });
    subscribeJson(connection, 'atoll.v1.*.report', ({ value }) => void this.reports.push(value as Report), { onError });
    subscribeJson(
      connection,
      'atoll.v1.*.hb',
      ({ value }) =>
        void this.heartbeats.push({
          ...(value as AgentWorld['heartbeats'][number]),
          bytes: JSON.stringify(value).length,
        }),
      { onError },
    );
    subscribeJson(
      connection,
      'atoll.v1.*.event',
      ({ value }) => {
        const event = value as AgentWorld['events'][number];
        this.events.push(event);
        if (this.isAcknowledging) publishJson(connection, `atoll.v1.${CLUSTER_ID}.acked`, { ids: [event.id] });
      },
      { onError },
    );
  }

  #answerFetch(subject: string): unknown {
    const linkEndpoint = `127.0.0.1:${portOf(this.#gateway)}`;
    const gateway = { gatewayId: GATEWAY_ID, linkEndpoint, publicKey: this.#gatewayIdentity.publicKey };
    if (subject === 'atoll.v1.gateways.fetch') return { gateways: [gateway] };
    const url = `http://127.0.0.1:${portOf(this.#http)}/api/v1/blobs`;
    const { verifyingKey, verification } = this;
    return {
      state: this.desired,
      blobs: { url, token: BLOB_TOKEN, expiresInSeconds: 900, verifyingKey },
      verification,
    };
  }

  async #openGateway(): Promise<void> {
    this.#gatewayIdentity = await this.#issue('gateway', GATEWAY_ID);
    this.#gateway = createServer((_request, response) => response.writeHead(401).end());
    this.#gateway.on('upgrade', (incoming, socket, head) => {
      const trustedAccount = this.#nats.operator.atollAccount.publicKey;
      const identity = this.#gatewayIdentity;
      acceptLink(incoming, socket, head, { identity, trustedAccount, allowedRoles: ['agent'] }).then(
        () => {
          const link = socket as Socket;
          link.on('error', () => undefined);
          link.once('close', () => {
            this.#links = this.#links.filter((other) => other !== link);
          });
          this.#links.push(link);
        },
        () => undefined,
      );
    });
    await listen(this.#gateway);
  }

  async #issue(role: 'control-plane' | 'gateway' | 'agent', token: string, publicKey?: string) {
    const key = publicKey === undefined ? createIdentity() : { publicKey, seed: '' };
    const jwt = await issueUserJwt({
      accountSeed: this.#nats.operator.atollAccount.seed,
      userPublicKey: key.publicKey,
      name: token,
      role,
      permissions: permissionTables[role](token),
      ...(role === 'agent' ? { clusterId: token } : {}),
    });
    return { ...key, jwt };
  }

  async #answerHttp(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = incoming.url ?? '';
    if (path.startsWith('/api/v1/blobs/'))
      return this.#answerBlob(incoming, response, path.slice('/api/v1/blobs/'.length));
    if (path === '/api/v1/agent/challenge') {
      return void response.end(JSON.stringify({ nonce: 'nonce-of-at-least-16', expiresInSeconds: 60 }));
    }
    const { publicKey, nonce, signature, ...body } = JSON.parse(
      (await incoming.setEncoding('utf8').toArray()).join(''),
    );
    if (!verifyProof({ publicKey, nonce, signature, body })) return void response.writeHead(401).end('{}');
    const isPending = this.membership === 'pending';
    const { jwt } = await this.#issue('agent', CLUSTER_ID, publicKey);
    const credentials = {
      jwt,
      expiresInSeconds: 86_400,
      natsServers: [this.#nats.url],
      account: this.#nats.operator.atollAccount.publicKey,
    };
    response.end(
      JSON.stringify({
        clusterId: CLUSTER_ID,
        clusterName: 'edge-test',
        phase: { ready: 'Ready', pending: 'PendingApproval', removed: 'Left' }[this.membership],
        retryAfterSeconds: isPending ? 1 : null,
        credentials: this.membership === 'ready' ? credentials : null,
      }),
    );
  }

  async #answerBlob(incoming: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const { pathname, searchParams } = new URL(path, 'http://blobs');
    const digest = pathname.slice(1);
    if (incoming.method === 'HEAD') return void response.writeHead(this.blobs.has(digest) ? 200 : 404).end();
    if (incoming.method === 'PUT') return this.#takeBlob(incoming, response, digest, searchParams);
    this.blobRequests.push(digest);
    const content = this.blobs.get(digest);
    this.blobStarts.push(Number(/^bytes=(\d+)-$/.exec(incoming.headers.range ?? '')?.[1] ?? 0));
    const special = this.blobAnswers.shift();
    if (special !== undefined) special(response);
    else if (incoming.headers.authorization !== `Bearer ${BLOB_TOKEN}`) response.writeHead(401).end();
    else if (content === undefined) response.writeHead(404).end();
    else sendRange(incoming, response, content);
  }

  /** Parts of a blob, each where the last one ended; whole ones are hashed. */
  async #takeBlob(
    incoming: IncomingMessage,
    response: ServerResponse,
    digest: string,
    query: URLSearchParams,
  ): Promise<void> {
    const special = this.uploadAnswers.shift();
    if (special !== undefined) return special(incoming, response);
    const from = Number(/^bytes (\d+)-/.exec(incoming.headers['content-range'] ?? '')?.[1] ?? 0);
    const before = this.#parts.get(digest) ?? Buffer.alloc(0);
    const body = Buffer.concat((await incoming.toArray()) as Buffer[]);
    if (incoming.headers.authorization !== `Bearer ${BLOB_TOKEN}`) return void response.writeHead(401).end();
    if (from !== before.length) {
      return void response.writeHead(409).end(JSON.stringify({ receivedBytes: before.length }));
    }
    const content = Buffer.concat([before, body]);
    this.#parts.set(digest, content);
    if (content.length < Number(query.get('size'))) return void response.writeHead(200).end();
    this.#parts.delete(digest);
    if (sha256(content) !== digest) return void response.writeHead(422).end();
    this.blobs.set(digest, content);
    this.uploads.push(`${query.get('attempt')} ${digest}`);
    response.writeHead(201).end();
  }
}

function sendRange(incoming: IncomingMessage, response: ServerResponse, content: Buffer): void {
  const from = Number(/^bytes=(\d+)-$/.exec(incoming.headers.range ?? '')?.[1] ?? 0);
  const headers = from > 0 ? { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` } : {};
  response.writeHead(from > 0 ? 206 : 200, headers).end(content.subarray(from));
}

function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

async function listen(server: Server): Promise<Server> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
