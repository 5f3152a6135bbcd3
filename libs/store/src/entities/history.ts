import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { AuditEntry, CandidateVerdict, Decision, DecisionDetail } from '#domain';
import { SAFE_INTEGER } from './naming.ts';
import { TenantRow } from './tenants.ts';

@Entity({ name: 'audit_entries' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'audit_entries_tenant_fk' })
@Index('audit_entries_tenant_index', ['tenantId', 'id'])
export class AuditRow implements AuditEntry {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid') tenantId!: string;
  @Column('text') actor!: string;
  @Column('text') action!: string;
  @Column('text') targetKind!: string;
  @Column('text') targetId!: string;
  @Column('jsonb') detail!: Readonly<Record<string, unknown>>;
  @Column('timestamptz') at!: Date;
}

@Entity({ name: 'decisions' })
@ForeignKey(() => TenantRow, ['tenantId'], ['id'], { name: 'decisions_tenant_fk' })
@Check('decisions_subject_kind_check', "subject_kind IN ('deployment', 'job')")
@Index('decisions_subject_index', ['subjectId', 'epoch', 'id'])
export class DecisionRow implements Decision {
  @PrimaryColumn('uuid') id!: string;
  @Column('uuid', { select: false }) tenantId!: string;
  @Column('text') subjectKind!: Decision['subjectKind'];
  @Column('uuid') subjectId!: string;
  @Column('bigint', { transformer: SAFE_INTEGER }) epoch!: number;
  @Column('text') inputsHash!: string;
  @Column('jsonb') candidates!: CandidateVerdict[];
  @Column('text') outcome!: string;
  @Column('jsonb', { nullable: true }) detail!: DecisionDetail | null;
  @Column('timestamptz') decidedAt!: Date;
}
