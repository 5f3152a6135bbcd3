/** What the application needs of a database for jobs, queues and tenants; see `store.ts` for the rules of all ports. */
import type { DeviceType } from '../devices.ts';
import type { Attempt, Job, JobEvent, JobPhase, JobSpec, NodeDevices } from '../jobs.ts';
import type { PriorityClass, Queue, QueueUsage, Tenant, TenantHolding } from '../tenancy.ts';
import type { PageRequest } from './store.ts';

/** Those that were removed are found by nobody. */
export abstract class TenantRows {
  abstract insert(tenant: Tenant): Promise<void>;
  /** `forUpdate` locks the row until the transaction ends: nothing is made in the tenant meanwhile. */
  abstract find(by: { id: string } | { name: string }, forUpdate?: boolean): Promise<Tenant | null>;
  /** A page of all of them. */
  abstract list(page: Omit<PageRequest, 'tenantId'>): Promise<Tenant[]>;
  abstract all(): Promise<Tenant[]>;
  /** By kind; a kind of which there is nothing is left out. */
  abstract holdings(id: string): Promise<TenantHolding[]>;
  /**
   * With its queues, classes, join tokens and keys (which are revoked). What it did and used stays, under its id; its name
   * is free. From then on nothing can be made in it: whoever tries, however late, is refused by the database.
   */
  abstract remove(id: string): Promise<void>;
}

export abstract class QueueRows {
  abstract insert(queue: Queue): Promise<void>;
  abstract find(by: { id: string } | { tenantId: string; name: string }, forUpdate?: boolean): Promise<Queue | null>;
  abstract list(page: PageRequest): Promise<Queue[]>;
  /** Every queue of the installation, for leader loops. */
  abstract all(): Promise<Queue[]>;
  /** False when `revision` is no longer the row's. Bumps the revision. */
  abstract update(
    id: string,
    revision: number,
    change: Partial<Pick<Queue, 'weight' | 'quota' | 'borrowingLimit' | 'lendingLimit' | 'order' | 'paused'>>,
  ): Promise<boolean>;
  /** Throws a conflict refusal while jobs, deployments or other queues name it. */
  abstract remove(id: string): Promise<void>;
  /** Those of the tenant that are gone and of which usage is kept. */
  abstract removed(tenantId: string): Promise<Pick<Queue, 'id' | 'name'>[]>;
}

export abstract class PriorityClassRows {
  abstract insert(priorityClass: PriorityClass): Promise<void>;
  abstract find(by: { tenantId: string; name: string }): Promise<PriorityClass | null>;
  abstract list(page: PageRequest): Promise<PriorityClass[]>;
  /** What was submitted keeps its number. False when `revision` is no longer the row's. Bumps the revision. */
  abstract update(
    id: string,
    revision: number,
    change: Partial<Pick<PriorityClass, 'priority' | 'preemption' | 'preemptible'>>,
  ): Promise<boolean>;
  abstract remove(id: string): Promise<void>;
}

/** What changes about a job; the spec never does. */
export type JobChange = Partial<
  Omit<Job, 'id' | 'tenantId' | 'name' | 'kind' | 'spec' | 'dependsOn' | 'createdAt' | 'revision' | 'phaseSince'>
>;

/** How many jobs of a queue are in a phase. */
export interface QueueTally {
  readonly queueId: string;
  readonly phase: JobPhase;
  readonly count: number;
}

/** What live attempts, or live placements, of a queue hold of a device type. */
export interface QueueHold {
  readonly queueId: string;
  readonly kind: 'job' | 'serving';
  readonly deviceType: DeviceType;
  /** Attempts or placements. */
  readonly holders: number;
  readonly devices: number;
  /** Held within the time that was asked about. */
  readonly deviceSeconds: number;
}

/** What whoever commits a plan must know to be sure that the plan still holds. */
export type JobHead = Pick<Job, 'id' | 'phase' | 'attempts' | 'revision'>;

export interface JobFilter {
  readonly queueId?: string;
  readonly phases?: readonly JobPhase[];
}

/** Of one job. */
export interface JobBlobs {
  readonly jobId: string;
  readonly digests: readonly string[];
}

