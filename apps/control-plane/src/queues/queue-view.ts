// A queue as the API shows it: what is said of it, what it uses, and who waits in it.

import type { QueueDetailDto, QueueDto } from '#contracts';
import { QUEUE_ENTRIES_SHOWN_MAX } from '#contracts';
import {
  DEVICE_TYPES,
  type DeviceCounts,
  type DeviceType,
  type Job,
  type Queue,
  type QueueHold,
  type QueueTally,
  type Rows,
} from '#domain';
import { QuotaTree } from '#scheduling';

/** Of all queues of a tenant, read once. */
export interface QueueAccounts {
  readonly queues: readonly Queue[];
  readonly tree: QuotaTree;
  readonly held: readonly QueueHold[];
  readonly tallies: readonly QueueTally[];
}

/** @param totals devices of the whole fleet */
export async function readAccounts(rows: Rows, tenantId: string, totals: DeviceCounts): Promise<QueueAccounts> {
  const queues = await queuesOf(rows, tenantId);
  const now = new Date();
  const held = await rows.usage.held(tenantId, now, now);
  const tallies = await rows.jobs.tally(tenantId);
  return { queues, tree: treeOf(queues, held, totals), held, tallies };
}

/** All of a tenant's, which are at most QUEUES_PER_TENANT_MAX. */
export function queuesOf(rows: Rows, tenantId: string): Promise<Queue[]> {
  return rows.queues.list({ tenantId, after: null, limit: 200 });
}

/** What everybody else uses does not matter for the use and the share of these. */
export function treeOf(queues: readonly Queue[], held: readonly QueueHold[], totals: DeviceCounts): QuotaTree {
  const tree = new QuotaTree(
    queues.map((queue) => ({ ...queue, recentDeviceSeconds: 0 })),
    totals,
  );
  const known = new Set(queues.map(({ id }) => id));
  for (const { queueId, deviceType, devices } of held) {
    if (known.has(queueId)) tree.charge(queueId, deviceType, devices);
  }
  return tree;
}

/** Pure. */
export function viewQueue(queue: Queue, { queues, tree, held, tallies }: QueueAccounts): QueueDto {
  const { id, name, weight, quota, borrowingLimit, lendingLimit, order, paused, createdAt, revision } = queue;
  const usage = tree.usage(id);
  const share = tree.share(id);
  return {
    ...{ id, name, weight, quota: { ...quota }, order, paused, revision },
    borrowingLimit: borrowingLimit && { ...borrowingLimit },
    lendingLimit: lendingLimit && { ...lendingLimit },
    parent: queues.find((each) => each.id === queue.parentId)?.name ?? null,
    usage,
    borrowed: aboveQuota(usage, quota),
    share: Number.isFinite(share) ? share : null,
    length: sum(tallies.filter((each) => each.queueId === id && isPending(each.phase)).map(({ count }) => count)),
    running: sum(held.filter((each) => each.queueId === id && each.kind === 'job').map(({ holders }) => holders)),
    createdAt: createdAt.toISOString(),
  };
}

/** Its first entries, in the order in which they are considered. */
export async function viewPending(rows: Rows, queueId: string): Promise<QueueDetailDto['pending']> {
  const jobs = await rows.jobs.pending(queueId, QUEUE_ENTRIES_SHOWN_MAX);
  const decisions = await rows.decisions.newestOf(jobs.map(({ id }) => id));
  const decisionOf = new Map(decisions.map((decision) => [decision.subjectId, decision]));
  const entries = jobs.map((job) => {
    const decision = decisionOf.get(job.id);
    const isDecided = decision !== undefined && job.phase === 'Queued' && decision.decidedAt >= job.phaseSince;
    return viewEntry(
      job,
      isDecided ? (decision.detail?.place ?? null) : null,
      isDecided ? decision.outcome : job.reason,
    );
  });
  // Without a place they stay behind those with one, in the order of the rows.
  return entries.sort((left, right) => (left.place ?? Number.MAX_VALUE) - (right.place ?? Number.MAX_VALUE));
}

function viewEntry(job: Job, place: number | null, reason: string): QueueDetailDto['pending'][number] {
  const { name, priority, phase, queuedAt } = job;
  return { job: name, priority, phase, place, reason, queuedAt: queuedAt?.toISOString() ?? null };
}

function aboveQuota(usage: DeviceCounts, quota: DeviceCounts): DeviceCounts {
  const above = DEVICE_TYPES.map((type): [DeviceType, number] => [type, (usage[type] ?? 0) - (quota[type] ?? 0)]);
  return Object.fromEntries(above.filter(([, count]) => count > 0));
}

function isPending(phase: Job['phase']): boolean {
  return phase === 'Waiting' || phase === 'Queued';
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
