/** The tables of the simulated Postgres, as immutable rows in maps: a transaction is a copy that replaces them. */
import type {
  AuditEntry,
  Cluster,
  Decision,
  Deployment,
  DesiredState,
  Model,
  ModelVersion,
  Observation,
  OutboxMessage,
  Placement,
  Rollout,
} from '#domain';

export interface StoredAnswer {
  readonly requestHash: string;
  readonly status: number;
  readonly body: unknown;
}

export interface Tables {
  epoch: number;
  sequence: number;
  readonly clusters: Map<string, Cluster>;
  readonly revocations: Map<string, string>;
  readonly models: Map<string, Model>;
  readonly versions: Map<string, ModelVersion>;
  readonly deployments: Map<string, Deployment>;
  readonly rollouts: Map<string, Rollout>;
  readonly placements: Map<string, Placement>;
  readonly observations: Map<string, Observation>;
  readonly desired: Map<string, DesiredState>;
  readonly outbox: Map<string, OutboxMessage>;
  readonly audit: Map<string, AuditEntry>;
  readonly decisions: Map<string, Decision>;
  readonly idempotency: Map<string, StoredAnswer | null>;
}

export function emptyTables(): Tables {
  return {
    epoch: 0,
    sequence: 0,
    clusters: new Map(),
    revocations: new Map(),
    models: new Map(),
    versions: new Map(),
    deployments: new Map(),
    rollouts: new Map(),
    placements: new Map(),
    observations: new Map(),
    desired: new Map(),
    outbox: new Map(),
    audit: new Map(),
    decisions: new Map(),
    idempotency: new Map(),
  };
}

export function copyTables(tables: Tables): Tables {
  return {
    epoch: tables.epoch,
    sequence: tables.sequence,
    clusters: new Map(tables.clusters),
    revocations: new Map(tables.revocations),
    models: new Map(tables.models),
    versions: new Map(tables.versions),
    deployments: new Map(tables.deployments),
    rollouts: new Map(tables.rollouts),
    placements: new Map(tables.placements),
    observations: new Map(tables.observations),
    desired: new Map(tables.desired),
    outbox: new Map(tables.outbox),
    audit: new Map(tables.audit),
    decisions: new Map(tables.decisions),
    idempotency: new Map(tables.idempotency),
  };
}

export type Topic = 'intent' | 'observation' | 'outbox';
