import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { ArtifactFile, ArtifactPhase, ArtifactProfile, VersionArtifact } from '#domain';
import { ModelRow, ModelVersionRow } from './models.ts';
import { SAFE_INTEGER } from './naming.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'version_artifacts' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'version_artifacts_tenant_fk' })
@ForeignKey(() => ModelRow, ['modelId'], ['id'], { name: 'version_artifacts_model_fk', onDelete: 'CASCADE' })
@ForeignKey(() => ModelVersionRow, ['versionId'], ['id'], { name: 'version_artifacts_version_fk', onDelete: 'CASCADE' })
@ForeignKey(() => ModelVersionRow, ['baseVersionId'], ['id'], {
  name: 'version_artifacts_base_fk',
  onDelete: 'CASCADE',
})
@Check('version_artifacts_profile_check', "profile IN ('fast', 'small', 'snapshot')")
@Check('version_artifacts_phase_check', "phase IN ('Wanted', 'Making', 'Ready', 'Failed')")
@Check('version_artifacts_base_check', "(profile = 'snapshot') = (base_version_id IS NULL)")
@Index('version_artifacts_diff_unique', ['versionId', 'baseVersionId', 'profile'], {
  unique: true,
  where: '(base_version_id IS NOT NULL)',
})
@Index('version_artifacts_snapshot_unique', ['versionId'], { unique: true, where: '(base_version_id IS NULL)' })
@Index('version_artifacts_model_index', ['modelId'])
@Index('version_artifacts_wanted_index', ['wantedAt'], { where: "(phase = 'Wanted'::text)" })
export class VersionArtifactRow implements VersionArtifact {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('uuid') modelId!: string;
  @Column('uuid') versionId!: string;
  @Column('uuid', { nullable: true }) baseVersionId!: string | null;
  @Column('text') profile!: ArtifactProfile;
  @Column('text') phase!: ArtifactPhase;
  @Column('jsonb') files!: ArtifactFile[];
  @Column('bigint', { transformer: SAFE_INTEGER }) bytes!: number;
  @Column('text') reason!: string;
  @Column('timestamptz') wantedAt!: Date;
  @Column('timestamptz', { nullable: true }) makingSince!: Date | null;
  @Column('timestamptz', { nullable: true }) readyAt!: Date | null;
  @Column('timestamptz') usedAt!: Date;
}
