/**
 * Requests over sockets that we cannot open ourselves: those that one cluster's agent dialled. Each socket carries one
 * request at a time. A request takes a connected free socket, else an idle one, else waits in line for whichever comes
 * first, a socket that becomes free or one that the agent dials. (undici's own Pool binds a waiting request to one
 * connection that is being made, and would not give it a socket that became free meanwhile.)
 *
 * Bounds: `WAITING_MAX` in line, refused beyond; while no socket is open at all a request waits at most
 * `LINK_WAIT_MS`, else as long as its own time to the first byte.
 */
import type { Socket } from 'node:net';
import { Client, type Dispatcher } from 'undici';

/** Long enough for an agent that is there to dial, short enough to try another cluster. */
const LINK_WAIT_MS = 1_000;
const WAITING_MAX = 1_024;
/** A link is dear (a handshake with four signatures on each side), and its idle peer is watched: it is kept. */
const KEEP_ALIVE_MS = 600_000;

interface Waiting {
  readonly options: Dispatcher.DispatchOptions;
  readonly handler: Dispatcher.DispatchHandler;
}

export class LinkPool {
  private readonly clients = new Set<Client>();
  private readonly free: Client[] = [];
  private readonly waiting: Waiting[] = [];
  private noLinkTimer: NodeJS.Timeout | undefined;
  private closed = false;

  /** `takeIdle` hands out a live idle socket of the cluster, or null. `origin` only names the host in requests. */
  constructor(
    private readonly origin: string,
    private readonly connectionsMax: number,
    private readonly takeIdle: () => Socket | null,
  ) {}

  /** Sockets that are connected, busy or free. */
  get open(): number {
    return this.clients.size;
  }

  readonly dispatch = (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean => {
    const client = this.closed ? undefined : (this.free.pop() ?? this.connect());
    if (client !== undefined) return client.dispatch(options, handler);
    if (this.closed || this.waiting.length >= WAITING_MAX) fail(handler, 'too many requests wait for a link');
    else {
      this.waiting.push({ options, handler });
      this.boundWait();
    }
    return false;
  };

  /** A socket came: whoever waits longest gets it. */
  linkArrived(): void {
    while (this.waiting.length > 0) {
      const client = this.connect();
      if (client === undefined) return;
      this.serveNext(client);
    }
  }

  /** Cuts every socket; requests on them fail. */
  destroy(): void {
    this.closed = true;
    clearTimeout(this.noLinkTimer);
    for (const { handler } of this.waiting.splice(0)) fail(handler, 'the cluster is no longer routed');
    for (const client of this.clients) client.destroy().catch(() => undefined);
    this.clients.clear();
    this.free.length = 0;
  }

  private connect(): Client | undefined {
    if (this.clients.size >= this.connectionsMax) return undefined;
    let socket = this.takeIdle();
    if (socket === null) return undefined;
    const client = new Client(this.origin, {
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect: (_options, callback) => {
        const taken = socket;
        socket = null;
        // undici hangs when it is called back before its own call has returned.
        setImmediate(() => {
          if (taken === null || taken.destroyed) callback(new Error('the link is closed'), null);
          else callback(null, taken);
        });
      },
    });
    this.clients.add(client);
    client.on('drain', () => this.freed(client));
    client.on('disconnect', () => this.gone(client));
    client.on('connectionError', () => this.gone(client));
    return client;
  }

  private freed(client: Client): void {
    if (!this.clients.has(client) || this.free.includes(client)) return;
    if (this.waiting.length > 0) this.serveNext(client);
    else this.free.push(client);
  }

  private serveNext(client: Client): void {
    const next = this.waiting.shift()!;
    client.dispatch(next.options, next.handler);
  }

  /** One socket, one client: a lost socket is not dialled again from here. */
  private gone(client: Client): void {
    if (!this.clients.delete(client)) return;
    const index = this.free.indexOf(client);
    if (index !== -1) this.free.splice(index, 1);
    // Its last request was told by undici first; destroying inside the event would cut that short.
    setImmediate(() => client.destroy().catch(() => undefined));
    this.linkArrived();
    this.boundWait();
  }

  private boundWait(): void {
    if (this.clients.size > 0 || this.waiting.length === 0 || this.noLinkTimer !== undefined) return;
    this.noLinkTimer = setTimeout(() => {
      this.noLinkTimer = undefined;
      if (this.clients.size > 0) return;
      for (const { handler } of this.waiting.splice(0)) fail(handler, 'the cluster has no idle link to this gateway');
    }, LINK_WAIT_MS);
  }
}

function fail(handler: Dispatcher.DispatchHandler, reason: string): void {
  // Not from within `dispatch`: no dispatcher answers before it returned. There is no controller before a connection.
  setImmediate(() => handler.onResponseError?.(null as unknown as Dispatcher.DispatchController, new Error(reason)));
}
