import type { ClusterDrain } from './drains.ts';
import type { Labels } from './names.ts';
import type { SyncPolicy } from './sync.ts';

export const CLUSTER_KINDS = ['central', 'edge'] as const;
export type ClusterKind = (typeof CLUSTER_KINDS)[number];

/**
 * PendingApproval → Ready → (Suspect → Unknown) → Left, with Draining in the place of Ready while `drain` is set.
 * Suspect and Unknown are judged from heartbeats and revert by themselves; Draining and Left are intent.
 */
export const CLUSTER_PHASES = ['PendingApproval', 'Ready', 'Suspect', 'Unknown', 'Draining', 'Left'] as const;
export type ClusterPhase = (typeof CLUSTER_PHASES)[number];

export interface Cluster {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly kind: ClusterKind;
  readonly region: string;
  readonly zone: string;
  readonly labels: Labels;
  readonly sync: SyncPolicy;
  /** The agent's NATS user public key (`U…`). A name cannot be taken over by another key (S2). */
  readonly publicKey: string;
  readonly phase: ClusterPhase;
  /** True: nothing new is placed here, what runs keeps running. */
  readonly cordoned: boolean;
  /** Null: it is not being emptied. */
  readonly drain: ClusterDrain | null;
  /** Set while its agent has applied a document that this database does not know (R20): it gets none until a resync. */
  readonly ahead: DocumentLead | null;
  readonly phaseSince: Date;
  readonly createdAt: Date;
  /** Optimistic lock, also the ETag. Starts at 1. */
  readonly revision: number;
}

/** How far ahead of the database an agent says to be. */
export interface DocumentLead {
  readonly epoch: number;
  readonly revision: number;
  /** RFC 3339: when it was first seen. */
  readonly since: string;
}

const NEXT_PHASES: Readonly<Record<ClusterPhase, readonly ClusterPhase[]>> = {
  PendingApproval: ['Ready', 'Left'],
  Ready: ['Suspect', 'Unknown', 'Draining', 'Left'],
  Suspect: ['Ready', 'Unknown', 'Draining', 'Left'],
  Unknown: ['Ready', 'Draining', 'Left'],
  Draining: ['Ready', 'Suspect', 'Unknown', 'Left'],
  Left: [],
};

/** Whether a cluster in phase `from` may move to `to`; the same phase is not a move. */
export function mayMove(from: ClusterPhase, to: ClusterPhase): boolean {
  return NEXT_PHASES[from].includes(to);
}

/** Where a cluster in `from` may go, for an error that says what would be right. */
export function nextPhases(from: ClusterPhase): readonly ClusterPhase[] {
  return NEXT_PHASES[from];
}

/** Phases whose agents hold valid credentials and whose reports count. */
export function isMember(phase: ClusterPhase): boolean {
  return phase !== 'PendingApproval' && phase !== 'Left';
}
