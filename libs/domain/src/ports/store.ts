/**
 * What the application needs of a database, in domain nouns. Implemented by `libs/store` on Postgres.
 *
 * A port is an abstract class without decorators: it is the type and the injection token. All writes go through
 * `Store.transaction`; whatever the work throws rolls everything back.
 */
import type { Cluster } from '../clusters.ts';
import type { ClusterConflict } from '../conflicts.ts';
import type { Decision } from '../decisions.ts';
import type { Deployment, Placement, PlacementPhase } from '../deployments.ts';
import type { DesiredReplica, DesiredState, DesiredTask, DesiredVersion } from '../desired.ts';
import type { ApiKey, JoinToken } from '../keys.ts';
import type { Model, ModelVersion, VersionFile, VersionSignature } from '../models.ts';
import type { ClusterReport } from '../reports.ts';
import type { RoutesView } from '../routes.ts';
import type { BudgetRows, BundleRows, LeaseRows, TokenUsageRows } from './budgets.ts';
import type { ChangeRows } from './changes.ts';
import type { ClockRows } from './clock.ts';
import type {
  AttemptRows,
  DeviceHoldRows,
  JobEventRows,
  JobRows,
  OwedDocumentRows,
  PriorityClassRows,
  QueueRows,
  TenantRows,
  UsageRows,
} from './jobs.ts';
import type { AliasRows, ArtifactRows, RolloutRows, SyncClaimRows } from './registry.ts';

/** Keyset page: `after` is the last id seen; `limit` 1..200. */
export interface PageRequest {
  readonly tenantId: string;
  readonly after: string | null;
  readonly limit: number;
}

export abstract class ClusterRows {
  abstract insert(cluster: Cluster): Promise<void>;
  /**
   * `forUpdate` locks the row until the transaction ends. By name only a cluster that has not left is found; by public
   * key the one that has not left, else the one that left last.
   */
  abstract find(
    by: { id: string } | { tenantId: string; name: string } | { publicKey: string },
    forUpdate?: boolean,
  ): Promise<Cluster | null>;
  /** The clusters among `ids` that exist, also those that left. */
  abstract findAll(ids: readonly string[]): Promise<Cluster[]>;
  /**
   * The clusters among `ids` that exist, their rows locked in order of id until the transaction ends: `alone` against
   * everybody, `shared` only against whoever would change them.
   */
  abstract lock(ids: readonly string[], how: 'alone' | 'shared'): Promise<Cluster[]>;
  /** Without those that left. */
  abstract list(page: PageRequest): Promise<Cluster[]>;
  /** Writes phase, cordon, drain, labels and bumps the revision; false when `revision` is no longer the row's. */
  abstract update(
    id: string,
    revision: number,
    change: Partial<Pick<Cluster, 'phase' | 'cordoned' | 'drain' | 'ahead' | 'labels' | 'region' | 'zone' | 'sync'>>,
  ): Promise<boolean>;
  /** Every cluster of the installation that has not left, for leader loops and the routes view. */
  abstract all(): Promise<Cluster[]>;
  /** The tenant's clusters of a site group that have not left; see `siteGroupOf`. */
  abstract ofSiteGroup(tenantId: string, siteGroup: string): Promise<Cluster[]>;
}

/** Revoked NATS users: public key → Unix seconds of the revocation. */
export abstract class RevocationRows {
  abstract insert(publicKey: string, clusterId: string): Promise<void>;
  abstract all(): Promise<{ publicKey: string; revokedAtSeconds: number }[]>;
}

export abstract class JoinTokenRows {
  abstract insert(token: JoinToken): Promise<void>;
  abstract findByPublicId(publicId: string, forUpdate?: boolean): Promise<JoinToken | null>;
  /** False when it was already used. */
  abstract use(id: string, clusterId: string): Promise<boolean>;
}

export abstract class ApiKeyRows {
  abstract insert(key: ApiKey): Promise<void>;
  abstract find(by: { id: string } | { publicId: string }): Promise<ApiKey | null>;
  abstract list(page: PageRequest): Promise<ApiKey[]>;
  abstract revoke(id: string): Promise<boolean>;
  abstract ownerExists(): Promise<boolean>;
}