export abstract class JobRows {
  /** All in one statement. */
  abstract insert(jobs: readonly Job[]): Promise<void>;
  abstract find(by: { id: string } | { tenantId: string; name: string }, forUpdate?: boolean): Promise<Job | null>;
  /** Newest first: `after` is the last id seen. */
  abstract list(page: PageRequest & JobFilter): Promise<Job[]>;
  abstract findAll(ids: readonly string[]): Promise<Job[]>;
  /**
   * Every job that is not in a final phase, for leader loops. In order of id.
   *
   * @param specs job id → spec, for who asks often: a spec is most of a job and never changes, so those that are here are
   *   not read again. What is missing is added, and what is not active any more goes.
   */
  abstract active(specs?: Map<string, JobSpec>): Promise<Job[]>;
  /** Names of active jobs that wait for this one, oldest first. */
  abstract dependents(jobId: string, limit: number): Promise<string[]>;
  /** Of the tenant's jobs that are not in a final phase. */
  abstract tally(tenantId: string): Promise<QueueTally[]>;
  /** Those of a queue that wait: Queued before Waiting, the more important first, then who waits longest. */
  abstract pending(queueId: string, limit: number): Promise<Job[]>;
  /** Active ones for which room is held. */
  abstract nominated(): Promise<Job[]>;
  /** The jobs among `ids` that exist, their rows locked in order of id until the transaction ends. */
  abstract lock(ids: readonly string[]): Promise<Job[]>;
  /** As `lock`, for batches of which the jobs have been read already. */
  abstract lockHeads(ids: readonly string[]): Promise<JobHead[]>;
  /**
   * One statement for all. Bumps each revision and sets `phaseSince` where the phase changes. Returns the ids whose
   * revision was no longer the row's: those were left as they are.
   */
  abstract update(changes: readonly { id: string; revision: number; change: JobChange }[]): Promise<string[]>;
  /** Final ones whose time to live is over, oldest first; those that a job which is not final depends on stay. */
  abstract expired(now: Date, limit: number): Promise<string[]>;
  /** With attempts, events, decisions and noted blobs. Those that are not in a final phase stay as they are. */
  abstract remove(ids: readonly string[]): Promise<void>;
  /**
   * Keeps blobs from collection for as long as the job is there: the manifests of its checkpoints and outputs, and the
   * files that these list. Of a job that is gone nothing is noted; noting twice is the same as once.
   */
  abstract noteBlobs(noted: readonly JobBlobs[]): Promise<void>;
  /** Lets go of the jobs' noted blobs, except those listed. */
  abstract dropBlobs(kept: readonly JobBlobs[]): Promise<void>;
}

export type AttemptChange = Partial<
  Pick<
    Attempt,
    'phase' | 'stop' | 'outcome' | 'exitCode' | 'reason' | 'lostDeviceSeconds' | 'startedAt' | 'endedAt' | 'tasks'
  >
>;

export abstract class AttemptRows {
  /** All in one statement. */
  abstract insert(attempts: readonly Attempt[]): Promise<void>;
  abstract find(id: string, forUpdate?: boolean): Promise<Attempt | null>;
  /** Not Ended ones only. */
  abstract live(by?: { jobIds: readonly string[] } | { clusterId: string }): Promise<Attempt[]>;
  /** The attempts among `ids` that exist, Ended ones too, in no order. */
  abstract findAll(ids: readonly string[]): Promise<Attempt[]>;
  /** Newest first, at most 100. */
  abstract ofJob(jobId: string): Promise<Attempt[]>;
  /**
   * One statement for all. Ended is final: an ended attempt stays as it is. What becomes Ended lets go of its device
   * holds in the same statement.
   */
  abstract update(changes: readonly { id: string; change: AttemptChange }[]): Promise<void>;
}

/** One row a held device of a central cluster: that no device has two holders is the table's primary key (DESIGN §7.2). */
export abstract class DeviceHoldRows {
  /**
   * A holder gets all of its devices or none. Returns the holders that got none; devices of these that were free stay so.
   * A holder may take only once: what it has already is not free for it either. Placements and attempts let go of theirs
   * by ending (`PlacementRows.move`, `AttemptRows.update`).
   */
  abstract take(
    holds: readonly { clusterId: string; holderId: string; devices: readonly NodeDevices[] }[],
  ): Promise<string[]>;
  abstract release(holderIds: readonly string[]): Promise<void>;
  abstract ofClusters(
    clusterIds: readonly string[],
  ): Promise<{ clusterId: string; holderId: string; devices: readonly NodeDevices[] }[]>;
}

export abstract class JobEventRows {
  abstract add(events: readonly Omit<JobEvent, 'id' | 'at'>[]): Promise<void>;
  /** Newest first: `after` is the oldest id seen. */
  abstract list(jobId: string, page: Omit<PageRequest, 'tenantId'>): Promise<JobEvent[]>;
}

export abstract class UsageRows {
  /** Adds to what is there. */
  abstract charge(entries: readonly QueueUsage[]): Promise<void>;
  /** From this UTC day (`YYYY-MM-DD`) on; without a tenant of all. */
  abstract since(day: string, tenantId?: string): Promise<QueueUsage[]>;
  /** What the tenant's live holders have and are not yet charged for, of their time from `from` to `to`. */
  abstract held(tenantId: string, from: Date, to: Date): Promise<QueueHold[]>;
}

/** Clusters whose desired document does not yet say what the rows say. Written with the rows, taken by the documents loop. */
export abstract class OwedDocumentRows {
  abstract add(clusterIds: readonly string[]): Promise<void>;
  /**
   * Removes up to `limit` and returns them; the transaction that takes them writes their documents.
   *
   * @param except clusters whose debts stay
   */
  abstract take(limit: number, except?: readonly string[]): Promise<string[]>;
}
