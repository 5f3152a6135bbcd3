import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { Rollout, RolloutPhase, RolloutPolicy } from '#domain';
import { ClusterRow } from './clusters.ts';
import { DeploymentRow } from './deployments.ts';
import { ModelVersionRow } from './models.ts';
import { SAFE_INTEGER } from './naming.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'rollouts' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'rollouts_tenant_fk' })
@ForeignKey(() => DeploymentRow, ['deploymentId'], ['id'], { name: 'rollouts_deployment_fk', onDelete: 'CASCADE' })
@ForeignKey(() => ModelVersionRow, ['fromVersionId'], ['id'], { name: 'rollouts_from_fk' })
@ForeignKey(() => ModelVersionRow, ['toVersionId'], ['id'], { name: 'rollouts_to_fk' })
@Check('rollouts_phase_check', "phase IN ('Progressing', 'Paused', 'Completed', 'Aborted', 'RolledBack', 'Superseded')")
@Index('rollouts_active_unique', ['deploymentId'], {
  unique: true,
  where: "(phase = ANY (ARRAY['Progressing'::text, 'Paused'::text]))",
})
@Index('rollouts_deployment_index', ['deploymentId', 'id'])
export class RolloutRow implements Rollout {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') deploymentId!: string;
  @Column('uuid') fromVersionId!: string;
  @Column('uuid') toVersionId!: string;
  @Column('jsonb') policy!: RolloutPolicy;
  @Column('text') phase!: RolloutPhase;
  @Column('integer') wave!: number;
  @Column('jsonb') openClusterIds!: string[];
  @Column('boolean') isOpenToAll!: boolean;
  @Column('boolean') isSwitched!: boolean;
  @Column('timestamptz') waveSince!: Date;
  @Column('timestamptz', { nullable: true }) waveReadyAt!: Date | null;
  @Column('text') reason!: string;
  @Column('timestamptz') startedAt!: Date;
  @Column('timestamptz', { nullable: true }) endedAt!: Date | null;
}

@Entity({ name: 'sync_claims' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'sync_claims_tenant_fk' })
@ForeignKey(() => ClusterRow, ['clusterId'], ['id'], { name: 'sync_claims_cluster_fk' })
export class SyncClaimRow {
  @PrimaryColumn('uuid') tenantId!: string;
  @PrimaryColumn('text') siteGroup!: string;
  @PrimaryColumn('text') versionDigest!: string;
  @Column('uuid') clusterId!: string;
  @Column('bigint', { transformer: SAFE_INTEGER }) bytesHave!: number;
  @Column('timestamptz') progressedAt!: Date;
}
