/** The tables of the simulated Postgres, as immutable rows in maps: a transaction is a copy that replaces them. */
import {
  type Attempt,
  type AuditEntry,
  type Cluster,
  DEFAULT_PRIORITY_CLASSES,
  DEFAULT_QUEUE_ID,
  DEFAULT_QUEUE_NAME,
  DEFAULT_TENANT_ID,
  type Decision,
  type Deployment,
  type DesiredState,
  type Job,
  type JobEvent,
  type Model,
  type ModelVersion,
  type Observation,
  type OutboxMessage,
  type Placement,
  type PriorityClass,
  type Queue,
  type QueueUsage,
  type Rollout,
  type Tenant,
} from '#domain';

export interface StoredAnswer {
  readonly requestHash: string;
  readonly status: number;
  readonly body: unknown;
}

export interface Tables {
  epoch: number;
  clockAheadMs: number;
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
  /** Message ids. */
  readonly inbox: Set<string>;
  readonly tenants: Map<string, Tenant>;
  readonly queues: Map<string, Queue>;
  readonly priorityClasses: Map<string, PriorityClass>;
  readonly jobs: Map<string, Job>;
  /** Job → digests. */
  readonly jobBlobs: Map<string, ReadonlySet<string>>;
  readonly attempts: Map<string, Attempt>;
  /** By cluster, node and device. */
  readonly deviceHolds: Map<string, DeviceHold>;
  readonly jobEvents: Map<string, JobEvent>;
  /** By tenant, queue, device type and day. */
  readonly usage: Map<string, QueueUsage>;
  readonly owedDocuments: Map<string, true>;
  /** Of whoever asked what was written since: the tables as they were then. One for all copies. */
  readonly looks: { count: number; readonly seen: Map<string, Tables> };
}

export interface DeviceHold {
  readonly clusterId: string;
  readonly node: string;
  readonly deviceId: string;
  readonly holderId: string;
}

export function emptyTables(): Tables {
  return {
    epoch: 0,
    clockAheadMs: 0,
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
    inbox: new Set(),
    tenants: new Map([[DEFAULT_TENANT_ID, { id: DEFAULT_TENANT_ID, name: 'default', createdAt: MIGRATED }]]),
    queues: new Map([[DEFAULT_QUEUE_ID, defaultQueue()]]),
    priorityClasses: new Map(defaultClasses().map((each) => [each.id, each])),
    jobs: new Map(),
    jobBlobs: new Map(),
    attempts: new Map(),
    deviceHolds: new Map(),
    jobEvents: new Map(),
    usage: new Map(),
    owedDocuments: new Map(),
    looks: { count: 0, seen: new Map() },
  };
}

export function copyTables(tables: Tables): Tables {
  return {
    epoch: tables.epoch,
    clockAheadMs: tables.clockAheadMs,
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
    inbox: new Set(tables.inbox),
    tenants: new Map(tables.tenants),
    queues: new Map(tables.queues),
    priorityClasses: new Map(tables.priorityClasses),
    jobs: new Map(tables.jobs),
    jobBlobs: new Map(tables.jobBlobs),
    attempts: new Map(tables.attempts),
    deviceHolds: new Map(tables.deviceHolds),
    jobEvents: new Map(tables.jobEvents),
    usage: new Map(tables.usage),
    owedDocuments: new Map(tables.owedDocuments),
    looks: tables.looks,
  };
}

const MIGRATED = new Date(0);

/** What the migrations give to the default tenant. */
function defaultQueue(): Queue {
  return {
    id: DEFAULT_QUEUE_ID,
    tenantId: DEFAULT_TENANT_ID,
    name: DEFAULT_QUEUE_NAME,
    parentId: null,
    weight: 1,
    quota: {},
    borrowingLimit: null,
    lendingLimit: null,
    order: 'class-shortest',
    paused: false,
    createdAt: MIGRATED,
    revision: 1,
  };
}

function defaultClasses(): PriorityClass[] {
  const of = { tenantId: DEFAULT_TENANT_ID, createdAt: MIGRATED, revision: 1 };
  return DEFAULT_PRIORITY_CLASSES.map((each) => ({ ...each, ...of, id: `class-${each.name}` }));
}

export type Topic = 'intent' | 'observation' | 'outbox';
