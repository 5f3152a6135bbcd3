// One NATS connection that never gives up: jittered reconnect, credentials re-read at every attempt, typed status,
// bounded close. It decides nothing about what travels over it.

import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type JwtAuth, type NatsConnection, type Status } from '@nats-io/transport-node';
import { MessagingError, type MessagingFailure, translateNatsError } from './errors.ts';
import type { NatsIdentity } from './identity.ts';
import { keyFromSeed, signText } from './nats-jwt.ts';

/** `disconnected` carries the cause when one is known; the connection keeps trying until it is closed. */
export type ConnectionStatus =
  | { readonly state: 'connected'; readonly server: string }
  | { readonly state: 'disconnected'; readonly failure: MessagingFailure; readonly cause: MessagingError | undefined }
  | { readonly state: 'closed'; readonly cause: MessagingError | undefined };

export interface ConnectNatsOptions {
  /** `host:port` or `nats://host:port`. */
  servers: string | readonly string[];
  /** Called at every (re)connect, so that a renewed JWT is used. When it throws, the last good answer is used. */
  credentials: () => NatsIdentity;
  /** Shown by the server. */
  name: string;
  /** From `inboxPrefixOf`; must fit the permissions of the credentials. */
  inboxPrefix: string;
  /** Called on each change of state; must not throw. */
  onStatus?: (status: ConnectionStatus) => void;
  /** Subject violations and other errors that do not cut the connection. */
  onError?: (error: MessagingError) => void;
  /** Ends the wait for the first connection. */
  signal?: AbortSignal;
  /** Default: retry for ever. False: throw when no server takes the first attempt. */
  isFirstConnectionAwaited?: boolean;
  /** Longest random wait before the first retry, ms. Default 1000: spreads a fleet that lost its server at once. */
  reconnectJitterMs?: number;
  /** Shortest wait between two retries, ms, to which the jitter is added. Default 1000. */
  reconnectWaitMs?: number;
  /** One attempt's time, ms. Default 5000. */
  connectTimeoutMs?: number;
  /** Ping interval, ms; two lost pings are a lost connection. Default 10 000. */
  pingIntervalMs?: number;
}

/** A connection with its life cycle. `connection` is what the other functions of this library take. */
export interface NatsSession {
  readonly connection: NatsConnection;
  status(): ConnectionStatus;
  /** Drains at most `drainTimeoutMs` (default 5000), then closes in any case. Idempotent. */
  close(drainTimeoutMs?: number): Promise<void>;
}

/** Keeps the last good credentials: an authenticator that throws would close the connection for good. */
function rememberCredentials(read: () => NatsIdentity): () => NatsIdentity {
  let last: NatsIdentity | undefined;
  return () => {
    try {
      last = read();
    } catch (cause) {
      if (!last) throw cause;
    }
    return last;
  };
}

/** What the client's own authenticator answers, without the tens of milliseconds that its signature takes. */
function authenticate({ jwt, seed }: NatsIdentity, nonce: string | undefined): JwtAuth {
  return { jwt, nkey: keyFromSeed(seed).publicKey, sig: nonce ? signText(seed, nonce) : '' };
}

async function connectOnce(options: ConnectNatsOptions, credentials: () => NatsIdentity): Promise<NatsConnection> {
  const jitterMs = options.reconnectJitterMs ?? 1000;
  const waitMs = options.reconnectWaitMs ?? 1000;
  credentials(); // throws here, plainly, rather than inside the client's parser
  let isConnected = false;
  let lastJitterAt = 0;
  const connection = await connect({
    servers: typeof options.servers === 'string' ? options.servers : [...options.servers],
    name: options.name,
    inboxPrefix: options.inboxPrefix,
    authenticator: (nonce) => authenticate(credentials(), nonce),
    timeout: options.connectTimeoutMs ?? 5000,
    pingInterval: options.pingIntervalMs ?? 10_000,
    maxPingOut: 2,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true, // a renewed JWT may make the next attempt good
    noAsyncTraces: true,
    reconnectDelayHandler: () => waitMs + randomInt(jitterMs + 1),
    // The client retries at once after a loss; a whole fleet must not. Later retries have the delay above.
    reconnectToServer: (pool) => {
      const now = performance.now();
      const isFirstRetry = isConnected && now - lastJitterAt > waitMs + jitterMs * 2;
      lastJitterAt = now;
      const server = pool[0];
      return isFirstRetry && server ? { server, delay: randomInt(jitterMs + 1) } : null;
    },
  });
  isConnected = true;
  return connection;
}

