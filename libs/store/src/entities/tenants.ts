import { Column, Entity, PrimaryColumn, Unique } from 'typeorm';

@Entity({ name: 'tenants' })
@Unique('tenants_name_unique', ['name'])
export class TenantRow {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') name!: string;
  @Column('timestamptz') createdAt!: Date;
}
