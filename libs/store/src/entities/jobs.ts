import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, PrimaryGeneratedColumn, Unique } from 'typeorm';
import type {
  Attempt,
  AttemptOutcome,
  AttemptPhase,
  Checkpoint,
  Job,
  JobDependency,
  JobEvent,
  JobKind,
  JobPhase,
  JobSpec,
  Nomination,
  PreemptionPolicy,
  ResourceClaim,
  StopRequest,
  TaskBinding,
} from '#domain';
import { ModelVersionRow } from './models.ts';
import { SAFE_INTEGER } from './naming.ts';
import { QueueRow } from './queues.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'jobs' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'jobs_tenant_fk' })
@ForeignKey(() => QueueRow, ['queueId'], ['id'], { name: 'jobs_queue_fk' })
@ForeignKey(() => ModelVersionRow, ['publishedVersionId'], ['id'], {
  name: 'jobs_published_version_fk',
  onDelete: 'SET NULL',
})
@Check('jobs_kind_check', "kind IN ('fine-tune', 'batch-inference', 'evaluation', 'command')")
@Check('jobs_preemption_check', "preemption IN ('lower-priority', 'never')")
@Check(
  'jobs_phase_check',
  "phase IN ('Waiting', 'Queued', 'Starting', 'Running', 'Stopping', 'Suspended', 'Succeeded', 'Failed', 'Cancelled')",
)
@Unique('jobs_name_unique', ['tenantId', 'name'])
@Index('jobs_tenant_index', ['tenantId', 'id'])
@Index('jobs_queue_index', ['queueId', 'id'])
@Check('jobs_expiry_check', "(phase IN ('Succeeded', 'Failed', 'Cancelled')) = (expires_at IS NOT NULL)")
@Index('jobs_active_index', ['queueId', 'id'], { where: '(expires_at IS NULL)' })
@Index('jobs_nominated_index', ['id'], { where: '(nomination IS NOT NULL)' })
@Index('jobs_expiry_index', ['expiresAt'], { where: '(expires_at IS NOT NULL)' })
@Index('jobs_published_version_index', ['publishedVersionId'], { where: '(published_version_id IS NOT NULL)' })
export class JobRow implements Job {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') name!: string;
  @Column('text') kind!: JobKind;
  @Column('uuid') queueId!: string;
  @Column('text') priorityClass!: string;
  @Column('integer') priority!: number;
  @Column('text') preemption!: PreemptionPolicy;
  @Column('boolean') preemptible!: boolean;
  @Column('jsonb') dependsOn!: JobDependency[];
  @Column('jsonb') spec!: JobSpec;
  @Column('text') phase!: JobPhase;
  @Column('text') reason!: string;
  @Column('timestamptz') phaseSince!: Date;
  @Column('boolean') suspended!: boolean;
  @Column('timestamptz', { nullable: true }) cancelRequestedAt!: Date | null;
  @Column('integer') attempts!: number;
  @Column('integer') failures!: number;
  @Column('integer') preemptions!: number;
  @Column('integer', { default: 0 }) losses!: number;
  @Column('timestamptz', { nullable: true }) retryAt!: Date | null;
  @Column('timestamptz', { nullable: true }) queuedAt!: Date | null;
  @Column('timestamptz', { nullable: true }) startedAt!: Date | null;
  @Column('timestamptz', { nullable: true }) endedAt!: Date | null;
  /** The end and the spec's time to live; null while it is not in a final phase. */
  @Column('timestamptz', { nullable: true }) expiresAt!: Date | null;
  @Column('double precision') ranSeconds!: number;
  @Column('double precision') usedDeviceSeconds!: number;
  @Column('double precision') lostDeviceSeconds!: number;
  @Column('jsonb', { nullable: true }) checkpoint!: Checkpoint | null;
  @Column('jsonb', { nullable: true }) nomination!: Nomination | null;
  @Column('text', { nullable: true }) outputDigest!: string | null;
  @Column('uuid', { nullable: true }) publishedVersionId!: string | null;
  @Column('timestamptz') createdAt!: Date;
  @Column('integer') revision!: number;
}

