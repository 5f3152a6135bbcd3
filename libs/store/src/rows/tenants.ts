import { IsNull, MoreThan } from 'typeorm';
import { type PageRequest, TENANT_HOLDING_NAMES_MAX, type Tenant, type TenantHolding, TenantRows } from '#domain';
import { TenantRow } from '../entities/tenants.ts';
import { checkPage, isId } from '../paging.ts';
import type { Session } from '../session.ts';
import { REMOVE_QUEUES } from './queues.ts';

export class PostgresTenantRows extends TenantRows {
  constructor(private readonly session: Session) {
    super();
  }

  async insert(tenant: Tenant): Promise<void> {
    await this.session.insert(TenantRow, { ...tenant, removedAt: null });
  }

  async find(by: { id: string } | { name: string }, forUpdate = false): Promise<Tenant | null> {
    if ('id' in by && !isId(by.id)) return null;
    const row = await this.session.findOne(TenantRow, { ...by, removedAt: IsNull() }, forUpdate);
    return row === null ? null : { ...row };
  }

  async list(page: Omit<PageRequest, 'tenantId'>): Promise<Tenant[]> {
    checkPage(page);
    const beyond = page.after === null ? {} : { id: MoreThan(page.after) };
    const order = { order: { id: 'ASC' }, limit: page.limit } as const;
    return (await this.session.find(TenantRow, { ...beyond, removedAt: IsNull() }, order)).map((row) => ({ ...row }));
  }

  async all(): Promise<Tenant[]> {
    const rows = await this.session.find(TenantRow, { removedAt: IsNull() }, { order: { id: 'ASC' } });
    return rows.map((row) => ({ ...row }));
  }

  async holdings(id: string): Promise<TenantHolding[]> {
    return isId(id) ? this.session.rows<TenantHolding>(HOLDINGS, [id]) : [];
  }

  async remove(id: string): Promise<void> {
    if (!isId(id)) return;
    for (const statement of REMOVALS) await this.session.write(statement, [id]);
  }
}

const HOLDINGS = `
  WITH held AS (
    SELECT 'budgets' AS kind, name FROM budgets WHERE tenant_id = $1
    UNION ALL SELECT 'clusters', name FROM clusters WHERE tenant_id = $1 AND phase <> 'Left'
    UNION ALL SELECT 'deployments', name FROM deployments WHERE tenant_id = $1
    UNION ALL SELECT 'jobs', name FROM jobs WHERE tenant_id = $1
    UNION ALL SELECT 'models', name FROM models WHERE tenant_id = $1
  )
  SELECT kind, count(*)::integer AS count, (array_agg(name ORDER BY name))[1:${TENANT_HOLDING_NAMES_MAX}] AS names
  FROM held GROUP BY kind ORDER BY kind`;

// The row itself first: whoever makes something in it meanwhile waits for its lock, and is refused.
const REMOVALS = [
  'UPDATE tenants SET removed_at = now() WHERE id = $1 AND removed_at IS NULL',
  'UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1 AND revoked_at IS NULL',
  'DELETE FROM join_tokens WHERE tenant_id = $1 AND used_at IS NULL',
  REMOVE_QUEUES('tenant_id = $1'),
  'DELETE FROM priority_classes WHERE tenant_id = $1',
];
