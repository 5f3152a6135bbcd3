import { Check, Column, Entity, PrimaryColumn } from 'typeorm';
import type { RoutesView } from '#domain';
import { SAFE_INTEGER } from './naming.ts';

@Entity({ name: 'leader' })
@Check('leader_single_check', 'single')
export class LeaderRow {
  @PrimaryColumn('boolean', { default: true }) single!: boolean;
  @Column('bigint', { transformer: SAFE_INTEGER }) epoch!: number;
  @Column('text') holder!: string;
  @Column('timestamptz') since!: Date;
  @Column('bigint', { default: 0, transformer: SAFE_INTEGER }) clockAheadMs!: number;
}

@Entity({ name: 'routes_view' })
@Check('routes_view_single_check', 'single')
export class RoutesViewRow {
  @PrimaryColumn('boolean', { default: true }) single!: boolean;
  @Column('bigint', { transformer: SAFE_INTEGER }) sequence!: number;
  @Column('text') contentHash!: string;
  @Column('jsonb') view!: Omit<RoutesView, 'sequence'>;
}
