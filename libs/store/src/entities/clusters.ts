import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { Cluster, ClusterKind, ClusterPhase, Labels, SyncPolicy } from '#domain';
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
