/**
 * Tenants and what they used. A tenant is made whole: with its queue, the classes that everybody has, and a first key,
 * for without one nobody could speak for it. Only the installation's own tenant makes others and sees them; everybody
 * else sees itself.
 */
import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import type {
  pageQuerySchema,
  QueueDto,
  TenantCreated,
  TenantDetailDto,
  TenantDto,
  UsageDto,
  updateQueueSchema,
} from '#contracts';
import {
  type ApiKey,
  DEFAULT_PRIORITY_CLASSES,
  DEFAULT_QUEUE_NAME,
  DEFAULT_TENANT_ID,
  type Queue,
  RefusedError,
  type Rows,
  refuse,
  Store,
  type Tenant,
  utcDay,
} from '#domain';
import type { Actor } from '../auth/actor.ts';
import { Authentication } from '../auth/authentication.ts';
import { demandMatch, repeatable } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { type Page, readPage } from '../mutations/pages.ts';
import { queuesOf } from '../queues/queue-view.ts';
import { Queues, type QueueTarget } from '../queues/queues.ts';
import { Secrets } from '../secrets/secrets.ts';
import { summarise } from './usage-summary.ts';
import { visibleTenant } from './visible-tenant.ts';
import { leftWords } from './what-is-left.ts';

const DAY_MS = 86_400_000;
const SINCE_DAYS_DEFAULT = 30;
const TENANTS_MAX = 1_000;

@Injectable()
export class Tenants {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
    private readonly secrets: Secrets,
    private readonly queues: Queues,
    private readonly authentication: Authentication,
  ) {}

  async create(actor: Actor, name: string, idempotencyKey: string | undefined): Promise<TenantCreated> {
    if (actor.tenantId !== DEFAULT_TENANT_ID) {
      throw new RefusedError(refuse.forbidden('Only keys of the installation’s own tenant make tenants.'));
    }
    return this.mutations.create(actor, 'tenants.create', repeatable(idempotencyKey, { name }), async (rows) => {
      if ((await rows.tenants.all()).length >= TENANTS_MAX) {
        throw new RefusedError(refuse.conflict(`an installation has at most ${TENANTS_MAX} tenants`));
      }
      const tenant: Tenant = { id: uuidv7(), name, createdAt: new Date() };
      await rows.tenants.insert(tenant);
      await furnish(rows, tenant);
      const { publicId, secretHash, offlineHash, token } = this.secrets.mint('atoll');
      const key: ApiKey = {
        ...{ id: uuidv7(), tenantId: tenant.id, name: 'first', publicId, secretHash, role: 'admin', models: null },
        ...{ offlineHash, expiresAt: null, revokedAt: null, createdAt: tenant.createdAt },
      };
      await rows.apiKeys.insert(key);
      const result = { ...viewTenant(tenant), token };
      return { result, targetKind: 'tenant', targetId: tenant.id, detail: { name, publicId } };
    });
  }

  async list({ tenantId }: Actor, query: z.output<typeof pageQuerySchema>): Promise<Page<TenantDto>> {
    const { tenants } = this.store.read;
    const page = await readPage(tenantId, query, async ({ after, limit }) => {
      if (tenantId === DEFAULT_TENANT_ID) return tenants.list({ after, limit });
      const own = await tenants.find({ id: tenantId });
      return own === null || (after !== null && own.id <= after) ? [] : [own];
    });
    return { ...page, items: page.items.map(viewTenant) };
  }

  /** As all that follow: @throws RefusedError not-found for what the caller does not see */
  async get(actor: Actor, name: string): Promise<TenantDetailDto> {
    const tenant = await visibleTenant(this.store.read, actor, name);
    const holds = await this.store.read.tenants.holdings(tenant.id);
    return { ...viewTenant(tenant), holds: holds.map((each) => ({ ...each, names: [...each.names] })) };
  }

  /** What it was given from the start goes with it, and its queues; its keys are revoked. Refused while more is left. */
  async remove(actor: Actor, target: QueueTarget): Promise<void> {
    const { id } = await visibleTenant(this.store.read, actor, target.name);
    if (actor.tenantId !== DEFAULT_TENANT_ID) {
      throw new RefusedError(refuse.forbidden('Only keys of the installation’s own tenant remove tenants.'));
    }
    if (id === DEFAULT_TENANT_ID) throw new RefusedError(refuse.conflict('it is the installation’s own tenant'));
    await this.mutations.run(actor, 'tenants.delete', async (rows) => {
      const tenant = await rows.tenants.find({ id }, true);
      if (tenant === null) throw new RefusedError(refuse.notFound('tenant', target.name));
      demandMatch(target.ifMatch, viewTenant(tenant));
      const left = await rows.tenants.holdings(id);
      if (left.length > 0) throw new RefusedError(refuse.conflict(leftWords(tenant.name, left)));
      await rows.tenants.remove(id);
      return { result: undefined, targetKind: 'tenant', targetId: id, detail: { name: tenant.name } };
    });
    this.authentication.forget();
  }

  async queuesOf(actor: Actor, name: string, query: z.output<typeof pageQuerySchema>): Promise<Page<QueueDto>> {
    return this.queues.list((await visibleTenant(this.store.read, actor, name)).id, query);
  }

  async queueOf(actor: Actor, name: string, queue: string): Promise<QueueDto> {
    return this.queues.getAccount((await visibleTenant(this.store.read, actor, name)).id, queue);
  }

  async updateQueue(
    actor: Actor,
    tenantName: string,
    target: QueueTarget,
    change: z.output<typeof updateQueueSchema>,
  ): Promise<QueueDto> {
    const { id } = await visibleTenant(this.store.read, actor, tenantName);
    return this.queues.update(actor, target, change, id);
  }

  /** @param name default: the caller's own */
  async usage(actor: Actor, name: string | undefined, since: string | undefined): Promise<UsageDto> {
    const { read } = this.store;
    const tenant = await visibleTenant(read, actor, name);
    const now = await read.clock.now();
    const today = utcDay(now.getTime());
    const day = since ?? utcDay(now.getTime() - SINCE_DAYS_DEFAULT * DAY_MS);
    if (day > today) throw new RefusedError(refuse.invalid('since', `is to come: today is ${today} (UTC)`));
    const charged = await read.usage.since(day, tenant.id);
    const held = await read.usage.held(tenant.id, new Date(`${day}T00:00:00Z`), now);
    const queues = { present: await queuesOf(read, tenant.id), removed: await read.queues.removed(tenant.id) };
    return summarise({ tenant: tenant.name, since: day }, queues, charged, held);
  }
}

/** What every tenant has from the start. */
async function furnish(rows: Rows, { id: tenantId, createdAt }: Tenant): Promise<void> {
  const queue: Queue = {
    ...{ id: uuidv7(), tenantId, name: DEFAULT_QUEUE_NAME, parentId: null, weight: 1, quota: {} },
    ...{ borrowingLimit: null, lendingLimit: null, order: 'class-shortest', paused: false, createdAt, revision: 1 },
  };
  await rows.queues.insert(queue);
  for (const each of DEFAULT_PRIORITY_CLASSES) {
    await rows.priorityClasses.insert({ id: uuidv7(), tenantId, ...each, createdAt, revision: 1 });
  }
}

/** Nothing of a tenant itself is ever changed. */
function viewTenant({ id, name, createdAt }: Tenant): TenantDto {
  return { id, name, createdAt: createdAt.toISOString(), revision: 1 };
}