export abstract class ModelRows {
  abstract insert(model: Model): Promise<void>;
  abstract find(by: { id: string } | { tenantId: string; name: string }): Promise<Model | null>;
  abstract list(page: PageRequest): Promise<Model[]>;
  /** The models among `ids` that exist, in no order. */
  abstract findAll(ids: readonly string[]): Promise<Model[]>;
  /** False when `revision` is no longer the row's. Bumps the revision. */
  abstract update(id: string, revision: number, change: Pick<Model, 'policy'>): Promise<boolean>;
  /** Every model of the installation, for leader loops. */
  abstract all(): Promise<Model[]>;
  /** With its versions. ConflictError (a refusal) while a deployment, or a job that is not in a final phase, uses it. */
  abstract remove(id: string): Promise<boolean>;
}

export abstract class VersionRows {
  /** Gives the next number of the model, under the model row's lock. */
  abstract insert(version: Omit<ModelVersion, 'number'>): Promise<ModelVersion>;
  abstract find(
    by: { id: string } | { modelId: string; number: number },
    forUpdate?: boolean,
  ): Promise<ModelVersion | null>;
  /** The versions among `ids` that exist, in no order. */
  abstract findAll(ids: readonly string[]): Promise<ModelVersion[]>;
  /** Newest first. */
  abstract listOfModel(modelId: string): Promise<ModelVersion[]>;
  /** Of all these models, in no order. */
  abstract ofModels(modelIds: readonly string[]): Promise<ModelVersion[]>;
  abstract publish(
    id: string,
    digest: string,
    files: readonly VersionFile[],
    signature: VersionSignature | null,
  ): Promise<void>;
  /**
   * Published → Retired, except those in use: by a deployment, a live placement, a mount of a job that is not in a final
   * phase, an alias, an active rollout (either side), the last ended rollout of a deployment, the rollout that led a
   * deployment to its present version (what a rollback goes to), or a cluster whose newest report or desired document
   * names its digest. Returns the ids that were retired.
   */
  abstract retireUnused(ids: readonly string[]): Promise<string[]>;
  /**
   * Digests of every blob that a version that is Uploading or Published, or an artifact, refers to, that is the manifest
   * of a job's newest checkpoint or output, or that was noted for a job.
   */
  abstract blobDigestsInUse(): Promise<Set<string>>;
  /**
   * Marks one version, uploading or published, as Abandoned: its number is never given again. False when there is no such
   * version or it already was. Throws a conflict refusal while a deployment, a live placement, an active rollout or a
   * job that is not in a final phase uses it, or a deployment would be rolled back to it. Clusters that only mirror it
   * let go of it.
   */
  abstract abandon(id: string): Promise<boolean>;
  /** Marks uploads begun before `before` as Abandoned and returns their ids. */
  abstract abandonUploads(before: Date): Promise<string[]>;
}

export abstract class DeploymentRows {
  abstract insert(deployment: Deployment): Promise<void>;
  abstract find(
    by: { id: string } | { tenantId: string; name: string },
    forUpdate?: boolean,
  ): Promise<Deployment | null>;
  abstract list(page: PageRequest): Promise<Deployment[]>;
  /** Every deployment of the installation, those being deleted too, for leader loops. */
  abstract all(): Promise<Deployment[]>;
  /** False when `revision` is no longer the row's. Bumps the revision. */
  abstract update(
    id: string,
    revision: number,
    change: Partial<
      Pick<
        Deployment,
        | 'replicas'
        | 'versionId'
        | 'alias'
        | 'selector'
        | 'spread'
        | 'disconnect'
        | 'serving'
        | 'rollout'
        | 'queueId'
        | 'priorityClass'
        | 'priority'
        | 'deletedAt'
      >
    >,
  ): Promise<boolean>;
  /** Ends the row and its removed placements. Throws a conflict refusal while live placements are left. */
  abstract remove(id: string): Promise<void>;
}

export abstract class PlacementRows {
  abstract insert(placements: readonly Placement[]): Promise<void>;
  /** Removed is final: a removed placement stays as it is, and lets go of its device holds in the same statement. */
  abstract move(ids: readonly string[], phase: PlacementPhase, reason: string): Promise<void>;
  /** Not Removed ones only. */
  abstract live(by?: { deploymentId: string } | { clusterId: string }): Promise<Placement[]>;
}

export interface Observation {
  readonly clusterId: string;
  readonly report: ClusterReport;
  readonly replacedBoots: readonly string[];
  readonly receivedAt: Date;
}

/** Without `receivedAt`: it came just now, by the installation's clock. */
export type NewObservation = Omit<Observation, 'receivedAt'> & Partial<Pick<Observation, 'receivedAt'>>;

