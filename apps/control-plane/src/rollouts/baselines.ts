/**
 * What had been counted of both versions when a rollout's first new replica served: only what came after speaks of the
 * rollout. In the leader's memory: a new leader begins a new comparison, and forgets nothing that it could have known,
 * because what others counted before it listened is unknown to it anyway.
 */
import type { Rollout } from '#domain';
import type { ComparedOutcomes } from '#scheduling';
import { type OutcomesMemory, outcomesSince } from '../federation/outcomes-memory.ts';

export class Baselines {
  private readonly taken = new Map<string, ComparedOutcomes>();

  constructor(private readonly outcomes: Pick<OutcomesMemory, 'of'>) {}

  /**
   * @param isServing a new replica serves now
   * @returns what was counted since the first one served; null before
   */
  compare(rollout: Rollout, digests: ReadonlyMap<string, string>, isServing: boolean): ComparedOutcomes | null {
    const [from, to] = [digests.get(rollout.fromVersionId), digests.get(rollout.toVersionId)];
    if (from === undefined || to === undefined) return null;
    const present = {
      from: this.outcomes.of(rollout.deploymentId, from),
      to: this.outcomes.of(rollout.deploymentId, to),
    };
    const baseline = this.taken.get(rollout.id);
    if (baseline === undefined) {
      if (isServing) this.taken.set(rollout.id, present);
      return null;
    }
    return { from: outcomesSince(present.from, baseline.from), to: outcomesSince(present.to, baseline.to) };
  }

  retain(rolloutIds: ReadonlySet<string>): void {
    for (const id of this.taken.keys()) if (!rolloutIds.has(id)) this.taken.delete(id);
  }
}
