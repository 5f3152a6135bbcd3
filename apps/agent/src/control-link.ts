// The agent's working connection to NATS: what it hears and says there. (Heartbeats have a connection of their own.)
// It is opened in the background and never given up; nothing that serves waits for it (R4).
import type { Logger } from 'pino';
import type { z } from 'zod';
import {
  type AgentEvent,
  ackedSchema,
  DESIRED_BYTES_MAX,
  type DesiredFetch,
  type DesiredHint,
  desiredHintSchema,
  type GatewayAnnouncement,
  gatewaySchema,
  gatewaysFetchReplySchema,
  type LeaseRequest,
  type ReplicaLogsRequest,
  type ReportMessage,
  replicaLogsRequestSchema,
  SUBJECTS,
  type SyncPlanRequest,
  type TaskLogsReply,
  type TaskLogsRequest,
  taskLogsRequestSchema,
} from '#contracts';
import {
  type ConnectionStatus,
  connectNats,
  inboxPrefixOf,
  MessagingError,
  type NatsSession,
  publishEvent,
  publishJson,
  RequestRefusedError,
  requestJson,
  subscribeJson,
} from '#messaging';
import { messageOf } from './errors.ts';
import type { Membership } from './joining/credentials.ts';

const REQUEST_TIMEOUT_MS = 5_000;

export interface ControlLinkOptions {
  readonly membership: () => Membership;
  readonly seed: string;
  readonly log: Logger;
  /** The connection is there (again): whatever was missed can be asked for. */
  readonly onConnected: () => void;
  readonly onDisconnected: () => void;
  /** The centre or NATS doubts the credentials. */
  readonly onUnauthorized: () => void;
  readonly onHint: (hint: DesiredHint) => void;
  readonly onAcked: (ids: readonly string[]) => void;
  readonly onGateway: (gateway: GatewayAnnouncement) => void;
  readonly onTaskLogs: (request: TaskLogsRequest) => Promise<TaskLogsReply>;
  readonly onReplicaLogs: (request: ReplicaLogsRequest) => Promise<TaskLogsReply>;
}

export class ControlLink {
  readonly #options: ControlLinkOptions;
  readonly #opening = new AbortController();
  #session: NatsSession | undefined;
  #opened: Promise<void> = Promise.resolve();

  constructor(options: ControlLinkOptions) {
    this.#options = options;
  }

  get isConnected(): boolean {
    return this.#session?.status().state === 'connected';
  }

