/**
 * What the workload scheduler decides from: clusters with their devices, queues, what runs, what waits. A workload is a
 * job, or one replica of a deployment that found no free devices. Time is an argument like everything else.
 */
import type {
  ClusterKind,
  ClusterSelector,
  DeviceCounts,
  GangPolicy,
  Labels,
  Node,
  NodeDevices,
  Nomination,
  PreemptionPolicy,
  QueueOrder,
  ResourceClaim,
  TaskBinding,
} from '#domain';

export interface WorkloadCluster {
  readonly id: string;
  readonly name: string;
  readonly kind: ClusterKind;
  readonly region: string;
  readonly zone: string;
  readonly labels: Labels;
  /** Null: it takes new work. Else why not, as a sentence and as the phrase that equal reasons are counted under. */
  readonly closed: { readonly because: string; readonly summary: string } | null;
  readonly nodes: readonly Node[];
}

export interface QueueSnapshot {
  readonly id: string;
  readonly name: string;
  readonly tenantId: string;
  readonly parentId: string | null;
  readonly weight: number;
  readonly quota: DeviceCounts;
  readonly borrowingLimit: DeviceCounts | null;
  readonly lendingLimit: DeviceCounts | null;
  readonly order: QueueOrder;
  readonly paused: boolean;
  /** What it used lately, decayed with a half-life of a day: breaks ties of the share of the moment. */
  readonly recentDeviceSeconds: number;
}

interface Workload {
  /** Job id, or replica id. */
  readonly id: string;
  readonly name: string;
  readonly kind: 'job' | 'serving';
  readonly tenantId: string;
  readonly queueId: string;
  /** 0..10. */
  readonly priority: number;
  readonly claim: ResourceClaim;
  readonly gang: GangPolicy;
  /** Unix milliseconds since which it could run; ageing counts from here. */
  readonly queuedAtMs: number;
  /** How long a whole run takes by the submitter's word; null: unknown. */
  readonly expectedSeconds: number | null;
  /** Seconds of it that are done and saved already. */
  readonly savedSeconds: number;
}

export interface PendingWorkload extends Workload {
  readonly preemption: PreemptionPolicy;
  readonly selector: ClusterSelector;
  /** Unix milliseconds before which it does not start (retry backoff); null: at once. */
  readonly notBeforeMs: number | null;
  /** Room held for it since an earlier cycle; `since` within the nomination. */
  readonly nomination: Nomination | null;
  /** Clusters in which it lately failed to start. */
  readonly avoidClusterIds: readonly string[];
  /** Where its newest checkpoint and mounts are: preferred, all else equal. */
  readonly preferredClusterIds: readonly string[];
}

export interface RunningWorkload extends Workload {
  /** Attempt id or placement id: what is stopped. */
  readonly holderId: string;
  /** Devices null: bound by the cluster itself; its room is packed as `Capacity` sees fit. */
  readonly tasks: readonly TaskBinding[];
  readonly startedAtMs: number;
  /** When the newest checkpoint was saved; null: none in this run, so that all since `startedAtMs` would be lost. */
  readonly savedAtMs: number | null;
  /** False: never a victim (P15). */
  readonly preemptible: boolean;
  /** Already asked to end: its room comes without a further eviction (P09). */
  readonly isEnding: boolean;
  readonly minimumRunSeconds: number;
  readonly preemptions: number;
  readonly preemptionsMax: number;
  /** Once preempted `preemptionsMax` times it is protected for so long after each start (P13). */
  readonly protectedSeconds: number;
  /** Workloads that share a disruption budget: at most `allowed` of them should be stopped now (P16). */
  readonly budget: { readonly id: string; readonly allowed: number } | null;
}

export interface WorkloadPolicy {
  /** False: nothing is ever stopped for a more important one. Default true. */
  readonly preempts: boolean;
  /** How victims are compared; see `preemption.ts`. Default `least-lost`. */
  readonly victims: 'least-lost' | 'youngest';
  /** Whether shorter work may go ahead of a blocked head without delaying it. Default true. */
  readonly backfills: boolean;
  /** Puts every queue in this order whatever the queue says; null: each its own. Default null. */
  readonly order: QueueOrder | null;
  /** What waited so long is ordered before everything of its own class and below (S01, S02). Default 86,400. */
  readonly waitCapSeconds: number;
  /** In `class-shortest`: and at least so many times its own worker-time, so that a backlog stays in order. Default 5. */
  readonly waitCapRuns: number;
  /** A device-time account over queues; false: queues are served as one, by priority and order. Default true. */
  readonly sharesFairly: boolean;
  /** Backfills that outrun their word hold a head's reservation up for at most so long (B02). Default 3,600. */
  readonly overrunSecondsMax: number;
  /** A preemption plan may look at so many candidate nodes or domains for each preemptor. Default 2,000. */
  readonly preemptionDomainsMax: number;
}

export const DEFAULT_WORKLOAD_POLICY: WorkloadPolicy = {
  preempts: true,
  victims: 'least-lost',
  backfills: true,
  order: null,
  waitCapSeconds: 86_400,
  waitCapRuns: 5,
  sharesFairly: true,
  overrunSecondsMax: 3_600,
  preemptionDomainsMax: 2_000,
};

export interface WorkloadSnapshot {
  /** Unix milliseconds. */
  readonly nowMs: number;
  readonly clusters: readonly WorkloadCluster[];
  readonly queues: readonly QueueSnapshot[];
  readonly pending: readonly PendingWorkload[];
  readonly running: readonly RunningWorkload[];
  readonly policy?: Partial<WorkloadPolicy>;
}

export type { NodeDevices, TaskBinding };
