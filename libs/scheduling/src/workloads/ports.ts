/**
 * What the cycle and the preemption search need of the two accounts of a fleet: the devices (`capacity.ts`) and the
 * quota (`quota-tree.ts`). Both are mutable working copies of a snapshot with a log of their own changes, so that a
 * what-if hands back its own undo: `const mark = account.mark(); …; account.rollback(mark)`.
 */
import type { ClusterSelector, DeviceCounts, DeviceType, GangPolicy, ResourceClaim, TaskBinding } from '#domain';

export interface PlaceRequest {
  /** For stable tie-breaking. */
  readonly workloadId: string;
  readonly claim: ResourceClaim;
  readonly gang: GangPolicy;
  readonly selector: ClusterSelector;
  readonly avoidClusterIds: readonly string[];
  readonly preferredClusterIds: readonly string[];
}

/** Why a cluster cannot take it, in words that name what to change; `summary` is what equal ones are counted under. */
export interface PlaceRejection {
  readonly clusterId: string;
  readonly clusterName: string;
  /** The filter that said no: `names`, `kind`, `region`, `labels`, `closed`, `devices`, `topology`, `failures`. */
  readonly by: string;
  readonly because: string;
  readonly summary: string;
  /** True: it would fit were the cluster empty, so that waiting, preemption or defragmentation can help. */
  readonly couldFit: boolean;
}

export interface Placed {
  readonly clusterId: string;
  /** Members placed: at least the gang's minimum. */
  readonly tasks: readonly TaskBinding[];
  /** Scorer → number, of the chosen cluster. */
  readonly scores: Readonly<Record<string, number>>;
  /** The scope in which all members are together. */
  readonly scope: 'link' | 'node' | 'rack' | 'zone' | 'cluster' | 'fleet';
}

export abstract class CapacityAccount {
  /** Where it would go now: the best place, nothing taken. Null: nowhere. No list of reasons is made; see `explain`. */
  abstract find(request: PlaceRequest, within?: ReadonlySet<string>): Placed | null;
  /** The verdict on every cluster, for a workload that `find` has no place for. */
  abstract explain(request: PlaceRequest): PlaceRejection[];
  /**
   * The largest gang of this claim that could ever fit, were everything free: members, and where. For bad claims.
   * `memoryBytes`: that each device would have, where none has as much as is asked for; null: as asked.
   */
  abstract largest(request: PlaceRequest): {
    readonly members: number;
    readonly devicesPerMember: number;
    readonly memoryBytes: number | null;
    readonly clusterName: string;
  } | null;
  /** Takes devices for a holder. Bound devices are taken as they are; unbound ones (null) are packed. */
  abstract take(holderId: string, claim: ResourceClaim, tasks: readonly TaskBinding[]): void;
  /** As `take`, if every bound device is there and free; false, and nothing taken, otherwise. */
  abstract tryTake(holderId: string, claim: ResourceClaim, tasks: readonly TaskBinding[]): boolean;
  abstract release(holderId: string): void;
  abstract mark(): number;
  abstract rollback(mark: number): void;
  /** Holders that have devices of this type in this cluster. */
  abstract holdersIn(clusterId: string, deviceType: DeviceType): readonly string[];
  /** Nodes (or, for scopes above a node, domains) of a cluster with the holders in each; for the victim search. */
  abstract domains(clusterId: string, request: PlaceRequest): readonly CapacityDomain[];
  /** Clusters that pass every filter but room: where a preemption could help. */
  abstract eligible(request: PlaceRequest): readonly { clusterId: string; clusterName: string }[];
  abstract free(deviceType: DeviceType): number;
  abstract total(deviceType: DeviceType): number;
}

export interface CapacityDomain {
  readonly name: string;
  /** A node of it, to tell which wider domains it is in. */
  readonly firstNode: string;
  readonly freeDevices: number;
  readonly totalDevices: number;
  /** Holder → devices of the type that it holds in this domain. */
  readonly holders: ReadonlyMap<string, number>;
}

export interface QuotaRejection {
  readonly because: string;
  /** What would have to change. */
  readonly change: string;
  /** The queue at which it ends: itself, or one above it. Null: between the roots, so that any queue may be what is in its way. */
  readonly queueId: string | null;
  /** True: it would be admitted were nothing charged, so that waiting, preemption or reclaim can help. */
  readonly couldFit: boolean;
}

export interface QuotaWant {
  readonly deviceType: DeviceType;
  readonly count: number;
}

/** Weighted dominant-resource fair share over a tree of queues with nominal quota, borrowing and lending (KEP-style). */
export abstract class QuotaAccount {
  /**
   * Null: the queue may start this now, if there are devices. A rejection is of what is charged at this moment: refund
   * the victims of a what-if and ask again.
   */
  abstract admits(queueId: string, deviceType: DeviceType, count: number): QuotaRejection | null;
  abstract charge(queueId: string, deviceType: DeviceType, count: number): void;
  abstract refund(queueId: string, deviceType: DeviceType, count: number): void;
  abstract mark(): number;
  abstract rollback(mark: number): void;
  /** Dominant share of what the fleet has, divided by weight; Infinity at weight 0. */
  abstract share(queueId: string): number;
  /** Whether the queue's use with `count` more stays within its nominal quota. */
  abstract isWithinNominal(queueId: string, deviceType: DeviceType, count?: number): boolean;
  /**
   * Whether every queue from `queueId` up to where it meets the other borrows at least `count`: so much of what it runs
   * may then be stopped for a higher priority of the other, and none of its own is touched (F05). Of one queue: always.
   */
  abstract borrowsBeside(queueId: string, deviceType: DeviceType, otherQueueId: string, count: number): boolean;
  /** Whether `queueId` may take `count` from what `victimQueueId` runs, and by which right; null: it may not. F01–F10. */
  abstract mayReclaim(
    queueId: string,
    deviceType: DeviceType,
    count: number,
    victimQueueId: string,
    victimCount: number,
  ): 'nominal' | 'fairness' | null;
  /**
   * The order in which queues should be served next: who has nominal quota left first, then the smallest share. With
   * what each wants next, `nominal quota left` is whether that fits into it.
   */
  abstract compare(leftQueueId: string, rightQueueId: string, leftWants?: QuotaWant, rightWants?: QuotaWant): number;
  /** The order in which queues give back: who borrows most, for its weight, first (F01). */
  abstract compareBorrowers(leftQueueId: string, rightQueueId: string): number;
  abstract usage(queueId: string): DeviceCounts;
}
