// Queues and priority classes by the names that jobs and deployments give.

import { type PriorityClass, type Queue, RefusedError, type Rows, refuse } from '#domain';

/** @throws RefusedError invalid `queue` */
export async function namedQueue(rows: Rows, tenantId: string, name: string): Promise<Queue> {
  const queue = await rows.queues.find({ tenantId, name });
  if (queue !== null) return queue;
  const names = (await rows.queues.list({ tenantId, after: null, limit: 20 })).map((each) => each.name);
  throw new RefusedError(refuse.invalid('queue', `there is no queue "${name}"; there are ${names.join(', ')}`));
}

/** @throws RefusedError invalid `priorityClass` */
export async function namedPriorityClass(rows: Rows, tenantId: string, name: string): Promise<PriorityClass> {
  const priorityClass = await rows.priorityClasses.find({ tenantId, name });
  if (priorityClass !== null) return priorityClass;
  const names = (await rows.priorityClasses.list({ tenantId, after: null, limit: 20 })).map((each) => each.name);
  const reason = `there is no priority class "${name}"; there are ${names.join(', ')}`;
  throw new RefusedError(refuse.invalid('priorityClass', reason));
}
