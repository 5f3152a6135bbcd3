// A queue as the API shows it: what is said of it, what it uses, and who waits in it.

import type { QueueDetailDto, QueueDto } from '#contracts';
import { QUEUE_ENTRIES_SHOWN_MAX } from '#contracts';
import {
  DEVICE_TYPES,
  type Decision,
  type DeviceCounts,
  type DeviceType,
  type Job,
  type Queue,
  type QueueHold,
  type QueueTally,
  type Rows,
} from '#domain';
import { orderPending, QuotaTree } from '#scheduling';
import { workloadOf } from '../jobs/running-workload.ts';
import { waitingReason } from '../jobs/waiting-reason.ts';

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
  const now = await rows.clock.now();
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

/** More are not put in order: who waits behind so many waits long. */
const ENTRIES_ORDERED_MAX = 2_000;

/**
 * Its first entries, each with its place in the queue's own order as it is now, and the reason of its newest decision.
 *
 * @param totals devices of the whole fleet
 */
export async function viewPending(rows: Rows, queue: Queue, totals: DeviceCounts): Promise<QueueDetailDto['pending']> {
  const jobs = await rows.jobs.pending(queue.id, ENTRIES_ORDERED_MAX);
  const queued = jobs.filter(({ phase }) => phase === 'Queued');
  const nowMs = await rows.clock.nowMs();
  const ordered = orderPending(queued.map(workloadOf), queue.order, nowMs, { totals });
  const places = new Map(ordered.map(({ id }, index) => [id, index + 1]));
  const placeOf = ({ id }: Job) => places.get(id) ?? null;
  const shown = [...jobs]
    .sort((left, right) => (placeOf(left) ?? Number.MAX_VALUE) - (placeOf(right) ?? Number.MAX_VALUE))
    .slice(0, QUEUE_ENTRIES_SHOWN_MAX);
  const decisions = await rows.decisions.newestOf(shown.map(({ id }) => id));
  const decisionOf = new Map(decisions.map((decision) => [decision.subjectId, decision]));
  return shown.map((job) => viewEntry(job, placeOf(job), decisionOf.get(job.id)));
}

function viewEntry(job: Job, place: number | null, decision: Decision | undefined): QueueDetailDto['pending'][number] {
  const { name, priority, phase, queuedAt } = job;
  const isDecided = decision !== undefined && phase === 'Queued' && decision.decidedAt >= job.phaseSince;
  const reason = isDecided ? waitingReason(job, decision.outcome) : job.reason;
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
