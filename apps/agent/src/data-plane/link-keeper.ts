// The dialled path: from behind NAT the agent keeps a few authenticated sockets ready at every gateway it knows.
//
// Bounds: `idleWanted` idle sockets and at most `socketsMax` in all at each gateway; at the bound nothing is dialled until
// one closes. A failed dial waits 0.5 s doubled up to 10 s, with jitter. A gateway that has not been announced for 15 s
// is forgotten: its idle sockets close, busy ones when they are done.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { GATEWAY_FORGOTTEN_AFTER_MS, type GatewayAnnouncement } from '#contracts';
import { dialLink, type LinkTrust } from '#messaging';
import { messageOf } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';

const RETRY_MS = 500;
const RETRY_MS_MAX = 10_000;
const SWEEP_MS = 1_000;

export interface LinkKeeperOptions {
  readonly idleWanted: number;
  readonly socketsMax: number;
  /** Asked at every dial, so that a renewed JWT is used. */
  readonly trust: () => Pick<LinkTrust, 'identity' | 'trustedAccount'>;
  readonly take: (socket: Socket) => void;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
  readonly dial?: typeof dialLink;
}

interface GatewayLinks {
  gateway: GatewayAnnouncement;
  seenAtMs: number;
  readonly sockets: Set<Socket>;
  readonly busy: Set<Socket>;
  readonly abort: AbortController;
  dialling: number;
  failures: number;
  retryAtMs: number;
  isForgotten: boolean;
}

export class LinkKeeper {
  readonly #options: LinkKeeperOptions;
  readonly #gateways = new Map<string, GatewayLinks>();
  readonly #owners = new WeakMap<Socket, GatewayLinks>();
  #timer: NodeJS.Timeout | undefined;
  /** NATS is away: silence of gateways then means nothing. */
  #isDeaf = false;
  #isStopping = false;

  constructor(options: LinkKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
  }

  heard(gateway: GatewayAnnouncement): void {
    if (this.#isStopping) return;
    const known = this.#gateways.get(gateway.gatewayId);
    if (
      known !== undefined &&
      known.gateway.linkEndpoint === gateway.linkEndpoint &&
      known.gateway.publicKey === gateway.publicKey
    ) {
      known.seenAtMs = performance.now();
      return;
    }
    if (known !== undefined) this.#forget(known);
    const links: GatewayLinks = {
      gateway,
      seenAtMs: performance.now(),
      sockets: new Set(),
      busy: new Set(),
      abort: new AbortController(),
      dialling: 0,
      failures: 0,
      retryAtMs: 0,
      isForgotten: false,
    };
    this.#gateways.set(gateway.gatewayId, links);
    this.#fill(links);
  }

  /** Whether announcements can be heard; known gateways are kept while they cannot (R4). */
  hearing(canHear: boolean): void {
    if (canHear && this.#isDeaf) for (const links of this.#gateways.values()) links.seenAtMs = performance.now();
    this.#isDeaf = !canHear;
  }

  /** The inference server began an answer on a socket; another idle one is dialled in its place. */
  requestBegan(request: IncomingMessage): () => void {
    const { socket } = request;
    const links = this.#owners.get(socket);
    if (links === undefined) return () => undefined;
    links.busy.add(socket);
    this.#fill(links);
    return () => {
      links.busy.delete(socket);
      if (links.isForgotten) socket.destroySoon();
    };
  }

  /** True when so many sockets are idle that this one should close after its answer. */
  isSurplus(request: IncomingMessage): boolean {
    const links = this.#owners.get(request.socket);
    return links !== undefined && links.sockets.size - links.busy.size >= this.#options.idleWanted * 2;
  }

  counts(): { gateways: number; sockets: number; busy: number } {
    let [sockets, busy] = [0, 0];
    for (const links of this.#gateways.values()) {
      sockets += links.sockets.size;
      busy += links.busy.size;
    }
    return { gateways: this.#gateways.size, sockets, busy };
  }

  /** Dials nothing more and closes what is idle. */
  stop(): void {
    this.#isStopping = true;
    clearInterval(this.#timer);
    for (const links of this.#gateways.values()) this.#forget(links);
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const links of this.#gateways.values()) {
      if (!this.#isDeaf && nowMs - links.seenAtMs > GATEWAY_FORGOTTEN_AFTER_MS) this.#forget(links);
      else this.#fill(links);
    }
  }

  #forget(links: GatewayLinks): void {
    links.isForgotten = true;
    links.abort.abort();
    this.#gateways.delete(links.gateway.gatewayId);
    for (const socket of links.sockets) if (!links.busy.has(socket)) socket.destroySoon();
  }

  #fill(links: GatewayLinks): void {
    const { idleWanted, socketsMax } = this.#options;
    if (links.isForgotten || performance.now() < links.retryAtMs) return;
    const idle = links.sockets.size - links.busy.size + links.dialling;
    const room = socketsMax - links.sockets.size - links.dialling;
    // After a failure one socket tries the way for all.
    const wanted = links.failures > 0 ? Math.min(1, idleWanted - idle) - links.dialling : idleWanted - idle;
    for (let count = Math.min(wanted, room); count > 0; count -= 1) void this.#dial(links);
  }

  async #dial(links: GatewayLinks): Promise<void> {
    const { dial = dialLink, take, trust, log, metrics } = this.#options;
    const { linkEndpoint, publicKey } = links.gateway;
    links.dialling += 1;
    try {
      const { socket, peer } = await dial({
        ...parseEndpoint(linkEndpoint),
        ...trust(),
        allowedRoles: ['gateway'],
        signal: links.abort.signal,
      });
      links.dialling -= 1;
      if (peer.publicKey !== publicKey || links.isForgotten) {
        socket.destroy();
        if (!links.isForgotten) this.#failed(links, 'another gateway answered at this address');
        return;
      }
      links.failures = 0;
      links.sockets.add(socket);
      this.#owners.set(socket, links);
      socket.once('close', () => this.#closed(links, socket));
      take(socket);
      this.#fill(links);
    } catch (cause) {
      links.dialling -= 1;
      if (links.isForgotten) return;
      metrics.linkRefused();
      if (links.failures === 0)
        log.warn({ gateway: linkEndpoint, reason: messageOf(cause) }, 'no link to the gateway; trying again');
      this.#failed(links, messageOf(cause));
    }
  }

  #failed(links: GatewayLinks, reason: string): void {
    links.failures += 1;
    const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.min(links.failures - 1, 8)) * (0.5 + Math.random());
    links.retryAtMs = performance.now() + waitMs;
    this.#options.log.debug({ gateway: links.gateway.linkEndpoint, reason, waitMs }, 'dial failed');
  }

  /** A gateway that closes sockets as fast as they come must not be dialled as fast. */
  #closed(links: GatewayLinks, socket: Socket): void {
    links.sockets.delete(socket);
    links.busy.delete(socket);
    if (links.sockets.size === 0)
      links.retryAtMs = Math.max(links.retryAtMs, performance.now() + RETRY_MS * Math.random());
    this.#fill(links);
  }
}

export function parseEndpoint(endpoint: string): { host: string; port: number } {
  const colon = endpoint.lastIndexOf(':');
  const host = endpoint.slice(0, colon).replace(/^\[|\]$/g, '');
  return { host, port: Number(endpoint.slice(colon + 1)) };
}
