// Priority classes: named numbers. What was submitted keeps the number that its class had then.

import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import type { createPriorityClassSchema, PriorityClassDto, updatePriorityClassSchema } from '#contracts';
import { DEFAULT_PRIORITY_CLASSES, type PriorityClass, RefusedError, type Rows, refuse, Store } from '#domain';
import type { Actor } from '../auth/actor.ts';
import { demandMatch, repeatable } from '../mutations/headers.ts';
import { Mutations } from '../mutations/mutations.ts';
import { type Page, type PageQuery, readPage } from '../mutations/pages.ts';
import { changesIn } from './changes-in.ts';
import type { QueueTarget } from './queues.ts';

@Injectable()
export class PriorityClasses {
  constructor(
    private readonly store: Store,
    private readonly mutations: Mutations,
  ) {}

  create(
    actor: Actor,
    wanted: z.output<typeof createPriorityClassSchema>,
    idempotencyKey: string | undefined,
  ): Promise<PriorityClassDto> {
    return this.mutations.create(actor, 'priority-classes.create', repeatable(idempotencyKey, wanted), async (rows) => {
      const ids = { id: uuidv7(), tenantId: actor.tenantId };
      const priorityClass: PriorityClass = { ...ids, ...wanted, createdAt: new Date(), revision: 1 };
      await rows.priorityClasses.insert(priorityClass);
      return { ...of(priorityClass, { ...wanted }), result: viewPriorityClass(priorityClass) };
    });
  }

  async list(tenantId: string, query: PageQuery): Promise<Page<PriorityClassDto>> {
    const page = await readPage(tenantId, query, (request) => this.store.read.priorityClasses.list(request));
    return { ...page, items: page.items.map(viewPriorityClass) };
  }

  async get(tenantId: string, name: string): Promise<PriorityClassDto> {
    return viewPriorityClass(await findPriorityClass(this.store.read, tenantId, name));
  }

  update(
    actor: Actor,
    target: QueueTarget,
    change: z.output<typeof updatePriorityClassSchema>,
  ): Promise<PriorityClassDto> {
    return this.mutations.run(actor, 'priority-classes.update', async (rows) => {
      const present = await findPriorityClass(rows, actor.tenantId, target.name);
      demandMatch(target.ifMatch, present);
      const given = changesIn(present, change);
      const changed = { ...present, ...given, revision: await writeClass(rows, present, given) };
      return { ...of(present, { name: present.name, ...given }), result: viewPriorityClass(changed) };
    });
  }

  /** What was submitted with it keeps its number and runs on. */
  async remove(actor: Actor, target: QueueTarget): Promise<void> {
    await this.mutations.run(actor, 'priority-classes.delete', async (rows) => {
      const present = await findPriorityClass(rows, actor.tenantId, target.name);
      demandMatch(target.ifMatch, present);
      if (DEFAULT_PRIORITY_CLASSES.some(({ name }) => name === present.name)) {
        throw new RefusedError(refuse.conflict(`every tenant has the class ${present.name}; change it instead`));
      }
      await rows.priorityClasses.remove(present.id);
      return { ...of(present, { name: present.name }), result: undefined };
    });
  }
}

/** @returns the revision from then on. @throws RefusedError precondition */
async function writeClass(rows: Rows, present: PriorityClass, given: Partial<PriorityClass>): Promise<number> {
  if (Object.keys(given).length === 0) return present.revision;
  if (await rows.priorityClasses.update(present.id, present.revision, given)) return present.revision + 1;
  throw new RefusedError(refuse.precondition('The class was changed by somebody else just now; read it again.'));
}

function of({ id }: PriorityClass, detail: Record<string, unknown>) {
  return { targetKind: 'priority-class', targetId: id, detail };
}

/** @throws RefusedError not-found */
async function findPriorityClass(rows: Rows, tenantId: string, name: string): Promise<PriorityClass> {
  const found = await rows.priorityClasses.find({ tenantId, name });
  if (found === null) throw new RefusedError(refuse.notFound('priority class', name));
  return found;
}

function viewPriorityClass(priorityClass: PriorityClass): PriorityClassDto {
  const { id, name, priority, preemption, preemptible, createdAt, revision } = priorityClass;
  return { id, name, priority, preemption, preemptible, createdAt: createdAt.toISOString(), revision };
}