export abstract class ObservationRows {
  /** `forUpdate` also makes two first reports of one cluster wait for each other. */
  abstract find(clusterId: string, forUpdate?: boolean): Promise<Observation | null>;
  abstract upsert(observation: NewObservation): Promise<void>;
  /**
   * Of those among the clusters that have reported, in no order.
   *
   * @param parts `without-tasks`: not what is said of jobs' tasks, which is most of a report where jobs run. Default `all`
   */
  abstract findAll(clusterIds: readonly string[], parts?: 'all' | 'without-tasks'): Promise<Observation[]>;
  /** Cluster id → when its newest report came, without the report. */
  abstract receivedAt(clusterIds: readonly string[]): Promise<Map<string, Date>>;
  /** Of clusters that have not left. */
  abstract all(): Promise<Observation[]>;
}

/** A desired document without its content. */
export interface DesiredPosition extends Pick<DesiredState, 'clusterId' | 'epoch' | 'revision'> {
  /** Of position and content, as agents tell it of what they hold; null: an older release wrote it, and nobody hashed it. */
  readonly digest: string | null;
}

export abstract class DesiredRows {
  abstract find(clusterId: string): Promise<DesiredState | null>;
  /** Costs no more than a row without the document, whose hashes were made when it was written. */
  abstract position(clusterId: string): Promise<DesiredPosition | null>;
  /** Hashes a document that an older release wrote, for `position`. Nothing when another is stored by now. */
  abstract keepOutline(state: DesiredState): Promise<void>;
  /** How far each cluster's document is, without the documents; clusters that left are left out. */
  abstract revisions(): Promise<{ clusterId: string; epoch: number; revision: number }[]>;
  /**
   * Writes the cluster's document if its content differs from the stored one: revision + 1 under `epoch`.
   * Returns the document as stored and whether it changed.
   */
  abstract put(
    clusterId: string,
    epoch: number,
    content: {
      versions: readonly DesiredVersion[];
      replicas: readonly DesiredReplica[];
      tasks: readonly DesiredTask[];
    },
  ): Promise<{ state: DesiredState; changed: boolean }>;
  /**
   * After this the next `put` writes a revision above `revision`, whatever its content. The epoch stays: until that `put`
   * no agent takes what is stored.
   */
  abstract raise(clusterId: string, revision: number): Promise<void>;
}

/** What clusters and this database changed apart from each other; see `ClusterConflict`. */
export abstract class ConflictRows {
  /** Those that are open already, by cluster, kind and subject, stay as they are. Returns the new ones. */
  abstract open(conflicts: readonly ClusterConflict[]): Promise<ClusterConflict[]>;
  /** False when it was resolved or dropped before. */
  abstract resolve(id: string, resolution: string, at: Date): Promise<boolean>;
  /** Nothing came of it. */
  abstract drop(id: string): Promise<void>;
  /** Every open one of clusters that have not left, for the leader. */
  abstract allOpen(): Promise<ClusterConflict[]>;
  /** Open ones first, then the newest. */
  abstract ofCluster(clusterId: string, limit: number): Promise<ClusterConflict[]>;
  /** Also all of clusters that left. */
  abstract removeResolvedBefore(before: Date): Promise<number>;
}

export abstract class LeaderRows {
  /**
   * An epoch above `floor`, and the newest there is: raised when it must be, which ends the present leader's term once
   * its transactions under way are over. Locks the leader's row until the transaction ends.
   */
  abstract epochAbove(floor: number): Promise<number>;
}

export interface OutboxMessage {
  readonly id: string;
  readonly subject: string;
  readonly body: unknown;
}

export abstract class OutboxRows {
  /** Published after commit, at least once, in order of insertion per subject. */
  abstract add(subject: string, body: unknown): Promise<void>;
  /** Locks up to `limit` of the oldest unsent messages with SKIP LOCKED. */
  abstract take(limit: number): Promise<OutboxMessage[]>;
  abstract done(ids: readonly string[]): Promise<void>;
  abstract pending(): Promise<number>;
}

export abstract class InboxRows {
  /** True the first time a message id is seen. */
  abstract accept(messageId: string, clusterId: string): Promise<boolean>;
  abstract removeOlderThan(before: Date): Promise<number>;
}

