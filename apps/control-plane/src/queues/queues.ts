// Queues as intent: who waits where, whose account is charged, and how much is whose own.

import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import type { createQueueSchema, QueueDetailDto, QueueDto, updateQueueSchema } from '#contracts';
import {
  DEFAULT_QUEUE_NAME,
  DEFAULT_TENANT_ID,
  QUEUES_PER_TENANT_MAX,
  type Queue,
  RefusedError,
  type Rows,
  refuse,
  Store,
} from '#domain';
import { queueTreeProblem, quotaBelowUsage, selfGrantProblem } from '#scheduling';
import type { Actor } from '../auth/actor.ts';
import { demandMatch, repeatable } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { type Page, readPage } from '../mutations/pages.ts';
import { FleetDevicesReader } from './fleet-devices.ts';
import { queuesOf, readAccounts, viewPending, viewQueue } from './queue-view.ts';

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
      const result = viewQueue(queue, await readAccounts(rows, actor.tenantId, totals));
      return { result, targetKind: 'queue', targetId: queue.id, detail: { ...wanted } };
    });
  }

  async list(tenantId: string, query: { limit: number; after?: string | undefined }): Promise<Page<QueueDto>> {
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
    const queue = accounts.queues.find((each) => each.name === name);
    if (queue === undefined) throw new RefusedError(refuse.notFound('queue', name));
    return { ...viewQueue(queue, accounts), pending: await viewPending(read, queue, totals) };
  }

  /**
   * A quota below what is used is taken, with a warning: what is above is borrowed from then on.
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
    const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
    return this.mutations.run(actor, 'queues.update', async (rows) => {
      const present = await lockQueues(rows, tenantId);
      const queue = present.find(({ name }) => name === target.name);
      if (queue === undefined) throw new RefusedError(refuse.notFound('queue', target.name));
      demandMatch(target.ifMatch, queue);
      const changed: Queue = { ...queue, ...given };
      demandTree(present, changed);
      demandGranted(actor, present, changed);
      if (!(await rows.queues.update(queue.id, queue.revision, given))) {
        throw new RefusedError(refuse.precondition('The queue was changed by somebody else just now; read it again.'));
      }
      const accounts = await readAccounts(rows, tenantId, totals);
      const written = { ...changed, revision: queue.revision + 1 };
      const warning = quotaBelowUsage(written, accounts.tree.usage(queue.id));
      const result = { ...viewQueue(written, accounts), ...(warning === null ? {} : { warning }) };
      return { result, targetKind: 'queue', targetId: queue.id, detail: { name: queue.name, ...given } };
    });
  }

  /** Refused while anything names it. */
  async remove(actor: Actor, target: QueueTarget): Promise<void> {
    await this.mutations.run(actor, 'queues.delete', async (rows) => {
      const queue = await rows.queues.find({ tenantId: actor.tenantId, name: target.name }, true);
      if (queue === null) throw new RefusedError(refuse.notFound('queue', target.name));
      demandMatch(target.ifMatch, queue);
      if (queue.name === DEFAULT_QUEUE_NAME) {
        throw new RefusedError(refuse.conflict(`the queue ${DEFAULT_QUEUE_NAME} is where work goes that names none`));
      }
      await rows.queues.remove(queue.id);
      return { result: undefined, targetKind: 'queue', targetId: queue.id, detail: { name: queue.name } };
    });
  }
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

/** @throws RefusedError invalid `quota`: the only field whose rule needs the other queues, besides `parent` */
function demandTree(present: readonly Queue[], candidate: Queue): void {
  const problem = queueTreeProblem(present, candidate);
  if (problem !== null) throw new RefusedError(refuse.invalid(/levels/.test(problem) ? 'parent' : 'quota', problem));
}

/** S4: nobody gives itself more of the fleet. @throws RefusedError forbidden, but for the installation's own keys */
function demandGranted({ tenantId }: Actor, present: readonly Queue[], candidate: Queue): void {
  if (tenantId === DEFAULT_TENANT_ID) return;
  const problem = selfGrantProblem(present, candidate);
  if (problem === null) return;
  throw new RefusedError(refuse.forbidden(`Only keys of the installation’s own tenant give more: ${problem}.`));
}
