import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import type { DesiredOutline } from '#contracts';
import type { ClusterReport, DesiredReplica, DesiredTask, DesiredVersion } from '#domain';
import { ClusterRow } from './clusters.ts';
import { SAFE_INTEGER } from './naming.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'observations' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'observations_tenant_fk' })
@ForeignKey(() => ClusterRow, ['clusterId'], ['id'], { name: 'observations_cluster_fk' })
export class ObservationRow {
  @PrimaryColumn('uuid') clusterId!: string;
  @Column('uuid') tenantId!: string;
  @Column('jsonb') report!: ClusterReport;
  @Column('text') contentHash!: string;
  @Column('jsonb') replacedBoots!: string[];
  @Column('timestamptz') receivedAt!: Date;
}

@Entity({ name: 'desired_states' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'desired_states_tenant_fk' })
@ForeignKey(() => ClusterRow, ['clusterId'], ['id'], { name: 'desired_states_cluster_fk' })
export class DesiredStateRow {
  @PrimaryColumn('uuid') clusterId!: string;
  @Column('uuid') tenantId!: string;
  @Column('bigint', { transformer: SAFE_INTEGER }) epoch!: number;
  @Column('bigint', { transformer: SAFE_INTEGER }) revision!: number;
  @Column('text') contentHash!: string;
  @Column('jsonb') versions!: DesiredVersion[];
  @Column('jsonb') replicas!: DesiredReplica[];
  @Column('jsonb') tasks!: DesiredTask[];
  /** Of the document of `outlineRevision`; of none that is stored when that is not `revision`. */
  @Column('jsonb', { nullable: true }) outline!: DesiredOutline | null;
  @Column('bigint', { nullable: true, transformer: SAFE_INTEGER }) outlineRevision!: number | null;
  @Column('timestamptz') updatedAt!: Date;
}