async function connectUntilAborted(options: ConnectNatsOptions, credentials: () => NatsIdentity) {
  let lastFailure: MessagingFailure | undefined;
  for (;;) {
    try {
      options.signal?.throwIfAborted();
      return await connectOnce(options, credentials);
    } catch (cause) {
      if (options.signal?.aborted) throw new MessagingError('closed', 'Connecting to NATS was aborted.', { cause });
      const error = translateNatsError(cause);
      if (options.isFirstConnectionAwaited === false) throw error;
      if (error.failure !== lastFailure) {
        options.onStatus?.({ state: 'disconnected', failure: error.failure, cause: error });
      }
      lastFailure = error.failure;
      const waitMs = (options.reconnectWaitMs ?? 1000) + randomInt((options.reconnectJitterMs ?? 1000) + 1);
      await delay(waitMs, undefined, options.signal ? { signal: options.signal } : {}).catch(() => undefined);
    }
  }
}

/** Turns the client's stream of events into states; remembers the last error as the cause of the next disconnect. */
class StatusTracker {
  current: ConnectionStatus;
  #lastError: MessagingError | undefined;
  readonly #options: ConnectNatsOptions;

  constructor(options: ConnectNatsOptions, server: string) {
    this.#options = options;
    this.current = { state: 'connected', server };
  }

  take(event: Status): void {
    switch (event.type) {
      case 'error':
        this.#takeError(translateNatsError(event.error));
        break;
      case 'disconnect':
        this.set({ state: 'disconnected', failure: this.#lastError?.failure ?? 'unreachable', cause: this.#lastError });
        break;
      case 'reconnect':
        this.#lastError = undefined;
        this.set({ state: 'connected', server: event.server });
        break;
      default:
        break;
    }
  }

  set(status: ConnectionStatus): void {
    if (this.current.state === 'closed') return;
    const isSame =
      this.current.state === 'disconnected' &&
      status.state === 'disconnected' &&
      this.current.failure === status.failure;
    this.current = status;
    if (!isSame) this.#options.onStatus?.(status);
  }

  #takeError(error: MessagingError): void {
    if (error.failure === 'forbidden') {
      this.#options.onError?.(error);
      return;
    }
    this.#lastError = error;
    if (this.current.state === 'disconnected') {
      this.set({ state: 'disconnected', failure: error.failure, cause: error });
    } else {
      this.#options.onError?.(error);
    }
  }
}

async function followStatus(connection: NatsConnection, tracker: StatusTracker): Promise<void> {
  for await (const event of connection.status()) tracker.take(event);
}

async function closeBounded(connection: NatsConnection, isConnected: boolean, drainTimeoutMs: number): Promise<void> {
  if (connection.isClosed()) return;
  if (isConnected) {
    const stop = new AbortController();
    const bound = delay(drainTimeoutMs, undefined, { signal: stop.signal }).catch(() => undefined);
    await Promise.race([connection.drain().catch(() => undefined), bound]);
    stop.abort();
  }
  if (!connection.isClosed()) await connection.close();
}

/**
 * Connects with an identity and stays connected until closed.
 *
 * @throws MessagingError `closed` when `signal` aborts the first wait; the first failure when it is not awaited;
 *   whatever `credentials` throws before it ever gave an identity, as `unknown` when not awaited
 */
export async function connectNats(options: ConnectNatsOptions): Promise<NatsSession> {
  const credentials = rememberCredentials(options.credentials);
  const connection = await connectUntilAborted(options, credentials);
  const tracker = new StatusTracker(options, connection.getServer());
  options.onStatus?.(tracker.current);
  followStatus(connection, tracker).catch((cause: unknown) => options.onError?.(translateNatsError(cause)));
  const ended = connection.closed().then((cause) => {
    tracker.set({ state: 'closed', cause: cause ? translateNatsError(cause) : undefined });
  });
  let closing: Promise<void> | undefined;
  return {
    connection,
    status: () => tracker.current,
    close: (drainTimeoutMs = 5000) => {
      closing ??= closeBounded(connection, tracker.current.state === 'connected', drainTimeoutMs).then(() => ended);
      return closing;
    },
  };
}
