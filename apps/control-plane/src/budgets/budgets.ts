/**
 * Budgets as intent: how many tokens a tenant, or one key of it, may spend in a period. Nobody gives itself more (S4):
 * budgets of whole tenants are made, raised and taken away by keys of the installation's own tenant only, and no key raises
 * a budget of its own.
 */
import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import { type BudgetDetailDto, type BudgetDto, type createBudgetSchema, LEASES_SHOWN_MAX } from '#contracts';
import {
  BUDGETS_PER_SCOPE_MAX,
  BUDGETS_PER_TENANT_MAX,
  type Budget,
  budgetRaiseProblem,
  DEFAULT_TENANT_ID,
  RefusedError,
  type Rows,
  refuse,
  returnLease,
  Store,
  type Tenant,
} from '#domain';
import type { Actor } from '../auth/actor.ts';
import { demandMatch, repeatable } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { type Page, type PageQuery, readPage } from '../mutations/pages.ts';
import { visibleTenant } from '../tenants/visible-tenant.ts';
import { viewBudget, viewLease } from './budget-view.ts';

export interface BudgetTarget {
  /** Whose; undefined: the actor's own. */
  readonly tenant: string | undefined;
  readonly name: string;
}

@Injectable()
export class Budgets {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
  ) {}

  async create(
    actor: Actor,
    tenantName: string | undefined,
    wanted: z.output<typeof createBudgetSchema>,
    idempotencyKey: string | undefined,
  ): Promise<BudgetDto> {
    const request = repeatable(idempotencyKey, { tenantName, ...wanted });
    return this.mutations.create(actor, 'budgets.create', request, async (rows) => {
      const tenant = await visibleTenant(rows, actor, tenantName);
      const { name, tokens: limitTokens, period, key: keyPublicId } = wanted;
      if (keyPublicId === null) demandInstallation(actor, 'makes budgets of whole tenants');
      else await demandKey(rows, tenant, keyPublicId);
      await demandRoom(rows, tenant, keyPublicId);
      const budget: Budget = {
        ...{ id: uuidv7(), tenantId: tenant.id, name, keyPublicId, limitTokens, period },
        ...{ createdAt: new Date(), revision: 1 },
      };
      await rows.budgets.insert(budget);
      const result = await view(rows, budget, tenant);
      return { result, targetKind: 'budget', targetId: budget.id, detail: { tenant: tenant.name, ...wanted } };
    });
  }

  async list(actor: Actor, tenantName: string | undefined, query: PageQuery): Promise<Page<BudgetDto>> {
    const { read } = this.store;
    const tenant = await visibleTenant(read, actor, tenantName);
    const page = await readPage(tenant.id, query, (request) => read.budgets.list(request));
    const standings = new Map((await read.budgets.standings(page.items)).map((each) => [each.budgetId, each]));
    // One that was removed between the two reads is left out.
    const items = page.items.flatMap((budget) => {
      const standing = standings.get(budget.id);
      return standing === undefined ? [] : [viewBudget(budget, standing, tenant)];
    });
    return { ...page, items };
  }

  async get(actor: Actor, target: BudgetTarget): Promise<BudgetDetailDto> {
    const { read } = this.store;
    const tenant = await visibleTenant(read, actor, target.tenant);
    const budget = await findBudget(read, tenant, target.name);
    const leases = await read.leases.ofBudget(budget.id, LEASES_SHOWN_MAX);
    const holders = leases.map(({ holder }) => holder).filter(({ kind }) => kind === 'cluster');
    const clusters = await read.clusters.findAll([...new Set(holders.map(({ id }) => id))]);
    const names = new Map(clusters.map(({ id, name }) => [id, name]));
    return { ...(await view(read, budget, tenant)), leases: leases.map((lease) => viewLease(lease, names)) };
  }

  /** A limit below what is spent and out is taken, with a warning: leases that are out may still be spent. */
  update(actor: Actor, target: BudgetTarget, limitTokens: number, ifMatch: string | undefined): Promise<BudgetDto> {
    return this.mutations.run(actor, 'budgets.update', async (rows) => {
      const tenant = await visibleTenant(rows, actor, target.tenant);
      const budget = await findBudget(rows, tenant, target.name, true);
      demandMatch(ifMatch, budget);
      demandMayGive(actor, budget, budgetRaiseProblem(budget, limitTokens));
      await rows.budgets.update(budget.id, budget.revision, { limitTokens });
      const written = { ...budget, limitTokens, revision: budget.revision + 1 };
      const result = await view(rows, written, tenant);
      const warning = `${-result.freeTokens} tokens above the limit are spent or out; nothing is granted before they are made up for`;
      const detail = { tenant: tenant.name, name: budget.name, tokens: limitTokens, before: budget.limitTokens };
      const shown = result.freeTokens < 0 ? { ...result, warning } : result;
      return { result: shown, targetKind: 'budget', targetId: budget.id, detail };
    });
  }

  async remove(actor: Actor, target: BudgetTarget, ifMatch: string | undefined): Promise<void> {
    await this.mutations.run(actor, 'budgets.delete', async (rows) => {
      const tenant = await visibleTenant(rows, actor, target.tenant);
      const budget = await findBudget(rows, tenant, target.name, true);
      demandMatch(ifMatch, budget);
      demandMayGive(actor, budget, budgetRaiseProblem(budget, null));
      await rows.budgets.remove(budget.id);
      const detail = { tenant: tenant.name, name: budget.name, tokens: budget.limitTokens };
      return { result: undefined, targetKind: 'budget', targetId: budget.id, detail };
    });
  }

  /** For a holder that will never tell: what it has not told is free again. If it does tell, that counts as overdraft. */
  async writeOff(actor: Actor, target: BudgetTarget, leaseId: string): Promise<void> {
    await this.mutations.run(actor, 'budgets.write-off', async (rows) => {
      const tenant = await visibleTenant(rows, actor, target.tenant);
      const budget = await findBudget(rows, tenant, target.name, true);
      const lease = (await rows.leases.ofBudget(budget.id, LEASES_SHOWN_MAX)).find(({ id }) => id === leaseId);
      if (lease === undefined) throw new RefusedError(refuse.notFound(`lease on budget "${budget.name}"`, leaseId));
      if (lease.phase === 'Active') {
        const reason = `its holder may spend from it until ${lease.expiresAt.toISOString()}`;
        throw new RefusedError(refuse.conflict(reason));
      }
      demandMayGive(actor, budget, `a lease on budget "${budget.name}" would be free again`);
      const written = [returnLease(lease, lease.spentTokens)];
      await rows.leases.write(lease.holder, { written, answered: [] });
      const detail = { tenant: tenant.name, name: budget.name, lease: leaseId, holder: lease.holder.id };
      return { result: undefined, targetKind: 'budget', targetId: budget.id, detail };
    });
  }
}

