/** A cluster as gateways see it: heartbeats over NATS, links that it dials or accepts, and an engine's answers. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { v7 } from 'uuid';
import { type GatewayAnnouncement, gatewaySchema, SUBJECTS } from '#contracts';
import type { RouteCluster } from '#domain';
import { acceptLink, dialLink, type NatsSession, publishJson, subscribeJson } from '#messaging';
import { type Installation, identityFor, type KnownIdentity, openSession } from './installation.ts';

export type Behaviour = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

export interface FakeClusterOptions {
  readonly name: string;
  /** direct: it listens and gateways dial; dialled: it dials each gateway that it hears of. */
  readonly path: 'direct' | 'dialled';
  readonly behave: Behaviour;
  /** Dialled sockets kept idle at each gateway; default 4. */
  readonly idleLinks?: number;
  /** Dialled sockets in all; default 4,096. */
  readonly linksMax?: number;
  readonly heartbeatMs?: number;
}

const REDIAL_MS = 100;

export class FakeCluster {
  /** A UUID; its NATS user has the same name. */
  readonly id: string;
  behave: Behaviour;
  /** Requests that reached it. */
  hits = 0;
  /** Answers whose connection closed before they were whole. */
  cancelled = 0;
  private readonly inference: Server;
  private readonly sockets = new Set<Socket>();
  private readonly busy = new Set<Socket>();
  private readonly gateways = new Map<string, { announcement: GatewayAnnouncement; dialling: number }>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private listener: Server | null = null;
  private session: NatsSession | null = null;
  private heartbeat: NodeJS.Timeout | undefined;
  private sequence = 0;
  private isDead = false;

  private constructor(
    private readonly installation: Installation,
    private readonly options: FakeClusterOptions,
    readonly identity: KnownIdentity,
  ) {
    this.id = identity.name;
    this.behave = options.behave;
    this.inference = createServer({ keepAliveTimeout: 0 }, (request, response) => this.answer(request, response));
    this.inference.headersTimeout = 0;
    this.inference.requestTimeout = 0;
    this.inference.on('clientError', (_cause, socket) => socket.destroy());
  }

  static async start(installation: Installation, options: FakeClusterOptions): Promise<FakeCluster> {
    const made = new FakeCluster(installation, options, await identityFor(installation.operator, 'agent', v7()));
    if (options.path === 'direct') await made.listen();
    made.session = await openSession(installation.natsUrl, made.identity);
    if (options.path === 'dialled') made.followGateways(made.session);
    made.resumeHeartbeats();
    return made;
  }

  /** As the routes describe it. */
  get route(): RouteCluster {
    const port = this.listener === null ? null : (this.listener.address() as AddressInfo).port;
    return {
      id: this.id,
      name: this.options.name,
      kind: this.options.path === 'direct' ? 'central' : 'edge',
      region: 'cn',
      phase: 'Ready',
      endpoint: port === null ? null : `127.0.0.1:${port}`,
      publicKey: this.identity.publicKey,
    };
  }

  get openSockets(): number {
    return this.sockets.size;
  }

  /** Resolves when the last one has left: what is told of the cluster afterwards comes behind it. */
  async pauseHeartbeats(): Promise<void> {
    clearInterval(this.heartbeat);
    await this.session?.connection.flush();
  }

  resumeHeartbeats(): void {
    clearInterval(this.heartbeat);
    const beat = () => {
      if (this.session?.status().state !== 'connected') return;
      this.sequence += 1;
      const sign = { boot: 'spec', sequence: this.sequence, revision: 0, inflight: 0, queued: 0, stallMs: 0 };
      publishJson(this.session.connection, SUBJECTS.heartbeat(this.id), sign);
    };
    beat();
    this.heartbeat = setInterval(beat, this.options.heartbeatMs ?? 1_000);
  }

  /** Every socket is reset and nothing is heard of it any more, as when its power goes. */
  async die(): Promise<void> {
    this.isDead = true;
    clearInterval(this.heartbeat);
    for (const timer of this.timers) clearTimeout(timer);
    this.listener?.close();
    for (const socket of this.sockets) socket.resetAndDestroy();
    await this.session?.close(0);
  }

  stop(): Promise<void> {
    return this.die();
  }

  private async listen(): Promise<void> {
    const listener = createServer((_request, response) => response.writeHead(401).end());
    this.listener = listener;
    listener.on('upgrade', (request, socket, head) => {
      acceptLink(request, socket, head, { ...this.trust(), allowedRoles: ['gateway'] }).then(
        () => this.take(socket as Socket),
        () => undefined,
      );
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
  }

  private followGateways(session: NatsSession): void {
    subscribeJson(
      session.connection,
      SUBJECTS.gateways,
      ({ value }) => {
        const announcement = gatewaySchema.parse(value);
        if (this.gateways.has(announcement.gatewayId)) return;
        this.gateways.set(announcement.gatewayId, { announcement, dialling: 0 });
        this.fill(announcement.gatewayId);
      },
      { onError: () => undefined },
    );
  }

  private fill(gatewayId: string): void {
    const gateway = this.gateways.get(gatewayId);
    if (gateway === undefined) return;
    const { idleLinks = 4, linksMax = 4_096 } = this.options;
    while (
      !this.isDead &&
      this.sockets.size - this.busy.size + gateway.dialling < idleLinks &&
      this.sockets.size + gateway.dialling < linksMax
    ) {
      gateway.dialling += 1;
      void this.dial(gateway.announcement)
        .then(
          () => 0,
          () => REDIAL_MS,
        )
        .then((waitMs) => {
          gateway.dialling -= 1;
          if (waitMs === 0) this.fill(gatewayId);
          else this.later(waitMs, () => this.fill(gatewayId));
        });
    }
  }

  private async dial(gateway: GatewayAnnouncement): Promise<void> {
    const [host = '', port = ''] = gateway.linkEndpoint.split(':');
    const link = await dialLink({ host, port: Number(port), ...this.trust(), allowedRoles: ['gateway'] });
    if (this.isDead) link.socket.destroy();
    else this.take(link.socket, gateway.gatewayId);
  }

  private take(socket: Socket, gatewayId?: string): void {
    socket.on('error', () => undefined);
    this.sockets.add(socket);
    socket.once('close', () => {
      this.sockets.delete(socket);
      this.busy.delete(socket);
      if (gatewayId !== undefined) this.later(REDIAL_MS, () => this.fill(gatewayId));
    });
    this.inference.emit('connection', socket);
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    this.hits += 1;
    const { socket } = request;
    this.busy.add(socket);
    for (const gatewayId of this.gateways.keys()) this.fill(gatewayId);
    response.once('close', () => {
      this.busy.delete(socket);
      if (!response.writableFinished) this.cancelled += 1;
    });
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => this.behave(request, response, Buffer.concat(chunks)));
  }

  private later(waitMs: number, run: () => void): void {
    if (this.isDead) return;
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      if (!this.isDead) run();
    }, waitMs);
    this.timers.add(timer);
  }

  private trust() {
    return { identity: this.identity, trustedAccount: this.installation.operator.atollAccount.publicKey };
  }
}
