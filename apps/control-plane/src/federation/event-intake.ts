/**
 * Events that must not be lost. Effect and inbox row are one transaction, and only then is the agent told that it may
 * forget the event; a repeated one has no second effect but is acknowledged again.
 */
import { Injectable, Logger } from '@nestjs/common';
import { type AgentEvent, eventSchema, SUBJECTS } from '#contracts';
import { type Cluster, isMember, type Rows, Store } from '#domain';
import { consumeEvents, type EventConsumption, publishJson, type ReceivedEvent } from '#messaging';
import { BlobStore } from '../blobs/blob-store.ts';
import { blobsOf, readManifest, readWholeManifest } from '../jobs/stored-manifests.ts';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';
import { type StoredCheckpoint, takeCheckpoint, takeTaskEnd } from './job-effects.ts';
import { FederationMetrics } from './metrics.ts';
import { takeUsage } from './usage-effects.ts';

@Injectable()
export class EventIntake {
  private readonly logger = new Logger('events');
  private consumption: EventConsumption | null = null;
  private lastWarning = '';

  constructor(
    private readonly store: Store,
    private readonly nats: ControlPlaneNats,
    private readonly metrics: FederationMetrics,
    private readonly blobs: BlobStore,
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
    const stored = await this.readStored(event);
    const outcome = await this.store.transaction((rows) => writeEvent(rows, clusterId, event, stored));
    if (outcome === 'not-a-member') return this.metrics.dropped('event', outcome);
    if (outcome === 'taken') this.metrics.taken('event');
    if (outcome === 'refused') this.metrics.dropped('event', outcome);
    this.lastWarning = '';
    publishJson(this.nats.connection, SUBJECTS.acked(clusterId), { ids: [event.id] });
  }

  /** What a checkpoint's manifest lists, and what the job could resume from until now. */
  private async readStored(event: AgentEvent): Promise<StoredCheckpoint> {
    if (event.kind === 'task-ended') {
      const { outputDigest } = event.task;
      const files = outputDigest === undefined ? null : await readWholeManifest(this.blobs, outputDigest);
      return { files, before: null };
    }
    if (event.kind !== 'checkpoint-saved') return { files: null, before: null };
    const files = await readWholeManifest(this.blobs, event.checkpoint.manifestDigest);
    const before = (await this.store.read.jobs.find({ id: event.jobId }))?.checkpoint ?? null;
    if (before === null) return { files, before };
    const { manifestDigest } = before;
    const kept = (await readManifest(this.blobs, manifestDigest)) ?? [];
    return { files, before: { manifestDigest, blobs: blobsOf(manifestDigest, kept) } };
  }
}

/** As the audit log names them. */
const ACTIONS = {
  'replica-failed': 'replicas.failed',
  'version-verified': 'versions.verified',
  'version-drifted': 'versions.drifted',
  'device-lost': 'devices.lost',
} as const;

type Outcome = 'taken' | 'repeated' | 'refused' | 'not-a-member';

async function writeEvent(
  rows: Rows,
  clusterId: string,
  event: AgentEvent,
  stored: StoredCheckpoint,
): Promise<Outcome> {
  const cluster = await rows.clusters.find({ id: clusterId });
  if (cluster === null || !isMember(cluster.phase)) return 'not-a-member';
  if (!(await rows.inbox.accept(event.id, clusterId))) return 'repeated';
  switch (event.kind) {
    case 'checkpoint-saved':
      return auditRefusal(rows, cluster, event.jobId, event, await takeCheckpoint(rows, cluster, event, stored));
    case 'task-ended':
      return auditRefusal(
        rows,
        cluster,
        event.task.jobId,
        event,
        await takeTaskEnd(rows, cluster, event, stored.files),
      );
    case 'usage-recorded':
      return takeUsage(rows, { ...cluster, holder: { kind: 'cluster', id: cluster.id } }, event);
    default:
      await auditEvent(rows, cluster, event);
      return 'taken';
  }
}

type ServingEvent = Extract<AgentEvent, { kind: keyof typeof ACTIONS }>;

async function auditEvent(rows: Rows, cluster: Cluster, event: ServingEvent): Promise<void> {
  const { id: _id, kind, ...detail } = event;
  await rows.audit.add({
    tenantId: cluster.tenantId,
    actor: `cluster:${cluster.id}`,
    action: ACTIONS[kind],
    ...targetOf(event),
    detail: { cluster: cluster.name, ...detail },
  });
}

function targetOf(event: ServingEvent): { targetKind: string; targetId: string } {
  if (event.kind === 'device-lost') return { targetKind: 'device', targetId: `${event.node}/${event.deviceId}` };
  if (event.kind === 'replica-failed') return { targetKind: 'replica', targetId: event.replicaId };
  return { targetKind: 'version', targetId: event.versionDigest };
}

/** What was taken, the job's own events tell. */
async function auditRefusal(
  rows: Rows,
  cluster: Cluster,
  jobId: string,
  { id: _id, ...detail }: AgentEvent,
  refused: string | null,
): Promise<Outcome> {
  if (refused === null) return 'taken';
  await rows.audit.add({
    tenantId: cluster.tenantId,
    actor: `cluster:${cluster.id}`,
    action: 'jobs.refused',
    targetKind: 'job',
    targetId: jobId,
    detail: { cluster: cluster.name, refused, ...detail },
  });
  return 'refused';
}
