// A budget as the API shows it: what is said of it, what is spent, out and free, and who holds leases. Pure.

import type { BudgetDetailDto, BudgetDto } from '#contracts';
import { type Budget, type BudgetPeriodStanding, type Lease, outTokens, type Tenant } from '#domain';

export function viewBudget(budget: Budget, standing: BudgetPeriodStanding, tenant: Pick<Tenant, 'name'>): BudgetDto {
  const { id, name, keyPublicId, limitTokens, period, createdAt, revision } = budget;
  const { periodKey, spentTokens, overdraftTokens, outTokens: out, freeTokens } = standing;
  return {
    ...{ id, name, tenant: tenant.name, key: keyPublicId, tokens: limitTokens, period, periodKey },
    ...{ spentTokens, overdraftTokens, outTokens: out, freeTokens },
    ...{ createdAt: createdAt.toISOString(), revision },
  };
}

/** @param clusterNames by id */
export function viewLease(lease: Lease, clusterNames: ReadonlyMap<string, string>): BudgetDetailDto['leases'][number] {
  const { id, holder, periodKey, phase, grantedTokens, spentTokens, grantedAt, expiresAt } = lease;
  return {
    ...{ id, periodKey, phase, grantedTokens, spentTokens, outTokens: outTokens(lease) },
    holder: { kind: holder.kind, id: holder.id, name: clusterNames.get(holder.id) ?? null },
    grantedAt: grantedAt.toISOString(),
    expiresAt: expiresAt.toISOString(),
  };
}
