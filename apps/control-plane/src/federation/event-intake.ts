/**
 * Events that must not be lost. Effect and inbox row are one transaction, and only then is the agent told that it may
 * forget the event; a repeated one has no second effect but is acknowledged again.
 */
import { Injectable, Logger } from '@nestjs/common';
import { type AgentEvent, eventSchema, SUBJECTS } from '#contracts';
import { isMember, type Rows, Store } from '#domain';
import { consumeEvents, type EventConsumption, publishJson, type ReceivedEvent } from '#messaging';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';
import { FederationMetrics } from './metrics.ts';

@Injectable()
export class EventIntake {
  private readonly logger = new Logger('events');
  private consumption: EventConsumption | null = null;
  private lastWarning = '';

  constructor(
    private readonly store: Store,
    private readonly nats: ControlPlaneNats,
    private readonly metrics: FederationMetrics,
  ) {}

  onApplicationBootstrap(): void {
    this.consumption = consumeEvents(this.nats.connection, (event) => this.take(event), {
      onError: (error) => this.warn(error instanceof Error ? error.message : String(error)),
    });
  }

  async onModuleDestroy(): Promise<void> {
    await this.consumption?.stop();
    this.consumption = null;
  }

  /** The stream is tried again twice a second while it is away; one line says so. */
  private warn(message: string): void {
    if (message !== this.lastWarning) this.logger.warn(message);
    this.lastWarning = message;
  }

  /** Rejects when Postgres could not take it: it comes again. */
  async take({ clusterId, body }: ReceivedEvent): Promise<void> {
    const parsed = eventSchema.safeParse(body);
    if (!parsed.success) return this.metrics.dropped('event', 'malformed');
    const event = parsed.data;
    const outcome = await this.store.transaction((rows) => writeEvent(rows, clusterId, event));
    if (outcome === 'not-a-member') return this.metrics.dropped('event', outcome);
    if (outcome === 'taken') this.metrics.taken('event');
    this.lastWarning = '';
    publishJson(this.nats.connection, SUBJECTS.acked(clusterId), { ids: [event.id] });
  }
}

/** As the audit log names them. */
const ACTIONS: Readonly<Record<AgentEvent['kind'], string>> = {
  'replica-failed': 'replicas.failed',
  'version-verified': 'versions.verified',
  'version-drifted': 'versions.drifted',
};

async function writeEvent(
  rows: Rows,
  clusterId: string,
  event: AgentEvent,
): Promise<'taken' | 'repeated' | 'not-a-member'> {
  const cluster = await rows.clusters.find({ id: clusterId });
  if (cluster === null || !isMember(cluster.phase)) return 'not-a-member';
  if (!(await rows.inbox.accept(event.id, clusterId))) return 'repeated';
  const { id: _id, kind, ...detail } = event;
  await rows.audit.add({
    tenantId: cluster.tenantId,
    actor: `cluster:${clusterId}`,
    action: ACTIONS[kind],
    targetKind: kind === 'replica-failed' ? 'replica' : 'version',
    targetId: kind === 'replica-failed' ? event.replicaId : event.versionDigest,
    detail: { cluster: cluster.name, ...detail },
  });
  return 'taken';
}
