/** Whom one preemptor may ask to end in a domain, by its rights and the quota that is full, if one is. */
import type { DeviceType } from '#domain';
import type { Cycle } from './cycle-state.ts';
import type { CapacityDomain, QuotaRejection } from './ports.ts';
import type { PendingWorkload } from './snapshot.ts';
import type { Loss, VictimOption } from './victim-set.ts';
import { pathOf, Rights, type Victim } from './victims.ts';
import type { PlannedStop } from './workload-plan.ts';

export interface Option extends VictimOption {
  readonly victim: Victim;
  readonly cause: PlannedStop['cause'];
}

export class EvictionOptions {
  readonly rights: Rights;
  /** Queue → its place among those that borrow most; made when something is first reclaimed. */
  private ranks: ReadonlyMap<string, number> | null = null;

  /** `rejection`: what the quota has against the preemptor; where a queue is full, victims must be of it or below it. */
  constructor(
    private readonly cycle: Cycle,
    work: PendingWorkload,
    devices: number,
    private readonly rejection: QuotaRejection | null,
  ) {
    this.rights = new Rights(cycle.quota, work, devices);
  }

  of(domain: CapacityDomain): Option[] {
    const options: Option[] = [];
    let hasBudgets = false;
    for (const { victim, devices } of this.cycle.victims.in(domain)) {
      const cause = this.mayEnd(victim);
      if (cause === null) continue;
      hasBudgets ||= victim.running.budget !== null;
      const { priority, startedAtMs, queueId } = victim.running;
      const borrowerRank = cause === 'reclaimed' ? this.rankOf(queueId) : 0;
      options.push({ victim, cause, devices, priority, overdraws: 0, borrowerRank, cost: victim.cost, startedAtMs });
    }
    return hasBudgets ? this.withOverdrafts(options) : options;
  }

  /** Whether anything of the device type that runs in these clusters may be asked. Looks at kinds of work, not at each. */
  anyIn(clusterIds: readonly string[], deviceType: DeviceType): boolean {
    for (const group of this.cycle.books.census.groups) {
      if (group.shield !== null || group.deviceType !== deviceType) continue;
      if (!group.clusterIds.some((clusterId) => clusterIds.includes(clusterId))) continue;
      if (this.cycle.queues.has(group.running.queueId) && this.mayEnd(group) !== null) return true;
    }
    return false;
  }

  /** What freeing `need` devices there must lose at least; null: it cannot be done. Makes no options. */
  lossAtLeast(domain: CapacityDomain, need: number): Loss | null {
    const { lossBound: bound } = this.cycle;
    bound.reset();
    let stays = domain.totalDevices - domain.freeDevices;
    for (const { victim, devices } of this.cycle.victims.in(domain)) {
      if (this.mayEnd(victim) === null) continue;
      bound.add(victim.running.priority, devices, victim.cost, victim.running.startedAtMs);
      stays -= devices;
    }
    const loss = bound.of(need);
    return loss === null ? null : { ...loss, stays };
  }

  private mayEnd(victim: Pick<Victim, 'running' | 'devices'>): PlannedStop['cause'] | null {
    const { rejection, cycle, rights } = this;
    const full = rejection?.queueId ?? null;
    const isOfFullQueue = full === null || pathOf(victim.running.queueId, cycle.queues).includes(full);
    return isOfFullQueue ? rights.usuallyOver(victim) : null;
  }

  private rankOf(queueId: string): number {
    const { queues, quota } = this.cycle;
    if (this.ranks === null) {
      const inOrder = [...queues.keys()].sort((left, right) => quota.compareBorrowers(left, right));
      this.ranks = new Map(inOrder.map((each, rank) => [each, rank]));
    }
    return this.ranks.get(queueId)!;
  }

  /** Of each disruption budget the cheapest may go, as many as it allows; each further one overdraws it. */
  private withOverdrafts(options: readonly Option[]): Option[] {
    const used = new Map<string, number>();
    return [...options].sort(byLossPerDevice).map((option) => {
      const { budget } = option.victim.running;
      if (budget === null) return option;
      const before = used.get(budget.id) ?? 0;
      used.set(budget.id, before + 1);
      return before < this.cycle.victims.budgetLeft(option.victim) ? option : { ...option, overdraws: 1 as const };
    });
  }
}

/** One of each victim, though it has devices in several domains. */
export function distinct(options: readonly Option[]): Option[] {
  return [...new Map(options.map((option) => [option.victim, option])).values()];
}

export function byLossPerDevice(left: Option, right: Option): number {
  return (
    left.overdraws - right.overdraws ||
    left.priority - right.priority ||
    left.borrowerRank - right.borrowerRank ||
    left.cost / left.devices - right.cost / right.devices ||
    right.startedAtMs - left.startedAtMs ||
    (left.victim.running.holderId < right.victim.running.holderId ? -1 : 1)
  );
}
