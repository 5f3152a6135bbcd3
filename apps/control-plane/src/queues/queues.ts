// Queues as intent: who waits where, whose account is charged, and how much is whose own.

import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import type { createQueueSchema, QueueDetailDto, QueueDto, updateQueueSchema } from '#contracts';
import {
  DEFAULT_QUEUE_NAME,
  DEFAULT_TENANT_ID,
  type DeviceCounts,
  QUEUES_PER_TENANT_MAX,
  type Queue,
  RefusedError,
  type Rows,
  refuse,
  Store,
} from '#domain';
import { queueTreeProblem, quotaWarning, selfGrantProblem } from '#scheduling';
import type { Actor } from '../auth/actor.ts';
import { demandMatch, repeatable } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { type Page, type PageQuery, readPage } from '../mutations/pages.ts';
import { changesIn } from './changes-in.ts';
import { FleetDevicesReader } from './fleet-devices.ts';
import { type QueueAccounts, queuesOf, readAccounts, viewPending, viewQueue } from './queue-view.ts';
import { whatNamesQueue } from './what-names-queue.ts';

export interface QueueTarget {
  readonly name: string;
  readonly ifMatch: string | undefined;
}

@Injectable()
export class Queues {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
    private readonly fleet: FleetDevicesReader,
  ) {}

  async create(
    actor: Actor,
    wanted: z.output<typeof createQueueSchema>,
    idempotencyKey: string | undefined,
  ): Promise<QueueDto> {
    const { totals } = await this.fleet.read();
    return this.mutations.create(actor, 'queues.create', repeatable(idempotencyKey, wanted), async (rows) => {
      const present = await lockQueues(rows, actor.tenantId);
      if (present.length >= QUEUES_PER_TENANT_MAX) {
        throw new RefusedError(refuse.conflict(`a tenant has at most ${QUEUES_PER_TENANT_MAX} queues`));
      }
      const queue = newQueue(actor.tenantId, wanted, present);
      demandTree(present, queue);
      demandGranted(actor, present, queue);
      await rows.queues.insert(queue);
      const result = warned(queue, await readAccounts(rows, actor.tenantId, totals), totals);
      return { result, targetKind: 'queue', targetId: queue.id, detail: { ...wanted } };
    });
  }

  async list(tenantId: string, query: PageQuery): Promise<Page<QueueDto>> {
    const { read } = this.store;
    const page = await readPage(tenantId, query, (request) => read.queues.list(request));
    const accounts = await readAccounts(read, tenantId, (await this.fleet.read()).totals);
    const known = new Set(accounts.queues.map(({ id }) => id));
    // One that was made or removed between the two reads is shown next time.
    return { ...page, items: page.items.filter(({ id }) => known.has(id)).map((queue) => viewQueue(queue, accounts)) };
  }

  async get(tenantId: string, name: string): Promise<QueueDetailDto> {
    const { read } = this.store;
    const { totals } = await this.fleet.read();
    const accounts = await readAccounts(read, tenantId, totals);
    const queue = findQueue(accounts.queues, name);
    return { ...viewQueue(queue, accounts), pending: await viewPending(read, queue, totals) };
  }

  /** As `get`, without who waits in it: other tenants' work is named to nobody. */
  async getAccount(tenantId: string, name: string): Promise<QueueDto> {
    const accounts = await readAccounts(this.store.read, tenantId, (await this.fleet.read()).totals);
    return viewQueue(findQueue(accounts.queues, name), accounts);
  }

  /**
   * A quota below what is used, or above what there is, is taken with a warning: what is used above it is borrowed from
   * then on. What says nothing new changes nothing.
   *
   * @param tenantId whose queue; default: the actor's own
   */
  async update(
    actor: Actor,
    target: QueueTarget,
    change: z.output<typeof updateQueueSchema>,
    tenantId: string = actor.tenantId,
  ): Promise<QueueDto> {
    const { totals } = await this.fleet.read();
    return this.mutations.run(actor, 'queues.update', async (rows) => {
      const present = await lockQueues(rows, tenantId);
      const queue = findQueue(present, target.name);
      demandMatch(target.ifMatch, queue);
      const given = changesIn(queue, change);
      const changed: Queue = { ...queue, ...given };
      demandTree(present, changed);
      demandGranted(actor, present, changed);
      const revision = await writeQueue(rows, queue, given);
      const accounts = await readAccounts(rows, tenantId, totals);
      const written = { ...changed, revision };
      const result = change.quota === undefined ? viewQueue(written, accounts) : warned(written, accounts, totals);
      return { result, targetKind: 'queue', targetId: queue.id, detail: { name: queue.name, ...given } };
    });
  }

  /** Refused while anything names it, and says what. */
  async remove(actor: Actor, target: QueueTarget): Promise<void> {
    await this.mutations.run(actor, 'queues.delete', async (rows) => {
      const present = await lockQueues(rows, actor.tenantId);
      const queue = await rows.queues.find({ tenantId: actor.tenantId, name: target.name }, true);
      if (queue === null) throw new RefusedError(refuse.notFound('queue', target.name));
      demandMatch(target.ifMatch, queue);
      if (queue.name === DEFAULT_QUEUE_NAME) {
        throw new RefusedError(refuse.conflict(`the queue ${DEFAULT_QUEUE_NAME} is where work goes that names none`));
      }
      const reason = await whatNamesQueue(rows, queue, present);
      if (reason !== null) throw new RefusedError(refuse.conflict(reason));
      await rows.queues.remove(queue.id);
      return { result: undefined, targetKind: 'queue', targetId: queue.id, detail: { name: queue.name } };
    });
  }
}