  /** Returns at once. */
  open(): void {
    this.#opened = this.#connect().catch((cause: unknown) => {
      if (!this.#opening.signal.aborted)
        this.#options.log.error({ reason: messageOf(cause) }, 'NATS connection failed');
    });
  }

  async fetchDesired(have: DesiredFetch): Promise<unknown> {
    return this.#request(SUBJECTS.desiredFetch(this.#clusterId), have);
  }

  /** How to get a version; the answer is for the caller to check. Rejects with a MessagingError when nobody answers. */
  async askSyncPlan(request: SyncPlanRequest): Promise<unknown> {
    return this.#request(SUBJECTS.syncPlan(this.#clusterId), request);
  }

  /** What is needed to serve without the centre; the answer is for the caller to check. */
  async fetchBundle(have: string | null): Promise<unknown> {
    return this.#request(SUBJECTS.bundle(this.#clusterId), { have });
  }

  /** Leases on budgets; the answer is for the caller to check. */
  async askLeases(request: LeaseRequest): Promise<unknown> {
    return this.#request(SUBJECTS.lease(this.#clusterId), request);
  }

  /** Gateways that the centre has heard lately; [] when it does not answer. */
  async fetchGateways(): Promise<readonly GatewayAnnouncement[]> {
    try {
      return gatewaysFetchReplySchema.parse(await this.#request(SUBJECTS.gatewaysFetch, {})).gateways;
    } catch {
      return [];
    }
  }

  async publishEvent(event: AgentEvent): Promise<void> {
    await publishEvent(this.#connection, this.#clusterId, event.id, event);
  }

  /** False when there is no connection: an old report in a buffer would be worth nothing. */
  publishReport(report: ReportMessage): boolean {
    if (!this.isConnected) return false;
    publishJson(this.#connection, SUBJECTS.report(this.#clusterId), report);
    return true;
  }

  async close(): Promise<void> {
    this.#opening.abort();
    await this.#session?.close(2_000);
    await this.#opened;
  }

  get #clusterId(): string {
    return this.#options.membership().clusterId;
  }

  get #connection() {
    if (this.#session === undefined || !this.isConnected) {
      throw new MessagingError('unreachable', 'There is no NATS connection now.');
    }
    return this.#session.connection;
  }

  async #request(subject: string, value: unknown): Promise<unknown> {
    try {
      return await requestJson(this.#connection, subject, value, { timeoutMs: REQUEST_TIMEOUT_MS });
    } catch (cause) {
      if (cause instanceof RequestRefusedError && cause.code === 'not-a-member') this.#options.onUnauthorized();
      throw cause;
    }
  }

  async #connect(): Promise<void> {
    const { membership, seed, log } = this.#options;
    const session = await connectNats({
      servers: membership().natsServers,
      credentials: () => ({ jwt: membership().jwt, seed }),
      name: `agent ${membership().clusterName}`,
      inboxPrefix: inboxPrefixOf(this.#clusterId),
      signal: this.#opening.signal,
      onStatus: (status) => this.#take(status),
      onError: (error) => log.warn({ failure: error.failure, reason: error.message }, 'NATS said no'),
    });
    this.#session = session;
    if (this.#opening.signal.aborted) return session.close(0);
    this.#listen(SUBJECTS.desiredHint(this.#clusterId), desiredHintSchema, this.#options.onHint);
    this.#listen(SUBJECTS.acked(this.#clusterId), ackedSchema, ({ ids }) => this.#options.onAcked(ids));
    this.#listen(SUBJECTS.gateways, gatewaySchema, this.#options.onGateway);
    this.#answer(SUBJECTS.rpc(this.#clusterId, 'task-logs'), taskLogsRequestSchema, this.#options.onTaskLogs);
    this.#answer(SUBJECTS.rpc(this.#clusterId, 'replica-logs'), replicaLogsRequestSchema, this.#options.onReplicaLogs);
    this.#options.onConnected();
  }

  /** A request that is not of the contract gets no answer: who asks it speaks another version. */
  #answer<Schema extends z.ZodType>(
    subject: string,
    schema: Schema,
    handle: (request: z.output<Schema>) => Promise<unknown>,
  ): void {
    const { log } = this.#options;
    const onError = (error: Error) => log.warn({ subject, reason: error.message }, 'request not answered');
    subscribeJson(
      this.#session!.connection,
      subject,
      async ({ value, respond }) => respond(await handle(schema.parse(value))),
      { onError },
    );
  }

  #listen<Schema extends z.ZodType>(subject: string, schema: Schema, handle: (value: z.output<Schema>) => void): void {
    const { log } = this.#options;
    const onError = (error: Error) => log.warn({ subject, reason: error.message }, 'message dropped');
    subscribeJson(
      this.#session!.connection,
      subject,
      ({ value }) => {
        const parsed = schema.safeParse(value);
        if (parsed.success) handle(parsed.data);
        else onError(new Error(`not of the contract: ${parsed.error.issues[0]?.path.join('.')}`));
      },
      { onError, bytesMaxDecoded: DESIRED_BYTES_MAX },
    );
  }

  #take(status: ConnectionStatus): void {
    const { log, onConnected, onDisconnected, onUnauthorized } = this.#options;
    if (status.state === 'connected') {
      log.info({ server: status.server }, 'NATS connected');
      // At the first connection the subscriptions come first; see #connect.
      if (this.#session !== undefined) onConnected();
      return;
    }
    if (status.state === 'disconnected') {
      log.warn({ failure: status.failure, reason: status.cause?.message }, 'NATS away; serving goes on');
      if (status.failure === 'unauthorized') onUnauthorized();
    }
    onDisconnected();
  }
}
