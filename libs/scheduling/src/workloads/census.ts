/** How many run of each kind, so that why none of them is a victim can be told without looking at each. */
import type { DeviceType } from '#domain';
import type { Cycle } from './cycle-state.ts';
import type { RunningWorkload } from './snapshot.ts';
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
  let last: Group | null = null;
  for (const each of running) {
    const victim = victims.of(each.holderId) ?? null;
    // What runs side by side is often alike, and a key is dear.
    if (last === null || victim === null || !isLike(last, each, victim)) last = groupOf(groups, each, victim, nowMs);
    last.count += 1;
  }
  return [...groups.values()];
}

function isLike(group: Group, { tasks, claim, queueId, priority }: RunningWorkload, { devices }: Victim): boolean {
  const { victim } = group;
  return (
    victim !== null &&
    group.clusterIds.length === 1 &&
    tasks.length === 1 &&
    tasks[0]!.clusterId === group.clusterIds[0] &&
    claim.deviceType === group.deviceType &&
    queueId === victim.running.queueId &&
    priority === victim.running.priority &&
    devices === victim.devices
  );
}

function groupOf(groups: Map<string, Group>, each: RunningWorkload, victim: Victim | null, nowMs: number): Group {
  const { deviceType } = each.claim;
  const shield = victim === null ? (shieldOf(each, nowMs) ?? 'already end') : null;
  const clusterIds = each.tasks.length === 1 ? [each.tasks[0]!.clusterId] : distinctClusters(each.tasks);
  const kind = victim === null ? shield : `${each.queueId} ${each.priority} ${victim.devices}`;
  const key = `${deviceType} ${clusterIds.join(' ')} ${kind}`;
  const known = groups.get(key);
  if (known !== undefined) return known;
  const group = { deviceType, clusterIds, shield, victim, count: 0 };
  groups.set(key, group);
  return group;
}

function distinctClusters(tasks: readonly { readonly clusterId: string }[]): string[] {
  return [...new Set(tasks.map(({ clusterId }) => clusterId))].sort();
}
