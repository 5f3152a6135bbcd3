/** The view that gateways route from: whole, sequence-numbered, no secrets (key hashes only). */
import type { ClusterKind, ClusterPhase } from './clusters.ts';
import type { Role } from './permissions.ts';

export interface RouteKey {
  readonly publicId: string;
  readonly secretHash: string;
  readonly tenantId: string;
  readonly role: Role;
  readonly models: readonly string[] | null;
  /** Unix milliseconds; null never expires. */
  readonly expiresAtMs: number | null;
  /** Budgets that its requests are charged to; all must have room. */
  readonly budgetIds: readonly string[];
}

export interface RouteBudget {
  readonly budgetId: string;
  /** As people name it, for refusals. */
  readonly title: string;
}

export interface RouteCluster {
  readonly id: string;
  readonly name: string;
  readonly kind: ClusterKind;
  readonly region: string;
  readonly phase: ClusterPhase;
  /** `host:port` for the direct path; null when only dialled sockets reach it. */
  readonly endpoint: string | null;
  /** The only NATS identity whose links count for this cluster. */
  readonly publicKey: string;
}

export interface RouteReplica {
  readonly replicaId: string;
  readonly clusterId: string;
  readonly versionDigest: string;
  /** The version's number within its model, for `x-atoll-min-version`. */
  readonly versionNumber: number;
  readonly ready: boolean;
}

export interface RouteDeployment {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly servedModel: string;
  /** Names of adapters that its replicas answer to besides `servedModel`. Absent: none. */
  readonly adapters?: readonly string[];
  /** The version that the deployment wants; replicas of older ones may still serve. */
  readonly versionDigest: string;
  /** Unix seconds, for `/v1/models`. */
  readonly createdAtSeconds: number;
  readonly replicas: readonly RouteReplica[];
}

export interface RoutesView {
  /** Rises with every change; 0 is the empty view. */
  readonly sequence: number;
  readonly keys: readonly RouteKey[];
  /** Those that keys are charged to. */
  readonly budgets: readonly RouteBudget[];
  readonly clusters: readonly RouteCluster[];
  readonly deployments: readonly RouteDeployment[];
}

export const EMPTY_ROUTES: RoutesView = { sequence: 0, keys: [], budgets: [], clusters: [], deployments: [] };
