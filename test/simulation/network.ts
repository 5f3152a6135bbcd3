/**
 * The virtual NATS: clients with links that delay, drop, repeat, reorder and are cut; core subjects, queue groups by
 * random choice, request–reply. It owns nothing: whatever it held is gone when it stops.
 */
import { zstdDecompressSync } from 'node:zlib';
import type { SimulatedProcess, World } from './world.ts';

/** Shares of messages, and bounds of delays, while faults are on. */
export interface NetworkFaults {
  dropShare: number;
  repeatShare: number;
  delayMsMax: number;
}

export const CALM_NETWORK: NetworkFaults = { dropShare: 0, repeatShare: 0, delayMsMax: 30 };
const RECONNECT_MS = { least: 1_000, most: 2_000 };
/** Two lost pings of 10 s: so long may a client believe in a link that is cut. */
const CUT_NOTICED_MS_MAX = 30_000;
const REQUEST_TIMEOUT_MS = 5_000;

export interface Handlers {
  /** Subject and value, as JSON would carry it. */
  readonly onMessage: (subject: string, value: unknown) => void;
  readonly onRequest?: (subject: string, value: unknown) => Promise<unknown>;
  readonly onConnected: () => void;
  readonly onDisconnected: () => void;
}

export interface Client {
  readonly process: SimulatedProcess;
  readonly isControlPlane: boolean;
  readonly clusterId: string | null;
  readonly handlers: Handlers;
  /** What the client believes. */
  isConnected: boolean;
  isCut: boolean;
  isRefused: boolean;
  life: number;
}

export class Network {
  faults: NetworkFaults = { ...CALM_NETWORK };
  isUp = true;
  private readonly clients = new Set<Client>();

  constructor(private readonly world: World) {}

  join(process: SimulatedProcess, clusterId: string | null, handlers: Handlers): Client {
    const fresh = { isConnected: false, isCut: false, isRefused: false, life: 0 };
    const client: Client = { process, clusterId, isControlPlane: clusterId === null, handlers, ...fresh };
    this.clients.add(client);
    this.reconnect(client, this.world.between(5, 200));
    return client;
  }

  leave(client: Client): void {
    client.isConnected = false;
    client.life += 1;
    this.clients.delete(client);
  }

  /** Nothing passes; the client notices within 30 s. */
  cut(client: Client): void {
    if (client.isCut) return;
    client.isCut = true;
    const { life } = client;
    const noticedMs = this.world.chance(0.5) ? 0 : this.world.between(0, CUT_NOTICED_MS_MAX);
    this.world.after(noticedMs, client.process, () => {
      if (client.isCut && client.life === life) this.drop(client);
    });
  }

  heal(client: Client): void {
    if (!client.isCut) return;
    client.isCut = false;
    if (!client.isConnected) this.reconnect(client);
  }

  stop(): void {
    this.isUp = false;
    for (const client of this.clients) this.drop(client);
  }

  start(): void {
    this.isUp = true;
    for (const client of this.clients) this.reconnect(client);
  }

  healAll(): void {
    if (!this.isUp) this.start();
    for (const client of this.clients) this.heal(client);
  }

  /** Credentials revoked: the link ends for good. */
  refuse(clusterId: string): void {
    for (const client of this.clients) {
      if (client.clusterId !== clusterId) continue;
      client.isRefused = true;
      this.drop(client);
    }
  }

  /** From an agent: to every control plane, or to one of them. */
  toControlPlanes(from: Client, subject: string, value: unknown, isQueued: boolean): void {
    if (!this.passes(from)) return;
    const hearing = [...this.clients].filter((client) => client.isControlPlane && client.isConnected);
    const receivers = isQueued && hearing.length > 0 ? [this.world.pick(hearing)] : hearing;
    for (const to of receivers) this.send(to, () => to.handlers.onMessage(subject, value));
  }

  /** From a control plane, as its production code publishes: bytes on a subject. */
  publish(from: Client, subject: string, bytes: Uint8Array, isCompressed: boolean): void {
    if (!this.passes(from)) return;
    const value: unknown = JSON.parse(Buffer.from(isCompressed ? zstdDecompressSync(bytes) : bytes).toString());
    for (const to of this.clients) {
      if (to.clusterId !== null && subject.includes(to.clusterId))
        this.send(to, () => to.handlers.onMessage(subject, value));
    }
  }

  /** Rejects after 5 s, as a lost request does. */
  request(from: Client, subject: string, value: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.world.after(REQUEST_TIMEOUT_MS, from.process, () => reject(new Error('nobody answered in time')));
      if (!this.passes(from)) return;
      const hearing = [...this.clients].filter((client) => client.isControlPlane && client.isConnected);
      if (hearing.length === 0) return;
      const to = this.world.pick(hearing);
      const reply = (answer: unknown) => {
        if (this.passes(to)) this.send(from, () => resolve(structuredClone(answer)));
      };
      this.send(to, () => {
        to.handlers.onRequest?.(subject, value).then(reply, () => undefined);
      });
    });
  }

  /** Resolves when the server has all that was published before; rejects while it cannot be reached. */
  flush(client: Client): Promise<void> {
    return new Promise((resolve, reject) => {
      this.world.after(this.world.between(1, 20), client.process, () =>
        client.isConnected && this.passes(client) ? resolve() : reject(new Error('NATS is away')),
      );
    });
  }

  private passes(client: Client): boolean {
    return this.isUp && !client.isCut && !client.isRefused && client.process.state !== 'dead';
  }

  private send(to: Client, deliver: () => void): void {
    const { dropShare, repeatShare, delayMsMax } = this.faults;
    if (this.world.chance(dropShare)) return;
    const times = this.world.chance(repeatShare) ? 2 : 1;
    const { life } = to;
    for (let time = 0; time < times; time += 1) {
      // Each copy has a delay of its own: that reorders.
      this.world.after(this.world.between(1, delayMsMax), null, () => {
        if (!this.passes(to) || to.life !== life) return;
        this.world.after(0, to.process, deliver);
      });
    }
  }

  private drop(client: Client): void {
    if (!client.isConnected) return;
    client.isConnected = false;
    client.life += 1;
    this.world.after(0, client.process, () => client.handlers.onDisconnected());
    this.reconnect(client);
  }

  private reconnect(client: Client, delayMs = this.world.between(RECONNECT_MS.least, RECONNECT_MS.most)): void {
    this.world.after(delayMs, client.process, () => {
      if (client.isConnected || !this.clients.has(client)) return;
      if (!this.passes(client)) return;
      client.isConnected = true;
      client.life += 1;
      client.handlers.onConnected();
    });
  }
}
