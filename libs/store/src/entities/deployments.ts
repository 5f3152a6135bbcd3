import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type {
  ClusterSelector,
  Deployment,
  DeploymentServing,
  DisconnectPolicy,
  NodeDevices,
  Placement,
  PlacementPhase,
  ResourceClaim,
  RolloutPolicy,
  SpreadConstraint,
} from '#domain';
import { ClusterRow } from './clusters.ts';
import { ModelRow, ModelVersionRow } from './models.ts';
import { SAFE_INTEGER } from './naming.ts';
import { QueueRow } from './queues.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'deployments' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'deployments_tenant_fk' })
@ForeignKey(() => ModelRow, ['modelId'], ['id'], { name: 'deployments_model_fk' })
@ForeignKey(() => ModelVersionRow, ['versionId'], ['id'], { name: 'deployments_version_fk' })
@ForeignKey(() => QueueRow, ['queueId'], ['id'], { name: 'deployments_queue_fk' })
@Check('deployments_replicas_check', 'replicas >= 0')
@Unique('deployments_name_unique', ['tenantId', 'name'])
@Index('deployments_version_index', ['versionId'])
@Index('deployments_model_index', ['modelId'])
export class DeploymentRow implements Deployment {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') name!: string;
  @Column('uuid') modelId!: string;
  @Column('uuid') versionId!: string;
  @Column('text', { nullable: true }) alias!: string | null;
  @Column('jsonb') rollout!: RolloutPolicy;
  @Column('text') servedModel!: string;
  @Column('integer') replicas!: number;
  @Column('jsonb') claim!: ResourceClaim;
  @Column('jsonb') selector!: ClusterSelector;
  @Column('jsonb', { nullable: true }) spread!: SpreadConstraint | null;
  @Column('jsonb') disconnect!: DisconnectPolicy;
  @Column('jsonb') serving!: DeploymentServing;
  @Column('uuid') queueId!: string;
  @Column('text') priorityClass!: string;
  @Column('integer') priority!: number;
  @Column('timestamptz', { nullable: true }) deletedAt!: Date | null;
  @Column('timestamptz') createdAt!: Date;
  @Column('integer') revision!: number;
}

@Entity({ name: 'placements' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'placements_tenant_fk' })
@ForeignKey(() => DeploymentRow, ['deploymentId'], ['id'], { name: 'placements_deployment_fk', onDelete: 'CASCADE' })
@ForeignKey(() => ClusterRow, ['clusterId'], ['id'], { name: 'placements_cluster_fk' })
@ForeignKey(() => ModelVersionRow, ['versionId'], ['id'], { name: 'placements_version_fk' })
@Check('placements_phase_check', "phase IN ('Assigned', 'Draining', 'Removed')")
@Index('placements_deployment_index', ['deploymentId', 'phase'])
@Index('placements_cluster_index', ['clusterId'], { where: "(phase <> 'Removed'::text)" })
@Index('placements_version_index', ['versionId'])
export class PlacementRow implements Placement {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') deploymentId!: string;
  @Column('uuid') clusterId!: string;
  @Column('uuid') versionId!: string;
  @Column('jsonb') claim!: ResourceClaim;
  @Column('jsonb', { nullable: true }) devices!: readonly NodeDevices[] | null;
  @Column('text') phase!: PlacementPhase;
  @Column('bigint', { transformer: SAFE_INTEGER }) epoch!: number;
  @Column('text') reason!: string;
  @Column('timestamptz') createdAt!: Date;
  @Column('timestamptz') phaseSince!: Date;
}
