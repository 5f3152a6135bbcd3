import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type {
  Cluster,
  ClusterConflict,
  ClusterDrain,
  ClusterKind,
  ClusterPhase,
  ConflictKind,
  DocumentLead,
  Labels,
  SyncPolicy,
} from '#domain';
import { SAFE_INTEGER } from './naming.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'clusters' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'clusters_tenant_fk' })
@Check('clusters_kind_check', "kind IN ('central', 'edge')")
@Check('clusters_phase_check', "phase IN ('PendingApproval', 'Ready', 'Suspect', 'Unknown', 'Draining', 'Left')")
@Index('clusters_name_unique', ['tenantId', 'name'], { unique: true, where: "(phase <> 'Left'::text)" })
@Index('clusters_public_key_unique', ['publicKey'], { unique: true, where: "(phase <> 'Left'::text)" })
@Index('clusters_public_key_index', ['publicKey'])
export class ClusterRow implements Cluster {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') name!: string;
  @Column('text') kind!: ClusterKind;
  @Column('text') region!: string;
  @Column('text') zone!: string;
  @Column('jsonb') labels!: Labels;
  @Column('jsonb') sync!: SyncPolicy;
  @Column('text') publicKey!: string;
  @Column('text') phase!: ClusterPhase;
  @Column('boolean') cordoned!: boolean;
  @Column('jsonb', { nullable: true }) drain!: ClusterDrain | null;
  @Column('jsonb', { nullable: true }) ahead!: DocumentLead | null;
  @Column('timestamptz') phaseSince!: Date;
  @Column('timestamptz') createdAt!: Date;
  @Column('integer') revision!: number;
}

@Entity({ name: 'revocations' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'revocations_tenant_fk' })
@ForeignKey(() => ClusterRow, ['clusterId'], ['id'], { name: 'revocations_cluster_fk' })
export class RevocationRow {
  @PrimaryColumn('text') publicKey!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') clusterId!: string;
  @Column('timestamptz') revokedAt!: Date;
}

@Entity({ name: 'cluster_conflicts' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'cluster_conflicts_tenant_fk' })
@ForeignKey(() => ClusterRow, ['clusterId'], ['id'], { name: 'cluster_conflicts_cluster_fk' })
@Check('cluster_conflicts_resolved_check', '(resolution IS NULL) = (resolved_at IS NULL)')
@Index('cluster_conflicts_open_unique', ['clusterId', 'kind', 'subject'], {
  unique: true,
  where: '(resolved_at IS NULL)',
})
@Index('cluster_conflicts_cluster_index', ['clusterId', 'openedAt'])
@Index('cluster_conflicts_resolved_index', ['resolvedAt'], { where: '(resolved_at IS NOT NULL)' })
export class ClusterConflictRow implements ClusterConflict {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') clusterId!: string;
  @Column('text') kind!: ConflictKind;
  @Column('text') subject!: string;
  @Column('text') message!: string;
  @Column('text', { nullable: true }) resolution!: string | null;
  @Column('bigint', { transformer: SAFE_INTEGER }) revision!: number;
  @Column('timestamptz') openedAt!: Date;
  @Column('timestamptz', { nullable: true }) resolvedAt!: Date | null;
}