async function view(rows: Rows, budget: Budget, tenant: Tenant): Promise<BudgetDto> {
  const [standing] = await rows.budgets.standings([budget]);
  if (standing === undefined) throw new RefusedError(refuse.notFound('budget', budget.name));
  return viewBudget(budget, standing, tenant);
}

/** @throws RefusedError not-found */
async function findBudget(rows: Rows, tenant: Tenant, name: string, forUpdate = false): Promise<Budget> {
  const budget = await rows.budgets.find({ tenantId: tenant.id, name }, forUpdate);
  if (budget === null) throw new RefusedError(refuse.notFound('budget', name));
  return budget;
}

/** @throws RefusedError invalid `key` unless it is one of the tenant's that is in force */
async function demandKey(rows: Rows, tenant: Tenant, publicId: string): Promise<void> {
  const key = await rows.apiKeys.find({ publicId });
  if (key !== null && key.tenantId === tenant.id && key.revokedAt === null) return;
  throw new RefusedError(refuse.invalid('key', `tenant "${tenant.name}" has no key with the public id "${publicId}"`));
}

/** @throws RefusedError conflict at a bound */
async function demandRoom(rows: Rows, tenant: Tenant, keyPublicId: string | null): Promise<void> {
  const present = await rows.budgets.countForInsert(tenant.id, keyPublicId);
  if (present.tenant >= BUDGETS_PER_TENANT_MAX) {
    throw new RefusedError(refuse.conflict(`a tenant has at most ${BUDGETS_PER_TENANT_MAX} budgets`));
  }
  if (present.scope < BUDGETS_PER_SCOPE_MAX) return;
  const whose = keyPublicId === null ? 'a whole tenant' : 'a key';
  throw new RefusedError(refuse.conflict(`${whose} has at most ${BUDGETS_PER_SCOPE_MAX} budgets`));
}

/** @param problem why somebody could spend more; null: nobody could. @throws RefusedError forbidden */
function demandMayGive(actor: Actor, budget: Budget, problem: string | null): void {
  if (problem === null) return;
  if (budget.keyPublicId === null) demandInstallation(actor, `gives tenants more: ${problem}`);
  if (actor.name === `key:${budget.keyPublicId}`) {
    throw new RefusedError(refuse.forbidden(`No key gives itself more: ${problem}. Use another one.`));
  }
}

/** @throws RefusedError forbidden */
function demandInstallation({ tenantId }: Actor, what: string): void {
  if (tenantId === DEFAULT_TENANT_ID) return;
  throw new RefusedError(refuse.forbidden(`Only a key of the installation’s own tenant ${what}.`));
}
