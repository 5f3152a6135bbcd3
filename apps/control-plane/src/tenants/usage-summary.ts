// What a tenant used, added up for people: by queue and device type.

import type { UsageDto } from '#contracts';
import type { Queue, QueueHold, QueueUsage } from '#domain';

type Row = UsageDto['queues'][number];

type Named = Pick<Queue, 'id' | 'name'>;

/** By queue and device type: what was charged, and what runs. What a queue used it used, removed or not. Pure. */
export function summarise(
  of: Pick<UsageDto, 'tenant' | 'since'>,
  queues: { readonly present: readonly Named[]; readonly removed: readonly Named[] },
  charged: readonly QueueUsage[],
  held: readonly QueueHold[],
): UsageDto {
  const names = new Map([
    ...queues.removed.map(({ id, name }) => [id, `${name} (removed)`] as const),
    ...queues.present.map(({ id, name }) => [id, name] as const),
  ]);
  const rows = new Map<string, Row>();
  const add = (queueId: string, deviceType: Row['deviceType'], seconds: Partial<UsageDto['total']>) => {
    const key = `${queueId} ${deviceType}`;
    const queue = names.get(queueId) ?? `${queueId} (removed)`;
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
