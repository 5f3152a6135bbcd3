// The direct path: a port where gateways connect and prove themselves (`acceptLink`). Whoever does anything else gets 401,
// whatever it asks for, and node:http's own bounds on slow strangers.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Logger } from 'pino';
import { openAiError, writeOpenAiError } from '#inference';
import { acceptLink, isLinkRequest, type LinkTrust } from '#messaging';
import { messageOf } from '../errors.ts';
import type { AgentMetrics } from '../metrics.ts';

const STRANGERS_MAX = 1_024;
const UNAUTHENTICATED =
  'HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n';

export interface DirectListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly trust: () => Pick<LinkTrust, 'identity' | 'trustedAccount'>;
  readonly take: (socket: Socket) => void;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export class DirectListener {
  readonly #options: DirectListenerOptions;
  readonly #server: Server;

  constructor(options: DirectListenerOptions) {
    this.#options = options;
    this.#server = createServer({ headersTimeout: 10_000, requestTimeout: 10_000 }, (request, response) => {
      request.resume();
      response.setHeader('connection', 'close');
      writeOpenAiError(response, openAiError('invalid_api_key'));
    });
    this.#server.maxConnections = STRANGERS_MAX;
    this.#server.on('clientError', (_cause, socket) => socket.destroy());
    this.#server.on('upgrade', (request, socket, head) => {
      if (!isLinkRequest(request)) return void socket.on('error', () => undefined).end(UNAUTHENTICATED);
      acceptLink(request, socket, head, { ...options.trust(), allowedRoles: ['gateway'] }).then(
        () => options.take(socket as Socket),
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
}
