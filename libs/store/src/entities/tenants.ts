import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

@Entity({ name: 'tenants' })
@Index('tenants_name_unique', ['name'], { unique: true, where: '(removed_at IS NULL)' })
export class TenantRow {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') name!: string;
  @Column('timestamptz') createdAt!: Date;
  /** The row stays for what the tenant did and used. */
  @Column('timestamptz', { nullable: true, select: false }) removedAt!: Date | null;
}
