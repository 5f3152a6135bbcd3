import { type Tenant, TenantRows } from '#domain';
import { TenantRow } from '../entities/tenants.ts';
import { isId } from '../paging.ts';
import type { Session } from '../session.ts';

export class PostgresTenantRows extends TenantRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(tenant: Tenant): Promise<void> {
    await this.session.insert(TenantRow, tenant);
  }

  async find(by: { id: string } | { name: string }): Promise<Tenant | null> {
    if ('id' in by && !isId(by.id)) return null;
    const row = await this.session.findOne(TenantRow, by);
    return row === null ? null : { ...row };
  }

  async all(): Promise<Tenant[]> {
    return (await this.session.find(TenantRow, {}, { order: { id: 'ASC' } })).map((row) => ({ ...row }));
  }
}
