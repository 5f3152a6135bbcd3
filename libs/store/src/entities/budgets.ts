import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { BudgetPeriod, LeaseHolder, LeasePhase } from '#domain';
import { ClusterRow } from './clusters.ts';
import { ApiKeyRow } from './keys.ts';
import { SAFE_INTEGER } from './naming.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'budgets' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'budgets_tenant_fk' })
@ForeignKey(() => ApiKeyRow, ['keyPublicId'], ['publicId'], { name: 'budgets_key_fk' })
@Unique('budgets_name_unique', ['tenantId', 'name'])
@Check('budgets_limit_check', 'limit_tokens >= 0')
@Check('budgets_period_check', "period IN ('day', 'month', 'total')")
export class BudgetRow {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') name!: string;
  @Column('text', { nullable: true }) keyPublicId!: string | null;
  @Column('bigint', { transformer: SAFE_INTEGER }) limitTokens!: number;
  @Column('text') period!: BudgetPeriod;
  @Column('timestamptz') createdAt!: Date;
  @Column('integer') revision!: number;
}

@Entity({ name: 'budget_accounts' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'budget_accounts_tenant_fk' })
@ForeignKey(() => BudgetRow, ['budgetId'], ['id'], { name: 'budget_accounts_budget_fk', onDelete: 'CASCADE' })
export class BudgetAccountRow {
  @PrimaryColumn('uuid') budgetId!: string;
  @PrimaryColumn('text') periodKey!: string;
  @Column('uuid') tenantId!: string;
  @Column('bigint', { transformer: SAFE_INTEGER }) spentTokens!: number;
  @Column('bigint', { transformer: SAFE_INTEGER }) overdraftTokens!: number;
}

@Entity({ name: 'budget_leases' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'budget_leases_tenant_fk' })
@ForeignKey(() => BudgetRow, ['budgetId'], ['id'], { name: 'budget_leases_budget_fk', onDelete: 'CASCADE' })
@Check('budget_leases_holder_check', "holder_kind IN ('cluster', 'gateway')")
@Check('budget_leases_phase_check', "phase IN ('Active', 'Expired', 'Ended')")
@Index('budget_leases_out_index', ['budgetId', 'periodKey'], { where: "(phase <> 'Ended')" })
@Index('budget_leases_expiry_index', ['expiresAt'])
@Index('budget_leases_due_index', ['expiresAt'], { where: "(phase = 'Active')" })
export class BudgetLeaseRow {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') budgetId!: string;
  @Column('text') holderKind!: LeaseHolder['kind'];
  @Column('text') holderId!: string;
  @Column('text') periodKey!: string;
  @Column('bigint', { transformer: SAFE_INTEGER }) grantedTokens!: number;
  @Column('bigint', { transformer: SAFE_INTEGER }) spentTokens!: number;
  @Column('text') phase!: LeasePhase;
  @Column('boolean') isReturned!: boolean;
  @Column('timestamptz') grantedAt!: Date;
  @Column('timestamptz') expiresAt!: Date;
}

@Entity({ name: 'lease_requests' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'lease_requests_tenant_fk' })
@ForeignKey(() => BudgetLeaseRow, ['leaseId'], ['id'], { name: 'lease_requests_lease_fk', onDelete: 'CASCADE' })
@Index('lease_requests_lease_index', ['leaseId'])
@Index('lease_requests_created_index', ['createdAt'])
export class LeaseRequestRow {
  @PrimaryColumn('text') holderKind!: LeaseHolder['kind'];
  @PrimaryColumn('text') holderId!: string;
  @PrimaryColumn('uuid') requestId!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') leaseId!: string;
  @Column('timestamptz') createdAt!: Date;
}

/** Gateways have no rows: their ids are those of their state folders. */
@Entity({ name: 'gateway_usage' })
@Index('gateway_usage_received_index', ['receivedAt'])
export class GatewayUsageRow {
  @PrimaryColumn('uuid') gatewayId!: string;
  @PrimaryColumn('uuid') messageId!: string;
  @Column('timestamptz') receivedAt!: Date;
}

@Entity({ name: 'token_usage' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'token_usage_tenant_fk' })
@Index('token_usage_day_index', ['day'])
export class TokenUsageRow {
  @PrimaryColumn('uuid') tenantId!: string;
  @PrimaryColumn('date') day!: string;
  @PrimaryColumn('text') keyPublicId!: string;
  @PrimaryColumn('uuid') deploymentId!: string;
  @PrimaryColumn('text') servedModel!: string;
  @PrimaryColumn('text') versionDigest!: string;
  @Column('bigint', { transformer: SAFE_INTEGER }) requests!: number;
  @Column('bigint', { transformer: SAFE_INTEGER }) promptTokens!: number;
  @Column('bigint', { transformer: SAFE_INTEGER }) completionTokens!: number;
  @Column('bigint', { transformer: SAFE_INTEGER }) estimatedRequests!: number;
}

@Entity({ name: 'bundle_source' })
@Check('bundle_source_single_check', 'single')
export class BundleSourceRow {
  @PrimaryColumn('boolean', { default: true }) single!: boolean;
  @Column('bigint', { transformer: SAFE_INTEGER }) version!: number;
}

@Entity({ name: 'offline_bundles' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'offline_bundles_tenant_fk' })
@ForeignKey(() => ClusterRow, ['clusterId'], ['id'], { name: 'offline_bundles_cluster_fk' })
export class OfflineBundleRow {
  @PrimaryColumn('uuid') clusterId!: string;
  @Column('uuid') tenantId!: string;
  @Column('bigint', { transformer: SAFE_INTEGER }) sequence!: number;
  @Column('uuid', { array: true }) tenantIds!: string[];
  @Column('text') source!: string;
  @Column('text') contentHash!: string;
  @Column('text') textHash!: string;
  @Column('timestamptz') issuedAt!: Date;
}
