// The direct path: a port where gateways connect and prove themselves (`acceptLink`). Whoever does anything else gets 401,
// whatever it asks for, and node:http's own bounds on slow strangers.
//
// Bounds: so many who have not proven themselves, and so many in all; beyond, a connection is closed at once. Strangers
// take nothing from gateways, each of whose requests has a socket of its own.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { openAiError, writeOpenAiError } from '#inference';
import { acceptLink, isLinkRequest, type LinkTrust } from '#messaging';
import { messageOf } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';

const STRANGERS_MAX = 1_024;
const CONNECTIONS_MAX = 16_384;
/** How often slow strangers are looked for. */
const SLOW_LOOK_MS = 5_000;
const UNAUTHENTICATED =
  'HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n';

export interface DirectListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly trust: () => Pick<LinkTrust, 'identity' | 'trustedAccount'>;
  readonly take: (socket: Socket) => void;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
  /** Who have not proven themselves, at a time. Default 1,024. */
  readonly strangersMax?: number;
}

export class DirectListener {
  readonly #options: DirectListenerOptions;
  readonly #server: Server;
  readonly #strangers = new Set<Duplex>();

  constructor(options: DirectListenerOptions) {
    this.#options = options;
    const bounds = { headersTimeout: 10_000, requestTimeout: 10_000, connectionsCheckingInterval: SLOW_LOOK_MS };
    this.#server = createServer(bounds, (request, response) => {
      request.resume();
      response.setHeader('connection', 'close');
      writeOpenAiError(response, openAiError('invalid_api_key'));
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.prependListener('connection', (socket) => this.#meet(socket));
    this.#server.on('clientError', (_cause, socket) => socket.destroy());
    this.#server.on('upgrade', (request, socket, head) => {
      if (!isLinkRequest(request)) return sendAway(socket as Socket);
      acceptLink(request, socket, head, { ...options.trust(), allowedRoles: ['gateway'] }).then(
        () => {
          this.#strangers.delete(socket);
          options.take(socket as Socket);
        },
        (cause: unknown) => {
          options.metrics.linkRefused();
          options.log.warn({ reason: messageOf(cause) }, 'a link was refused');
        },
      );
    });
  }

  /** Resolves with the port once it listens. */
  async start(): Promise<number> {
    this.#server.listen(this.#options.port, this.#options.host);
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes no new connections; sockets that were handed on live on. */
  stop(): void {
    this.#server.close();
  }

  #meet(socket: Socket): void {
    if (this.#strangers.size >= (this.#options.strangersMax ?? STRANGERS_MAX)) return void socket.destroy();
    this.#strangers.add(socket);
    socket.once('close', () => this.#strangers.delete(socket));
  }
}

/** Whatever the other end does: one that is only ended stays open for as long as the stranger likes. */
function sendAway(socket: Socket): void {
  socket.on('error', () => undefined).write(UNAUTHENTICATED);
  socket.destroySoon();
}
