/** How the admin API is asked about budgets and what was served under them. */
import { z } from 'zod';
import {
  type BudgetDetailDto,
  type BudgetDto,
  budgetDetailSchema,
  budgetSchema,
  type CreateBudget,
  type TokenUsageDto,
  tokenUsageSchema,
  type UpdateBudget,
} from './budgets.ts';
import { queryOf } from './caller.ts';
import { ModelCalls } from './model-calls.ts';

export class BudgetCalls extends ModelCalls {
  /** Of the key's own tenant, or of the one that is named; so all that follow. */
  budgets(tenant?: string): Promise<BudgetDto[]> {
    return this.all('/budgets', budgetSchema, queryOf({ tenant }));
  }

  budget(name: string, tenant?: string): Promise<BudgetDetailDto> {
    return this.call('GET', `${budgetPath(name)}${suffixOf({ tenant })}`, budgetDetailSchema);
  }

  createBudget(body: CreateBudget, tenant?: string): Promise<BudgetDto> {
    return this.call('POST', `/budgets${suffixOf({ tenant })}`, budgetSchema, body);
  }

  updateBudget(name: string, body: UpdateBudget, tenant?: string): Promise<BudgetDto> {
    return this.call('PATCH', `${budgetPath(name)}${suffixOf({ tenant })}`, budgetSchema, body);
  }

  async removeBudget(name: string, tenant?: string): Promise<void> {
    await this.call('DELETE', `${budgetPath(name)}${suffixOf({ tenant })}`, z.unknown());
  }

  /** What its holder has not told is taken for unspent, and free again. For leases that expired only. */
  async writeOffLease(name: string, leaseId: string, tenant?: string): Promise<void> {
    const path = `${budgetPath(name)}/leases/${encodeURIComponent(leaseId)}${suffixOf({ tenant })}`;
    await this.call('DELETE', path, z.unknown());
  }

  /** By day, key, model and deployment. `since` is a UTC day. */
  tokenUsage({ tenant, since }: { tenant?: string; since?: string } = {}): Promise<TokenUsageDto> {
    return this.call('GET', `/usage/tokens${suffixOf({ tenant, since })}`, tokenUsageSchema);
  }
}

function budgetPath(name: string): string {
  return `/budgets/${encodeURIComponent(name)}`;
}

function suffixOf(wanted: Readonly<Record<string, string | undefined>>): string {
  const query = queryOf(wanted).toString();
  return query === '' ? '' : `?${query}`;
}
