/**
 * What was tried in vain in this cycle, so that nothing like it is tried again until room comes free: a flood of equal
 * workloads costs a lookup each.
 */
import type { Outlook } from './outlook.ts';

export class Refusals {
  private readonly keys = new Set<string | number>();
  /** Kind of preemptor → the highest priority at which a search for victims found none. */
  private readonly vainPriorities = new Map<string, number>();
  private freedTimes = 0;

  constructor(private readonly outlook: Outlook) {}

  /** As long as this is true, nothing need be known of a workload to know that its like was not refused. */
  get isEmpty(): boolean {
    return this.keys.size === 0;
  }

  has(key: string | number): boolean {
    this.expire();
    return this.keys.has(key);
  }

  add(key: string | number): void {
    this.expire();
    this.keys.add(key);
  }

  /** A lower priority has no right that a higher one of its queue has not. */
  isVain(kind: string, priority: number): boolean {
    this.expire();
    return priority <= (this.vainPriorities.get(kind) ?? -1);
  }

  addVain(kind: string, priority: number): void {
    this.expire();
    this.vainPriorities.set(kind, Math.max(priority, this.vainPriorities.get(kind) ?? -1));
  }

  private expire(): void {
    if (this.freedTimes === this.outlook.freedTimes) return;
    this.freedTimes = this.outlook.freedTimes;
    this.keys.clear();
    this.vainPriorities.clear();
  }
}
