/** How many run of each kind, so that why none of them is a victim can be told without looking at each. */
import type { DeviceType } from '#domain';
import type { Cycle } from './cycle-state.ts';
import { shieldOf, type Victim } from './victims.ts';

export interface Group {
  readonly deviceType: DeviceType;
  readonly clusterIds: readonly string[];
  /** Why they are no victims of anybody; null: they might be. */
  readonly shield: string | null;
  /** One of them: for rights, all are like it. */
  readonly victim: Victim | null;
  count: number;
}

/** Groups of equal clusters, device type, and either shield or queue, priority and size. */
export function takeCensus({ running, victims, nowMs }: Cycle): readonly Group[] {
  const groups = new Map<string, Group>();
  for (const each of running) {
    const victim = victims.of(each.holderId) ?? null;
    const shield = victim === null ? (shieldOf(each, nowMs) ?? 'already end') : null;
    const clusterIds = each.tasks.length === 1 ? [each.tasks[0]!.clusterId] : distinctClusters(each.tasks);
    const kind = victim === null ? shield : `${each.queueId} ${each.priority} ${victim.devices}`;
    const key = `${each.claim.deviceType} ${clusterIds.join(' ')} ${kind}`;
    const group = groups.get(key);
    if (group === undefined)
      groups.set(key, { deviceType: each.claim.deviceType, clusterIds, shield, victim, count: 1 });
    else group.count += 1;
  }
  return [...groups.values()];
}

function distinctClusters(tasks: readonly { readonly clusterId: string }[]): string[] {
  return [...new Set(tasks.map(({ clusterId }) => clusterId))].sort();
}
