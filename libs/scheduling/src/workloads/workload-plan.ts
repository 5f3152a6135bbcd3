/** What one cycle of the workload scheduler proposes. The applier commits what still holds. */
import type { CandidateVerdict, DecisionVictim, Nomination, TaskBinding } from '#domain';

export interface PlannedStart {
  readonly workloadId: string;
  /** At least the gang's minimum. Devices are null in edge clusters. */
  readonly tasks: readonly TaskBinding[];
  /** One sentence. */
  readonly reason: string;
  readonly isBackfill: boolean;
}

export interface PlannedStop {
  /** Attempt id or placement id. */
  readonly holderId: string;
  readonly workloadId: string;
  readonly byWorkloadId: string;
  /** `preempted`: by priority; `reclaimed`: by a queue whose own it is (F01, F10). */
  readonly cause: 'preempted' | 'reclaimed';
  /** Device-seconds since its last checkpoint. */
  readonly lostDeviceSeconds: number;
  /** One sentence. */
  readonly reason: string;
  /** True: its disruption budget is overdrawn by this (P16). */
  readonly violatesBudget: boolean;
}

/** Every pending workload gets one. */
export interface WorkloadVerdict {
  readonly workloadId: string;
  /** nominated: its victims are on their way out. held: its queue, quota or backoff holds it, not room. */
  readonly state: 'started' | 'nominated' | 'waiting' | 'held' | 'unschedulable';
  /** Among those that wait in its queue, 1 is next; null when it started. */
  readonly place: number | null;
  /** One sentence with counts: "0/12 clusters fit: 5 lack …". */
  readonly reason: string;
  readonly candidates: readonly CandidateVerdict[];
  readonly victims: readonly DecisionVictim[];
  /** What would have to change, each a sentence. */
  readonly changes: readonly string[];
  /** Unix milliseconds: when it starts at the latest, if what runs keeps its word; null when that cannot be told. */
  readonly startsByMs: number | null;
}

/** T07: enough is free but not together; moving these would bring it together. A proposal for people: nothing moves by it. */
export interface DefragmentationProposal {
  readonly workloadId: string;
  readonly clusterId: string;
  /** The node or domain that would become free. */
  readonly domain: string;
  readonly moves: readonly { readonly holderId: string; readonly workloadId: string; readonly deviceCount: number }[];
}

export interface WorkloadPlan {
  readonly starts: readonly PlannedStart[];
  readonly stops: readonly PlannedStop[];
  /** Only those that change; null: let go of. */
  readonly nominations: readonly { readonly workloadId: string; readonly nomination: Nomination | null }[];
  readonly verdicts: readonly WorkloadVerdict[];
  readonly proposals: readonly DefragmentationProposal[];
}
