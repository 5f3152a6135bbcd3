/**
 * Takes in the sockets that agents dial: an HTTP upgrade on the gateway's own listener, both sides proven by their NATS
 * identity. Only clusters of the routes view are let in, and only under the key that the view names (S2).
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { acceptLink, LinkRefusedError } from '#messaging';
import type { Logger } from '#telemetry';
import type { RoutesFeed } from '../routes/routes-feed.ts';
import type { TransportIdentity } from './cluster-transport.ts';
import type { DialledLinks } from './dialled-links.ts';

/** Handshakes under way at once; beyond, the socket is closed and the agent dials again. */
const HANDSHAKES_MAX = 256;
const UNAVAILABLE = 'HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

export class LinkIntake {
  private handshakes = 0;
  private readonly stopping = new AbortController();

  constructor(
    private readonly links: DialledLinks,
    private readonly feed: Pick<RoutesFeed, 'table'>,
    private readonly own: TransportIdentity,
    private readonly logger: Logger,
    private readonly onRefused: (reason: string) => void,
  ) {}

  /** For an http.Server's `upgrade` event; the server passes on link requests only. */
  readonly onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (this.stopping.signal.aborted || this.handshakes >= HANDSHAKES_MAX) {
      socket.on('error', () => undefined);
      socket.end(UNAVAILABLE, () => socket.destroy());
      return;
    }
    this.handshakes += 1;
    this.accept(request, socket as Socket, head)
      .catch((error: unknown) => {
        const refusal = error instanceof LinkRefusedError ? error.refusal : 'closed';
        this.onRefused(refusal);
        this.logger.warn({ refusal }, 'link refused');
      })
      .finally(() => {
        this.handshakes -= 1;
      });
  };

  /** Lets nobody in any more, and ends the handshakes under way. */
  stop(): void {
    this.stopping.abort();
  }

  private async accept(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const peer = await acceptLink(request, socket, head, {
      ...this.own,
      allowedRoles: ['agent'],
      isRevoked: (claims) => {
        const cluster = this.feed.table.clusters.get(claims.clusterId ?? '');
        return cluster === undefined || cluster.phase === 'Left' || cluster.publicKey !== claims.publicKey;
      },
      signal: this.stopping.signal,
    });
    this.links.add(peer.clusterId!, peer.publicKey, socket);
  }
}