@Entity({ name: 'job_mounts' })
@ForeignKey(() => JobRow, ['jobId'], ['id'], { name: 'job_mounts_job_fk', onDelete: 'CASCADE' })
@ForeignKey(() => ModelVersionRow, ['versionId'], ['id'], { name: 'job_mounts_version_fk', onDelete: 'CASCADE' })
@Index('job_mounts_version_index', ['versionId'])
export class JobMountRow {
  @PrimaryColumn('uuid') jobId!: string;
  @PrimaryColumn('uuid') versionId!: string;
}

@Entity({ name: 'job_blobs' })
@ForeignKey(() => JobRow, ['jobId'], ['id'], { name: 'job_blobs_job_fk', onDelete: 'CASCADE' })
export class JobBlobRow {
  @PrimaryColumn('uuid') jobId!: string;
  @PrimaryColumn('text') digest!: string;
}

@Entity({ name: 'attempts' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'attempts_tenant_fk' })
@ForeignKey(() => JobRow, ['jobId'], ['id'], { name: 'attempts_job_fk', onDelete: 'CASCADE' })
@Check('attempts_phase_check', "phase IN ('Assigned', 'Running', 'Stopping', 'Ended')")
@Check('attempts_outcome_check', "outcome IN ('succeeded', 'failed', 'preempted', 'suspended', 'cancelled', 'lost')")
@Unique('attempts_number_unique', ['jobId', 'number'])
@Check('attempts_live_check', "is_live = (phase <> 'Ended')")
@Index('attempts_live_unique', ['jobId'], { unique: true, where: 'is_live' })
@Index('attempts_clusters_index', ['clusterIds'], { type: 'gin', where: 'is_live' })
export class AttemptRow implements Attempt {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') jobId!: string;
  @Column('integer') number!: number;
  @Column('bigint', { transformer: SAFE_INTEGER }) epoch!: number;
  @Column('jsonb') claim!: ResourceClaim;
  @Column('jsonb') tasks!: TaskBinding[];
  /** Of the tasks, each once. */
  @Column('uuid', { array: true }) clusterIds!: string[];
  @Column('text') phase!: AttemptPhase;
  @Column('boolean') isLive!: boolean;
  @Column('jsonb', { nullable: true }) stop!: StopRequest | null;
  @Column('text', { nullable: true }) outcome!: AttemptOutcome | null;
  @Column('integer', { nullable: true }) exitCode!: number | null;
  @Column('text') reason!: string;
  @Column('jsonb', { nullable: true }) resumedFrom!: Checkpoint | null;
  @Column('double precision') lostDeviceSeconds!: number;
  @Column('timestamptz') createdAt!: Date;
  @Column('timestamptz', { nullable: true }) startedAt!: Date | null;
  @Column('timestamptz', { nullable: true }) endedAt!: Date | null;
}

@Entity({ name: 'device_holds' })
@Index('device_holds_holder_index', ['holderId'])
export class DeviceHoldRow {
  @PrimaryColumn('uuid') clusterId!: string;
  @PrimaryColumn('text') node!: string;
  @PrimaryColumn('text') deviceId!: string;
  @Column('uuid') holderId!: string;
}

@Entity({ name: 'job_events' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'job_events_tenant_fk' })
@ForeignKey(() => JobRow, ['jobId'], ['id'], { name: 'job_events_job_fk', onDelete: 'CASCADE' })
@Index('job_events_job_index', ['jobId', 'id'])
export class JobEventRow implements JobEvent {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') jobId!: string;
  @Column('uuid', { nullable: true }) attemptId!: string | null;
  @Column('text') kind!: string;
  @Column('text') message!: string;
  @Column('timestamptz') at!: Date;
}

@Entity({ name: 'owed_documents' })
@Index('owed_documents_cluster_index', ['clusterId', 'id'])
export class OwedDocumentRow {
  @PrimaryGeneratedColumn('identity', { type: 'bigint', generatedIdentity: 'ALWAYS' }) id!: string;
  @Column('uuid') clusterId!: string;
}
