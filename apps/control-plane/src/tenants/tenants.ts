/**
 * Tenants and what they used. A tenant is made whole: with its queue, the classes that everybody has, and a first key,
 * for without one nobody could speak for it. Only the installation's own tenant makes others and sees them; everybody
 * else sees itself.
 */
import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import type { QueueDto, TenantCreated, TenantDto, UsageDto, updateQueueSchema } from '#contracts';
import {
  type ApiKey,
  DEFAULT_PRIORITY_CLASSES,
  DEFAULT_QUEUE_NAME,
  DEFAULT_TENANT_ID,
  type Queue,
  type QueueHold,
  type QueueUsage,
  RefusedError,
  type Rows,
  refuse,
  Store,
  type Tenant,
  utcDay,
} from '#domain';
import type { Actor } from '../auth/actor.ts';
import { repeatable } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { queuesOf } from '../queues/queue-view.ts';
import { Queues, type QueueTarget } from '../queues/queues.ts';
import { Secrets } from '../secrets/secrets.ts';
import { visibleTenant } from './visible-tenant.ts';

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

  async list({ tenantId }: Actor): Promise<TenantDto[]> {
    const tenants = await this.store.read.tenants.all();
    return tenants.filter(({ id }) => tenantId === DEFAULT_TENANT_ID || id === tenantId).map(viewTenant);
  }

  /** @throws RefusedError not-found for what the caller does not see */
  async updateQueue(
    actor: Actor,
    tenantName: string,
    target: QueueTarget,
    change: z.output<typeof updateQueueSchema>,
  ): Promise<QueueDto> {
    const { id } = await visibleTenant(this.store.read, actor, tenantName);
    return this.queues.update(actor, target, change, id);
  }

  /** @param name default: the caller's own. @throws RefusedError not-found for what the caller does not see */
  async usage(actor: Actor, name: string | undefined, since: string | undefined): Promise<UsageDto> {
    const { read } = this.store;
    const tenant = await visibleTenant(read, actor, name);
    const now = await read.clock.now();
    const day = since ?? utcDay(now.getTime() - SINCE_DAYS_DEFAULT * DAY_MS);
    const charged = await read.usage.since(day, tenant.id);
    const held = await read.usage.held(tenant.id, new Date(`${day}T00:00:00Z`), now);
    return summarise({ tenant: tenant.name, since: day }, await queuesOf(read, tenant.id), charged, held);
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

type Row = UsageDto['queues'][number];

/** By queue and device type: what was charged, and what runs. Pure. */
export function summarise(
  of: Pick<UsageDto, 'tenant' | 'since'>,
  queues: readonly Pick<Queue, 'id' | 'name'>[],
  charged: readonly QueueUsage[],
  held: readonly QueueHold[],
): UsageDto {
  const names = new Map(queues.map(({ id, name }) => [id, name]));
  const rows = new Map<string, Row>();
  const add = (queueId: string, deviceType: Row['deviceType'], seconds: Partial<UsageDto['total']>) => {
    const key = `${queueId} ${deviceType}`;
    const queue = names.get(queueId) ?? queueId;
    const before = rows.get(key) ?? { queue, deviceType, ...NOTHING };
    rows.set(key, { ...before, ...addSeconds(before, seconds) });
  };
  for (const { queueId, deviceType, ...seconds } of charged) add(queueId, deviceType, seconds);
  for (const { queueId, deviceType, kind, deviceSeconds } of held) {
    add(
      queueId,
      deviceType,
      kind === 'job' ? { jobDeviceSeconds: deviceSeconds } : { servingDeviceSeconds: deviceSeconds },
    );
  }
  const sorted = [...rows.values()].sort((left, right) =>
    left.queue + left.deviceType < right.queue + right.deviceType ? -1 : 1,
  );
  return { ...of, queues: sorted, total: sorted.reduce((sum, row) => addSeconds(sum, row), NOTHING) };
}

const NOTHING: UsageDto['total'] = { jobDeviceSeconds: 0, servingDeviceSeconds: 0, lostDeviceSeconds: 0 };

function addSeconds(left: UsageDto['total'], right: Partial<UsageDto['total']>): UsageDto['total'] {
  return {
    jobDeviceSeconds: left.jobDeviceSeconds + (right.jobDeviceSeconds ?? 0),
    servingDeviceSeconds: left.servingDeviceSeconds + (right.servingDeviceSeconds ?? 0),
    lostDeviceSeconds: left.lostDeviceSeconds + (right.lostDeviceSeconds ?? 0),
  };
}

function viewTenant({ id, name, createdAt }: Tenant): TenantDto {
  return { id, name, createdAt: createdAt.toISOString() };
}
