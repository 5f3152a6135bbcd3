/** The one queue of a replay: no trace says what its tenants were promised. */
import { DEFAULT_TENANT_ID, type QueueOrder } from '#domain';
import type { QueueSnapshot } from '#scheduling';
import { REPLAY_QUEUE_ID } from './job-states.ts';

export function replayQueue(order: QueueOrder): QueueSnapshot {
  return {
    id: REPLAY_QUEUE_ID,
    name: REPLAY_QUEUE_ID,
    tenantId: DEFAULT_TENANT_ID,
    parentId: null,
    weight: 1,
    quota: {},
    borrowingLimit: null,
    lendingLimit: null,
    order,
    paused: false,
    recentDeviceSeconds: 0,
  };
}
