/** Queues with quotas of GPUs, and accounts of them, for the specs of the quota tree. */
import type { DeviceCounts } from '#domain';
import { QuotaTree } from './quota-tree.ts';
import type { QueueSnapshot } from './snapshot.ts';
import { queue } from './workloads.builders.ts';

export const GPU = 'nvidia.com/gpu';
export const gpus = (count: number): DeviceCounts => ({ [GPU]: count });
/** A root queue with a quota of GPUs, or null for none. */
export const own = (name: string, quota: number | null, rest: Partial<QueueSnapshot> = {}) =>
  queue(name, { quota: quota === null ? {} : gpus(quota), ...rest });

/** Of a fleet of `total` GPUs and 100 cpus. `uses`: queue → GPUs of its own work. */
export function account(
  queues: readonly QueueSnapshot[],
  uses: Readonly<Record<string, number>> = {},
  total = 100,
): QuotaTree {
  const tree = new QuotaTree(queues, { [GPU]: total, cpu: 100 });
  for (const [name, count] of Object.entries(uses)) tree.charge(name, GPU, count);
  return tree;
}
