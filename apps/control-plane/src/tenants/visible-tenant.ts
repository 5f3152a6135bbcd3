import { DEFAULT_TENANT_ID, RefusedError, type Rows, refuse, type Tenant } from '#domain';
import type { Actor } from '../auth/actor.ts';

/**
 * The caller's own tenant, or the one that it names: keys of the installation's own tenant see all, others themselves.
 *
 * @throws RefusedError not-found for what the caller does not see
 */
export async function visibleTenant(
  rows: Rows,
  { tenantId }: Pick<Actor, 'tenantId'>,
  name: string | undefined,
): Promise<Tenant> {
  const tenant = await rows.tenants.find(name === undefined ? { id: tenantId } : { name });
  if (tenant !== null && (tenant.id === tenantId || tenantId === DEFAULT_TENANT_ID)) return tenant;
  throw new RefusedError(refuse.notFound('tenant', name ?? tenantId));
}
