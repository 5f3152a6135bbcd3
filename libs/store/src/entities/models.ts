import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type {
  AliasMove,
  Model,
  ModelAlias,
  ModelPolicy,
  ModelVersion,
  VersionFile,
  VersionPhase,
  VersionSignature,
} from '#domain';
import { SAFE_INTEGER } from './naming.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'models' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'models_tenant_fk' })
@Unique('models_name_unique', ['tenantId', 'name'])
export class ModelRow implements Model {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') name!: string;
  @Column('jsonb') policy!: ModelPolicy;
  @Column('timestamptz') createdAt!: Date;
  @Column('integer') revision!: number;
}

@Entity({ name: 'model_versions' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'model_versions_tenant_fk' })
@ForeignKey(() => ModelRow, ['modelId'], ['id'], { name: 'model_versions_model_fk', onDelete: 'CASCADE' })
@ForeignKey(() => ModelVersionRow, ['parentId'], ['id'], { name: 'model_versions_parent_fk', onDelete: 'SET NULL' })
@Check('model_versions_phase_check', "phase IN ('Uploading', 'Published', 'Abandoned', 'Retired')")
@Check('model_versions_published_check', "phase <> 'Published' OR (digest IS NOT NULL AND published_at IS NOT NULL)")
@Unique('model_versions_number_unique', ['modelId', 'number'])
@Index('model_versions_uploading_index', ['createdAt'], { where: "(phase = 'Uploading'::text)" })
export class ModelVersionRow implements ModelVersion {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') modelId!: string;
  @Column('integer') number!: number;
  @Column('text') phase!: VersionPhase;
  @Column('text', { nullable: true }) digest!: string | null;
  @Column('bigint', { transformer: SAFE_INTEGER }) sizeBytes!: number;
  @Column('jsonb') files!: VersionFile[];
  @Column('text') notes!: string;
  @Column('uuid', { nullable: true }) parentId!: string | null;
  @Column('jsonb') metadata!: Record<string, string>;
  @Column('jsonb', { nullable: true }) signature!: VersionSignature | null;
  @Column('timestamptz') createdAt!: Date;
  @Column('timestamptz', { nullable: true }) publishedAt!: Date | null;
}

@Entity({ name: 'model_aliases' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'model_aliases_tenant_fk' })
@ForeignKey(() => ModelRow, ['modelId'], ['id'], { name: 'model_aliases_model_fk', onDelete: 'CASCADE' })
@ForeignKey(() => ModelVersionRow, ['versionId'], ['id'], { name: 'model_aliases_version_fk', onDelete: 'CASCADE' })
@Index('model_aliases_version_index', ['versionId'])
export class ModelAliasRow implements ModelAlias {
  @PrimaryColumn('uuid') modelId!: string;
  @PrimaryColumn('text') name!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') versionId!: string;
  @Column('timestamptz') movedAt!: Date;
}

@Entity({ name: 'alias_moves' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'alias_moves_tenant_fk' })
@ForeignKey(() => ModelRow, ['modelId'], ['id'], { name: 'alias_moves_model_fk', onDelete: 'CASCADE' })
@Index('alias_moves_model_index', ['modelId', 'alias', 'id'])
export class AliasMoveRow implements AliasMove {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') modelId!: string;
  @Column('text') alias!: string;
  @Column('uuid', { nullable: true }) fromVersionId!: string | null;
  @Column('uuid', { nullable: true }) toVersionId!: string | null;
  @Column('text') actor!: string;
  @Column('timestamptz') at!: Date;
}
