// Queues and priority classes by the names that jobs and deployments give.

import { type ClassUse, type PriorityClass, type Queue, RefusedError, type Rows, refuse, whyNotUsed } from '#domain';
import type { Actor } from '../auth/actor.ts';

/** @throws RefusedError invalid `queue` */
export async function namedQueue(rows: Rows, tenantId: string, name: string): Promise<Queue> {
  const queue = await rows.queues.find({ tenantId, name });
  if (queue !== null) return queue;
  const names = (await rows.queues.list({ tenantId, after: null, limit: 20 })).map((each) => each.name);
  throw new RefusedError(refuse.invalid('queue', `there is no queue "${name}"; there are ${names.join(', ')}`));
}

/** @throws RefusedError invalid `priorityClass`, forbidden when the actor's role may not use it so */
export async function namedPriorityClass(
  rows: Rows,
  { tenantId, role }: Pick<Actor, 'tenantId' | 'role'>,
  name: string,
  use: ClassUse,
): Promise<PriorityClass> {
  const priorityClass = await rows.priorityClasses.find({ tenantId, name });
  if (priorityClass !== null) {
    const why = whyNotUsed(role, priorityClass, use);
    if (why !== null) throw new RefusedError(refuse.forbidden(why));
    return priorityClass;
  }
  const names = (await rows.priorityClasses.list({ tenantId, after: null, limit: 20 })).map((each) => each.name);
  const reason = `there is no priority class "${name}"; there are ${names.join(', ')}`;
  throw new RefusedError(refuse.invalid('priorityClass', reason));
}
