/** What the scheduler decides from: the whole fleet at one moment. Everything is an argument, time included. */
import type {
  Cluster,
  Deployment,
  HeldVersion,
  Node,
  NodeDevices,
  NodePreferences,
  Placement,
  ReplicaReport,
  ResourceClaim,
  Rollout,
} from '#domain';

/** The parts of a cluster's newest report that decisions rest on. */
export interface ReportSnapshot {
  readonly nodes: readonly Node[];
  readonly replicas: readonly ReplicaReport[];
  readonly versions: readonly HeldVersion[];
  /** True: the report answers the cluster's newest desired document, so what it does not list does not run. */
  readonly isSettled: boolean;
}

export interface ClusterSnapshot {
  readonly cluster: Cluster;
  /** Null before the first report. */
  readonly report: ReportSnapshot | null;
}

/** Devices that are not for replicas: a task of a job has them, or they are held for a job until its victims are gone. */
export interface Reservation {
  readonly clusterId: string;
  /** Unique among reservations and placements. */
  readonly holderId: string;
  readonly claim: ResourceClaim;
  /** Null: bound by the cluster itself. */
  readonly devices: readonly NodeDevices[] | null;
  /** Where the cluster may bind it. Absent: anywhere. */
  readonly nodes?: NodePreferences;
}

export interface FleetSnapshot {
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** Those being deleted included. */
  readonly deployments: readonly Deployment[];
  /** Every cluster that has not left. */
  readonly clusters: readonly ClusterSnapshot[];
  /** Every placement that is not Removed: assignments count before any status of them arrives (X03). */
  readonly placements: readonly Placement[];
  /** Cluster id → those in it, those of running work before those that are only held; only clusters that have some. */
  readonly reservations: ReadonlyMap<string, readonly Reservation[]>;
  /** Deployment id → its active rollout; only those that have one. */
  readonly rollouts: ReadonlyMap<string, Rollout>;
  /** Version id → digest, for the versions that deployments want and rollouts come from. */
  readonly versionDigests: ReadonlyMap<string, string>;
  /** Deployment id → clusters in which the version that they should run lately failed too often; empty when nothing is known. */
  readonly failedIn: ReadonlyMap<string, ReadonlySet<string>>;
}
