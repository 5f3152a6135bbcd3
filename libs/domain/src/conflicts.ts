/**
 * What both sides changed while a cluster was out of contact, or while a database forgot, and what became of it. Open
 * ones are judged again and again from what is so; resolved ones are kept for a bounded time, for people.
 */

/**
 * replaced-elsewhere  a replica was given up and placed elsewhere, and may go on serving here
 * document-changed    the cluster's document changed while nobody could tell its agent
 * local-replicas      its agent started replicas of its own meanwhile
 * database-restored   its agent has applied what this database does not know
 */
export const CONFLICT_KINDS = [
  'replaced-elsewhere',
  'document-changed',
  'local-replicas',
  'database-restored',
] as const;
export type ConflictKind = (typeof CONFLICT_KINDS)[number];

export interface ClusterConflict {
  readonly id: string;
  readonly tenantId: string;
  readonly clusterId: string;
  readonly kind: ConflictKind;
  /** A replica's or a deployment's id, or empty: at most one open conflict of a kind in a cluster is about it. */
  readonly subject: string;
  /** One sentence. */
  readonly message: string;
  /** One sentence: by which rule it ended, and how; null while it is open. */
  readonly resolution: string | null;
  /** Revision of the cluster's document when it was opened. */
  readonly revision: number;
  readonly openedAt: Date;
  readonly resolvedAt: Date | null;
}

/** Resolved ones are dropped after so long. */
export const CONFLICT_KEPT_MS = 7 * 86_400_000;
