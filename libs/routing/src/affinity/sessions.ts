/**
 * Which replica a session was last answered by. Bounded: at most `sessionsMax`, the longest unused dropped; one that was
 * not used for `keptForMs` is none, because its part of a cache is gone by then.
 */
export interface SessionsOptions {
  /** Default 50,000. */
  readonly sessionsMax?: number;
  /** Milliseconds; default half an hour. */
  readonly keptForMs?: number;
}

export class Sessions {
  /** The longest unused first. */
  private readonly known = new Map<string, { readonly replicaId: string; readonly usedAtMs: number }>();
  private readonly sessionsMax: number;
  private readonly keptForMs: number;

  constructor({ sessionsMax = 50_000, keptForMs = 1_800_000 }: SessionsOptions = {}) {
    this.sessionsMax = sessionsMax;
    this.keptForMs = keptForMs;
  }

  replicaOf(sessionId: string, nowMs: number): string | null {
    const session = this.known.get(sessionId);
    return session === undefined || nowMs - session.usedAtMs > this.keptForMs ? null : session.replicaId;
  }

  /** The session goes on at this replica. */
  used(sessionId: string, replicaId: string, nowMs: number): void {
    this.known.delete(sessionId);
    this.known.set(sessionId, { replicaId, usedAtMs: nowMs });
    for (const oldest of this.known.keys()) {
      if (this.known.size <= this.sessionsMax) break;
      this.known.delete(oldest);
    }
  }

  get size(): number {
    return this.known.size;
  }

  /** Forgets sessions of this replica: what it had cached of them is gone. */
  forget(replicaId: string): void {
    for (const [sessionId, session] of this.known) if (session.replicaId === replicaId) this.known.delete(sessionId);
  }

  /** Forgets sessions of replicas that are not in `replicaIds`. */
  retain(replicaIds: ReadonlySet<string>): void {
    for (const [sessionId, { replicaId }] of this.known) if (!replicaIds.has(replicaId)) this.known.delete(sessionId);
  }
}
