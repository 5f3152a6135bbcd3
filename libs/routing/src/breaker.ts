/**
 * A short memory of failures per replica. Every "down" has an age: it ends by itself after 1 s (2 s from the second
 * failure in a row on), so a replica is tried again at most two heartbeats after its trouble ended (R8).
 */
const FIRST_DOWN_MS = 1_000;
const LONGEST_DOWN_MS = 2_000;

export class Breaker {
  private readonly states = new Map<string, { failures: number; downUntilMs: number }>();

  failed(replicaId: string, nowMs: number): void {
    const failures = (this.states.get(replicaId)?.failures ?? 0) + 1;
    this.states.set(replicaId, { failures, downUntilMs: nowMs + (failures === 1 ? FIRST_DOWN_MS : LONGEST_DOWN_MS) });
  }

  succeeded(replicaId: string): void {
    this.states.delete(replicaId);
  }

  isDown(replicaId: string, nowMs: number): boolean {
    const state = this.states.get(replicaId);
    return state !== undefined && nowMs < state.downUntilMs;
  }

  /** Forgets replicas that are not in `replicaIds`. */
  retain(replicaIds: ReadonlySet<string>): void {
    for (const replicaId of this.states.keys()) if (!replicaIds.has(replicaId)) this.states.delete(replicaId);
  }
}
