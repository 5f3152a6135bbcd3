/** How many of each disruption budget may still be stopped; what ends already uses it up. Kept from cycle to cycle. */
import type { RunningWorkload } from '../snapshot.ts';
import type { RosterChange } from './roster.ts';

export class DisruptionBudgets {
  private readonly members = new Map<string, Set<RunningWorkload>>();

  update({ gone, come }: RosterChange): void {
    for (const each of gone) {
      if (each.budget === null) continue;
      const members = this.members.get(each.budget.id)!;
      members.delete(each);
      if (members.size === 0) this.members.delete(each.budget.id);
    }
    for (const each of come) {
      if (each.budget === null) continue;
      const members = this.members.get(each.budget.id) ?? new Set();
      this.members.set(each.budget.id, members.add(each));
    }
  }

  /** Where its members say otherwise of what it allows, the least counts. Infinity: nothing that runs is of it. */
  left(budgetId: string): number {
    let [allowed, ending] = [Number.POSITIVE_INFINITY, 0];
    for (const { budget, isEnding } of this.members.get(budgetId) ?? []) {
      allowed = Math.min(allowed, budget!.allowed);
      if (isEnding) ending += 1;
    }
    return allowed - ending;
  }
}
