/**
 * How many run of each kind, kept from cycle to cycle: so why none of them is a victim, and whether any could be, can be
 * told without looking at each.
 */
import type { DeviceType } from '#domain';
import type { RunningWorkload } from '../snapshot.ts';
import { shieldOf, shieldPasses } from '../victims.ts';
import { devicesOf } from './charges.ts';
import type { RosterChange } from './roster.ts';

/** Of equal clusters, device type, and either shield or queue, priority and size. */
export interface Group {
  readonly deviceType: DeviceType;
  readonly clusterIds: readonly string[];
  /** Why they are no victims of anybody; null: they might be. */
  readonly shield: string | null;
  /** One of them, though it may be gone by now: for rights, all that nothing shields are like it. */
  readonly running: RunningWorkload;
  /** Of its members together. */
  readonly devices: number;
  readonly count: number;
}

type Counted = { -readonly [Key in keyof Group]: Group[Key] };

export class Census {
  private readonly byKey = new Map<string, Counted>();
  private readonly groupOf = new Map<RunningWorkload, Counted>();
  /** Those whose shield passes with time. */
  private readonly shieldedForNow = new Set<RunningWorkload>();
  private last: Counted | null = null;

  constructor(
    running: Iterable<RunningWorkload>,
    private nowMs: number,
  ) {
    for (const each of running) this.enter(each);
  }

  get groups(): Iterable<Group> {
    return this.byKey.values();
  }

  /** The group that something that runs is in. */
  of(running: RunningWorkload): Group {
    return this.groupOf.get(running)!;
  }

  /** `nowMs` is not before that of the last update. */
  update({ gone, come }: RosterChange, nowMs: number): void {
    this.nowMs = nowMs;
    for (const each of gone) this.leave(each);
    for (const each of [...this.shieldedForNow]) {
      if (shieldOf(each, nowMs) === this.groupOf.get(each)!.shield) continue;
      this.leave(each);
      this.enter(each);
    }
    for (const each of come) this.enter(each);
  }

  private enter(running: RunningWorkload): void {
    const shield = shieldOf(running, this.nowMs);
    // What runs side by side is often alike, and a key is dear.
    const group = this.last !== null && isLike(this.last, running, shield) ? this.last : this.find(running, shield);
    group.count += 1;
    this.groupOf.set(running, group);
    this.last = group;
    if (shield !== null && shieldPasses(running, this.nowMs)) this.shieldedForNow.add(running);
  }

  private leave(running: RunningWorkload): void {
    const group = this.groupOf.get(running)!;
    this.groupOf.delete(running);
    this.shieldedForNow.delete(running);
    group.count -= 1;
    if (group.count > 0) return;
    this.byKey.delete(keyOf(group.running, group.shield));
    if (this.last === group) this.last = null;
  }

  private find(running: RunningWorkload, shield: string | null): Counted {
    const key = keyOf(running, shield);
    const known = this.byKey.get(key);
    if (known !== undefined) return known;
    const { deviceType } = running.claim;
    const clusterIds = distinctClusters(running);
    const group = { deviceType, clusterIds, shield, running, devices: devicesOf(running), count: 0 };
    this.byKey.set(key, group);
    return group;
  }
}

function isLike(group: Group, running: RunningWorkload, shield: string | null): boolean {
  const { tasks, claim, queueId, priority } = running;
  return (
    shield === group.shield &&
    group.clusterIds.length === 1 &&
    tasks.length === 1 &&
    tasks[0]!.clusterId === group.clusterIds[0] &&
    claim.deviceType === group.deviceType &&
    (shield !== null ||
      (queueId === group.running.queueId &&
        priority === group.running.priority &&
        devicesOf(running) === group.devices))
  );
}

function keyOf(running: RunningWorkload, shield: string | null): string {
  const { claim, queueId, priority } = running;
  const kind = shield ?? `${queueId} ${priority} ${devicesOf(running)}`;
  return `${claim.deviceType} ${distinctClusters(running).join(' ')} ${kind}`;
}

function distinctClusters({ tasks }: RunningWorkload): string[] {
  return tasks.length === 1 ? [tasks[0]!.clusterId] : [...new Set(tasks.map(({ clusterId }) => clusterId))].sort();
}