export interface AuditEntry {
  readonly id: string;
  readonly tenantId: string;
  /** `key:<publicId>`, `cluster:<id>`, `controller:<name>`. */
  readonly actor: string;
  /** `clusters.accept`, `deployments.create` … */
  readonly action: string;
  readonly targetKind: string;
  readonly targetId: string;
  /** What changed; never a secret. */
  readonly detail: Readonly<Record<string, unknown>>;
  readonly at: Date;
}

export abstract class AuditRows {
  abstract add(entry: Omit<AuditEntry, 'id' | 'at'>): Promise<void>;
  /** Newest first: `after` is the oldest id seen. */
  abstract list(page: PageRequest): Promise<AuditEntry[]>;
}

export abstract class DecisionRows {
  abstract insert(decision: Decision): Promise<void>;
  /** All in one statement; those whose subject is gone are left out. */
  abstract insertAll(decisions: readonly Decision[]): Promise<void>;
  abstract newest(subjectId: string, limit: number): Promise<Decision[]>;
  /** The newest one of each subject that has one, in no order. */
  abstract newestOf(subjectIds: readonly string[]): Promise<Decision[]>;
}

export abstract class RoutesRows {
  /** Bumps the sequence if the view's content changed since the last call; builds the whole view from the rows. */
  abstract refresh(): Promise<{ view: RoutesView; changed: boolean }>;
  /** The view as last refreshed; null before the first. */
  abstract current(): Promise<RoutesView | null>;
}

/** Stored answers of mutations, so that a repeated Idempotency-Key repeats the answer and not the deed. */
export abstract class IdempotencyRows {
  /** The stored answer, or null when the key is new (and is then held by this transaction). */
  abstract begin(
    tenantId: string,
    key: string,
    requestHash: string,
  ): Promise<{ requestHash: string; status: number; body: unknown } | null>;
  abstract finish(tenantId: string, key: string, status: number, body: unknown): Promise<void>;
  abstract removeOlderThan(before: Date): Promise<number>;
}

export interface Rows {
  readonly clusters: ClusterRows;
  readonly revocations: RevocationRows;
  readonly joinTokens: JoinTokenRows;
  readonly apiKeys: ApiKeyRows;
  readonly models: ModelRows;
  readonly versions: VersionRows;
  readonly aliases: AliasRows;
  readonly artifacts: ArtifactRows;
  readonly deployments: DeploymentRows;
  readonly rollouts: RolloutRows;
  readonly syncClaims: SyncClaimRows;
  readonly placements: PlacementRows;
  readonly observations: ObservationRows;
  readonly desired: DesiredRows;
  readonly conflicts: ConflictRows;
  readonly leader: LeaderRows;
  readonly outbox: OutboxRows;
  readonly inbox: InboxRows;
  readonly audit: AuditRows;
  readonly decisions: DecisionRows;
  readonly routes: RoutesRows;
  readonly idempotency: IdempotencyRows;
  readonly tenants: TenantRows;
  readonly queues: QueueRows;
  readonly priorityClasses: PriorityClassRows;
  readonly jobs: JobRows;
  readonly attempts: AttemptRows;
  readonly deviceHolds: DeviceHoldRows;
  readonly jobEvents: JobEventRows;
  readonly usage: UsageRows;
  readonly owedDocuments: OwedDocumentRows;
  readonly budgets: BudgetRows;
  readonly leases: LeaseRows;
  readonly tokenUsage: TokenUsageRows;
  readonly bundles: BundleRows;
  readonly changes: ChangeRows;
  readonly clock: ClockRows;
}

export abstract class Store {
  /**
   * One transaction: commits when `work` resolves, rolls back when it throws. With `epoch`, the first statement locks the
   * leader row in share mode and throws StaleEpochError unless that epoch is the newest.
   */
  abstract transaction<T>(work: (rows: Rows) => Promise<T>, options?: { epoch?: number }): Promise<T>;
  /** Reads outside a transaction; each call sees the newest committed state. */
  abstract readonly read: Rows;
  /** Calls back after another transaction committed a change of intent or observation (LISTEN/NOTIFY), at most once per `topic` and 20 ms. */
  abstract onChange(topic: 'intent' | 'observation' | 'outbox', listener: () => void): () => void;
  abstract ping(): Promise<void>;
  abstract close(): Promise<void>;
}

export abstract class LeaderLease {
  /** Resolves once held (waits as long as it takes) with the new epoch; `signal` gives up. */
  abstract acquire(
    holder: string,
    signal: AbortSignal,
  ): Promise<{ epoch: number; lost: AbortSignal; release(): Promise<void> }>;
}
