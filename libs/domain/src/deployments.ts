import type { ClusterKind } from './clusters.ts';
import type { ResourceClaim } from './devices.ts';
import type { NodeDevices } from './jobs.ts';
import type { Labels } from './names.ts';
import type { RolloutPolicy } from './rollouts.ts';
import { DEFAULT_ROUTING_POLICY, type LocalScaling, type NodePreferences, type RoutingPolicy } from './serving.ts';

/** Which clusters may run a deployment. Every given part must match; an absent part matches everything. */
export interface ClusterSelector {
  readonly kinds?: readonly ClusterKind[];
  readonly regions?: readonly string[];
  /** Every label must be present with this value. */
  readonly labels?: Labels;
  readonly clusterNames?: readonly string[];
}

/** What replicas can be spread over. A zone is one of its region: equal names in two regions are two zones. */
export const SPREAD_FIELDS = ['region', 'zone', 'cluster'] as const;
export type SpreadField = (typeof SPREAD_FIELDS)[number];

/** Over how many groups of clusters replicas must lie, so that the loss of one group leaves some. */
export interface SpreadConstraint {
  readonly by: SpreadField;
  /** At least 1. Fewer replicas than groups lie in a group of its own each. */
  readonly minGroups: number;
}

export const RECONCILE_RULES = ['prefer-central', 'prefer-edge'] as const;
/** elsewhere: replicas of a lost cluster are placed in others; never: they are waited for, however long it takes. */
export const REPLACE_RULES = ['elsewhere', 'never'] as const;

/** What to do about a cluster out of contact (DESIGN §5 E). */
export interface DisconnectPolicy {
  /** Seconds after Unknown before replicas are placed elsewhere. Default 300. */
  readonly lostAfterSeconds: number;
  /** What happens then. Default `elsewhere`. */
  readonly replace: (typeof REPLACE_RULES)[number];
  /** Who wins when both sides changed while apart. Default `prefer-central`. */
  readonly reconcile: (typeof RECONCILE_RULES)[number];
}

export const DEFAULT_DISCONNECT_POLICY: DisconnectPolicy = {
  lostAfterSeconds: 300,
  replace: 'elsewhere',
  reconcile: 'prefer-central',
};

/** An adapter by its version; documents name it by digest. */
export interface DeployedAdapter {
  /** What clients give as `model`. */
  readonly name: string;
  readonly versionId: string;
}

/** How replicas are run, and chosen for a request, inside a cluster. What is left at its default is in no document. */
export interface DeploymentServing {
  /** Of the agents' own configuration, by name; null: each agent's default. */
  readonly engine: string | null;
  readonly routing: RoutingPolicy;
  /** Null: agents start no replicas by themselves. */
  readonly localScaling: LocalScaling | null;
  readonly nodes: NodePreferences;
  readonly adapters: readonly DeployedAdapter[];
}

export const DEFAULT_DEPLOYMENT_SERVING: DeploymentServing = {
  engine: null,
  routing: DEFAULT_ROUTING_POLICY,
  localScaling: null,
  nodes: { required: {}, preferred: {} },
  adapters: [],
};

export interface Deployment {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly modelId: string;
  /** The version that is wanted everywhere once an active rollout is over. */
  readonly versionId: string;
  /** The alias that `versionId` follows when it moves; null when the version is pinned. */
  readonly alias: string | null;
  readonly rollout: RolloutPolicy;
  /** The name clients give as `model`. Default: the model's name. */
  readonly servedModel: string;
  readonly replicas: number;
  readonly claim: ResourceClaim;
  readonly selector: ClusterSelector;
  /** Null: wherever there is room. */
  readonly spread: SpreadConstraint | null;
  readonly disconnect: DisconnectPolicy;
  readonly serving: DeploymentServing;
  /** Whose account it is charged to. */
  readonly queueId: string;
  readonly priorityClass: string;
  /** Of its class when it was created or last changed. */
  readonly priority: number;
  /** Set when deletion was asked for; replicas drain, then the row goes. */
  readonly deletedAt: Date | null;
  readonly createdAt: Date;
  /** Optimistic lock, also the ETag. Starts at 1. */
  readonly revision: number;
}

/** Assigned: the cluster should run it. Draining: it should go once its replacement serves. Removed: kept for history. */
export const PLACEMENT_PHASES = ['Assigned', 'Draining', 'Removed'] as const;
export type PlacementPhase = (typeof PLACEMENT_PHASES)[number];

/** The decision that one replica of a deployment runs in a cluster. Its id is the replica's id. */
export interface Placement {
  readonly id: string;
  readonly tenantId: string;
  readonly deploymentId: string;
  readonly clusterId: string;
  readonly versionId: string;
  readonly claim: ResourceClaim;
  /** Bound by the centre in a central cluster; null in an edge cluster, and where a device of it vanished. */
  readonly devices: readonly NodeDevices[] | null;
  readonly phase: PlacementPhase;
  /** The leader epoch it was made under; agents refuse older ones. */
  readonly epoch: number;
  /** One sentence: why here, or why it goes. */
  readonly reason: string;
  readonly createdAt: Date;
  readonly phaseSince: Date;
}

/** What an agent says of a replica. Only Ready replicas get traffic. */
export const REPLICA_PHASES = ['Pending', 'Fetching', 'Starting', 'Ready', 'Failed', 'Stopping', 'Stopped'] as const;
export type ReplicaPhase = (typeof REPLICA_PHASES)[number];