/** @throws RefusedError not-found */
function findQueue(queues: readonly Queue[], wanted: string): Queue {
  const queue = queues.find(({ name }) => name === wanted);
  if (queue === undefined) throw new RefusedError(refuse.notFound('queue', wanted));
  return queue;
}

/** @returns the revision from then on. @throws RefusedError precondition */
async function writeQueue(rows: Rows, queue: Queue, given: Partial<Queue>): Promise<number> {
  if (Object.keys(given).length === 0) return queue.revision;
  if (await rows.queues.update(queue.id, queue.revision, given)) return queue.revision + 1;
  throw new RefusedError(refuse.precondition('The queue was changed by somebody else just now; read it again.'));
}

function warned(queue: Queue, accounts: QueueAccounts, fleet: DeviceCounts): QueueDto {
  const warning = quotaWarning(accounts.queues, queue, { used: accounts.tree.usage(queue.id), fleet });
  return { ...viewQueue(queue, accounts), ...(warning === null ? {} : { warning }) };
}

/** Two changes of one tree would each fit alone and not together: whoever changes one holds the row that is always there. */
async function lockQueues(rows: Rows, tenantId: string): Promise<Queue[]> {
  await rows.queues.find({ tenantId, name: DEFAULT_QUEUE_NAME }, true);
  return queuesOf(rows, tenantId);
}

function newQueue(tenantId: string, wanted: z.output<typeof createQueueSchema>, present: readonly Queue[]): Queue {
  const { parent, ...rest } = wanted;
  const above = parent === undefined ? null : present.find(({ name }) => name === parent);
  if (above === undefined) throw new RefusedError(refuse.invalid('parent', `there is no queue "${parent}"`));
  return { id: uuidv7(), tenantId, ...rest, parentId: above?.id ?? null, createdAt: new Date(), revision: 1 };
}

/** @throws RefusedError invalid */
function demandTree(present: readonly Queue[], candidate: Queue): void {
  const problem = queueTreeProblem(present, candidate);
  if (problem === null) return;
  const field = /levels/.test(problem) ? 'parent' : /^weight/.test(problem) ? 'weight' : 'quota';
  throw new RefusedError(refuse.invalid(field, problem));
}

/** S4: nobody gives itself more of the fleet. @throws RefusedError forbidden, but for the installation's own keys */
function demandGranted({ tenantId }: Actor, present: readonly Queue[], candidate: Queue): void {
  if (tenantId === DEFAULT_TENANT_ID) return;
  const problem = selfGrantProblem(present, candidate);
  if (problem === null) return;
  throw new RefusedError(refuse.forbidden(`Only keys of the installation’s own tenant give more: ${problem}.`));
}
