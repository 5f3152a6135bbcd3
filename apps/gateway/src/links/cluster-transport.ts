/**
 * One HTTP/1.1 pool for each (cluster, path). Both paths end in a socket on which both sides proved their NATS identity:
 * on *direct* this gateway dials the advertised endpoint, on *dialled* the agent dialled us (GATEWAY.md).
 * A pool belongs to one cluster key and, when direct, one endpoint: when the routes name another, it is closed.
 */
import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import type { RouteCluster } from '#domain';
import { createUpstreamPool } from '#inference';
import { dialLink, type NatsIdentity } from '#messaging';
import type { Path } from '#routing';
import type { DialledLinks } from './dialled-links.ts';
import { LinkPool } from './link-pool.ts';

const DIAL_TIMEOUT_MS = 2_000;
/** A failed direct dial rules the path out for this long: two heartbeats, R8. */
const PATH_DOWN_MS = 2_000;
/** A link is dear (a handshake with four signatures on each side): it is kept longer than a plain connection. */
const KEEP_ALIVE_MS = 600_000;
const DIRECT_ONLY: readonly Path[] = ['direct'];
const DIALLED_ONLY: readonly Path[] = ['dialled'];
const BOTH: readonly Path[] = ['direct', 'dialled'];
const NONE: readonly Path[] = [];

export interface TransportIdentity {
  readonly identity: NatsIdentity;
  readonly trustedAccount: string;
}

interface DialledEntry {
  readonly pool: LinkPool;
  readonly publicKey: string;
}

interface DirectEntry {
  readonly pool: ReturnType<typeof createUpstreamPool>;
  readonly publicKey: string;
  readonly endpoint: string | null;
}

export class ClusterTransport {
  private readonly direct = new Map<string, DirectEntry>();
  private readonly dialled = new Map<string, DialledEntry>();
  private readonly directDownUntilMs = new Map<string, number>();
  private readonly stopping = new AbortController();

  constructor(
    private readonly links: DialledLinks,
    private readonly own: TransportIdentity,
    private readonly connectionsMax: number,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    links.onArrival((clusterId) => this.dialled.get(clusterId)?.pool.linkArrived());
  }

  /** Paths that can carry a request now, the preferred one first. */
  openPaths(cluster: RouteCluster): readonly Path[] {
    const isDirect =
      cluster.endpoint !== null && this.nowMs() >= (this.directDownUntilMs.get(cluster.id) ?? Number.NEGATIVE_INFINITY);
    const isDialled = this.links.idleCount(cluster.id) > 0 || (this.dialled.get(cluster.id)?.pool.open ?? 0) > 0;
    if (isDirect) return isDialled ? BOTH : DIRECT_ONLY;
    return isDialled ? DIALLED_ONLY : NONE;
  }

  pool(cluster: RouteCluster, path: Path): Pick<Dispatcher, 'dispatch'> {
    return path === 'dialled' ? this.dialledPool(cluster) : this.directPool(cluster);
  }

  /** A request on the direct path found no connection. */
  directFailed(clusterId: string): void {
    this.directDownUntilMs.set(clusterId, this.nowMs() + PATH_DOWN_MS);
  }

  /** Cuts what belongs to clusters that are no longer routed, or under another key; revoked means revoked at once. */
  retain(clusters: ReadonlyMap<string, RouteCluster>): void {
    const isAllowed = (clusterId: string, publicKey: string) => {
      const cluster = clusters.get(clusterId);
      return cluster !== undefined && cluster.phase !== 'Left' && cluster.publicKey === publicKey;
    };
    this.links.retain(isAllowed);
    for (const [clusterId, { pool, publicKey }] of this.dialled) {
      if (isAllowed(clusterId, publicKey)) continue;
      this.dialled.delete(clusterId);
      pool.destroy();
    }
    for (const [clusterId, entry] of this.direct) {
      const isMoved = clusters.get(clusterId)?.endpoint !== entry.endpoint;
      if (isAllowed(clusterId, entry.publicKey) && !isMoved) continue;
      this.direct.delete(clusterId);
      // A new address is no revocation: what runs on the old one may finish.
      const ending = isAllowed(clusterId, entry.publicKey) ? entry.pool.close() : entry.pool.destroy();
      ending.catch(() => undefined);
    }
    for (const clusterId of this.directDownUntilMs.keys()) {
      if (!clusters.has(clusterId)) this.directDownUntilMs.delete(clusterId);
    }
  }

  async close(): Promise<void> {
    this.stopping.abort();
    this.links.close();
    for (const { pool } of this.dialled.values()) pool.destroy();
    this.dialled.clear();
    await Promise.all([...this.direct.values()].map(({ pool }) => pool.destroy().catch(() => undefined)));
    this.direct.clear();
  }

  private dialledPool(cluster: RouteCluster): LinkPool {
    const known = this.dialled.get(cluster.id);
    if (known !== undefined) return known.pool;
    const pool = new LinkPool(`http://${cluster.id}`, this.connectionsMax, () => this.links.take(cluster.id));
    this.dialled.set(cluster.id, { pool, publicKey: cluster.publicKey });
    return pool;
  }

  private directPool(cluster: RouteCluster) {
    const known = this.direct.get(cluster.id);
    if (known !== undefined) return known.pool;
    const pool = createUpstreamPool(`http://${cluster.id}`, {
      connectionsMax: this.connectionsMax,
      keepAliveMs: KEEP_ALIVE_MS,
      connect: (_options, callback) => {
        this.dialDirect(cluster).then(
          // undici hangs when it is called back before its own call has returned.
          (socket) => setImmediate(() => callback(null, socket)),
          (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null),
        );
      },
    });
    this.direct.set(cluster.id, { pool, publicKey: cluster.publicKey, endpoint: cluster.endpoint });
    return pool;
  }

  private async dialDirect(cluster: RouteCluster): Promise<Socket> {
    const endpoint = cluster.endpoint ?? '';
    const colon = endpoint.lastIndexOf(':');
    const { socket } = await dialLink({
      host: endpoint.slice(0, colon).replace(/^\[|\]$/g, ''),
      port: Number(endpoint.slice(colon + 1)),
      ...this.own,
      allowedRoles: ['agent'],
      expectedClusterId: cluster.id,
      isRevoked: (peer) => peer.publicKey !== cluster.publicKey,
      timeoutMs: DIAL_TIMEOUT_MS,
      signal: this.stopping.signal,
    });
    socket.on('error', () => undefined); // until undici listens; 'close' follows
    return socket;
  }
}
