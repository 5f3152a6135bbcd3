import { Column, Entity, ForeignKey, Index, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import { ClusterRow } from './clusters.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'outbox' })
@Index('outbox_subject_index', ['subject', 'id'])
export class OutboxRow {
  @PrimaryGeneratedColumn('identity', { type: 'bigint', generatedIdentity: 'ALWAYS' }) id!: string;
  @Column('text') subject!: string;
  @Column('jsonb') body!: unknown;
  @Column('timestamptz', { default: () => 'now()' }) createdAt!: Date;
}

@Entity({ name: 'inbox' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'inbox_tenant_fk' })
@ForeignKey(() => ClusterRow, ['clusterId'], ['id'], { name: 'inbox_cluster_fk' })
@Index('inbox_received_index', ['receivedAt'])
export class InboxRow {
  @PrimaryColumn('uuid') clusterId!: string;
  @PrimaryColumn('text') messageId!: string;
  @Column('uuid') tenantId!: string;
  @Column('timestamptz') receivedAt!: Date;
}

@Entity({ name: 'idempotency_answers' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'idempotency_answers_tenant_fk' })
@Index('idempotency_answers_created_index', ['createdAt'])
export class IdempotencyRow {
  @PrimaryColumn('uuid') tenantId!: string;
  @PrimaryColumn('text') key!: string;
  @Column('text') requestHash!: string;
  @Column('integer', { nullable: true }) status!: number | null;
  @Column('jsonb', { nullable: true }) body!: unknown;
  @Column('timestamptz') createdAt!: Date;
}
