import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { ApiKey, ClusterKind, JoinToken, Labels, Role } from '#domain';
import { ClusterRow } from './clusters.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'api_keys' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'api_keys_tenant_fk' })
@Check('api_keys_role_check', "role IN ('owner', 'admin', 'operator', 'viewer', 'inference')")
@Unique('api_keys_public_id_unique', ['publicId'])
@Index('api_keys_name_unique', ['tenantId', 'name'], { unique: true, where: '(revoked_at IS NULL)' })
export class ApiKeyRow implements ApiKey {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') name!: string;
  @Column('text') publicId!: string;
  @Column('text') secretHash!: string;
  @Column('text', { nullable: true }) offlineHash!: string | null;
  @Column('text') role!: Role;
  @Column('jsonb', { nullable: true }) models!: string[] | null;
  @Column('timestamptz', { nullable: true }) expiresAt!: Date | null;
  @Column('timestamptz', { nullable: true }) revokedAt!: Date | null;
  @Column('timestamptz') createdAt!: Date;
}

@Entity({ name: 'join_tokens' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'join_tokens_tenant_fk' })
@ForeignKey(() => ClusterRow, ['usedByClusterId'], ['id'], { name: 'join_tokens_cluster_fk' })
@Check('join_tokens_kind_check', "kind IN ('central', 'edge')")
@Unique('join_tokens_public_id_unique', ['publicId'])
export class JoinTokenRow implements JoinToken {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') publicId!: string;
  @Column('text') secretHash!: string;
  @Column('text') clusterName!: string;
  @Column('text') kind!: ClusterKind;
  @Column('text') region!: string;
  @Column('text') zone!: string;
  @Column('jsonb') labels!: Labels;
  @Column('boolean') preApproved!: boolean;
  @Column('timestamptz') expiresAt!: Date;
  @Column('timestamptz', { nullable: true }) usedAt!: Date | null;
  @Column('uuid', { nullable: true, select: false }) usedByClusterId!: string | null;
  @Column('timestamptz') createdAt!: Date;
}
