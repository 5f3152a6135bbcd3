import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { Model, ModelVersion, VersionFile, VersionPhase } from '#domain';
import { SAFE_INTEGER } from './naming.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'models' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'models_tenant_fk' })
@Unique('models_name_unique', ['tenantId', 'name'])
export class ModelRow implements Model {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') name!: string;
  @Column('timestamptz') createdAt!: Date;
  @Column('integer') revision!: number;
}

@Entity({ name: 'model_versions' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'model_versions_tenant_fk' })
@ForeignKey(() => ModelRow, ['modelId'], ['id'], { name: 'model_versions_model_fk', onDelete: 'CASCADE' })
@Check('model_versions_phase_check', "phase IN ('Uploading', 'Published', 'Abandoned')")
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
  @Column('timestamptz') createdAt!: Date;
  @Column('timestamptz', { nullable: true }) publishedAt!: Date | null;
}
