/**
 * Batch work: a job, its gang of tasks, and the attempts at running it.
 *
 *   Waiting → Queued → Starting → Running → Succeeded | Failed | Cancelled
 *                ↑         └──────── Stopping ────────┘
 *                └───────── (requeued) ──┘ └→ Suspended → Queued
 *
 * Waiting: for other jobs. Queued: for quota and room. Starting: an attempt is assigned, not all of its tasks run yet.
 * Stopping: its attempt is asked for a checkpoint and then ended. What Stopping leads to is in the attempt's `stop`.
 *
 * Intent (`suspended`, `cancelRequestedAt`) is the operator's and level-triggered; phases are the controller's.
 */
import type { ClusterSelector } from './deployments.ts';
import type { DeviceType, ResourceClaim, TopologyScope } from './devices.ts';
import type { PreemptionPolicy } from './tenancy.ts';

export const JOB_KINDS = ['fine-tune', 'batch-inference', 'evaluation', 'command'] as const;
export type JobKind = (typeof JOB_KINDS)[number];

export const JOB_PHASES = [
  'Waiting',
  'Queued',
  'Starting',
  'Running',
  'Stopping',
  'Suspended',
  'Succeeded',
  'Failed',
  'Cancelled',
] as const;
export type JobPhase = (typeof JOB_PHASES)[number];

const FINAL_PHASES: ReadonlySet<JobPhase> = new Set(['Succeeded', 'Failed', 'Cancelled']);

export function isFinal(phase: JobPhase): boolean {
  return FINAL_PHASES.has(phase);
}

/** `success` also waits for ever behind a job that failed; the dependent is cancelled then, with the reason (D02). */
export const DEPENDENCY_CONDITIONS = ['success', 'always'] as const;
export type DependencyCondition = (typeof DEPENDENCY_CONDITIONS)[number];

export interface JobDependency {
  readonly jobId: string;
  readonly when: DependencyCondition;
  /** What it was called when the dependent was submitted, for when it is gone; left out in rows of before. */
  readonly name?: string;
}

/** How a gang's members are started; the agent fills in rank, world size and rendezvous. See docs/jobs.md. */
export const LAUNCHERS = ['plain', 'torchrun', 'msrun'] as const;
export type Launcher = (typeof LAUNCHERS)[number];

export interface GangPolicy {
  /** Members, 1..4,096. */
  readonly size: number;
  /** Starts with at least so many when not all fit (G02). Default: `size`. */
  readonly minimum: number;
  /** Where all members must or should be together, besides each member's own claim. Null: anywhere in one cluster. */
  readonly topology: { readonly scope: TopologyScope; readonly required: boolean } | null;
  /** True: members may be in several clusters (G07). */
  readonly spansClusters: boolean;
}

/** A version that is laid into the working folder, read-only, before the command starts. */
export interface JobMount {
  /** What the environment variable `ATOLL_<NAME>_DIR` and the folder are called: `base`, `dataset`. DNS label. */
  readonly name: string;
  readonly versionId: string;
}

/**
 * How an attempt is asked to save its work. `none`: it cannot; its work is lost when it is stopped. `file`: the file
 * named by `ATOLL_CHECKPOINT_REQUEST` appears. `signal`: that, and the signal. The command answers by writing its
 * checkpoint into `ATOLL_CHECKPOINT_DIR` and then the file named by `ATOLL_CHECKPOINT_DONE` (docs/jobs.md).
 */
export interface CheckpointContract {
  readonly mode: 'none' | 'file' | 'signal';
  readonly signal: 'SIGUSR1' | 'SIGUSR2' | 'SIGTERM';
  /** Also asked for so often while it runs; null: only when it is stopped. At least 10. */
  readonly intervalSeconds: number | null;
}

export interface RetryPolicy {
  /** Failed attempts that are tried again; preemption and lost clusters are not counted. 0..100, default 3. */
  readonly limit: number;
  /** Wait before the first retry; doubled each time, at most an hour. */
  readonly backoffSeconds: number;
  /** Exit codes that are worth a retry; null: all but 126, 127 (it cannot be run) and 0 (it left no required output). */
  readonly exitCodes: readonly number[] | null;
}

export interface JobOutput {
  /** Files of `ATOLL_OUTPUT_DIR` are kept as artifacts. True: ending without any is a failure. */
  readonly required: boolean;
  /** Published as the next version of this model, whose parent is the mount `base`, when that is of the same model. */
  readonly publish: { readonly modelId: string; readonly alias: string | null } | null;
}

/** What was submitted; never changed. */
export interface JobSpec {
  readonly gang: GangPolicy;
  /** Of each member. */
  readonly claim: ResourceClaim;
  readonly selector: ClusterSelector;
  readonly launcher: Launcher;
  /** Program and arguments; `{{rank}}`-like words are not replaced: everything comes by environment. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly mounts: readonly JobMount[];
  readonly checkpoint: CheckpointContract;
  /** From the request to stop until the process is killed. 1..86,400, default 60. */
  readonly graceSeconds: number;
  readonly retry: RetryPolicy;
  /** In the queue at most so long before its first start; then it fails. Null: no bound. */
  readonly startDeadlineSeconds: number | null;
  /** Running, over all attempts, at most so long; then it fails. Null: no bound. */
  readonly runDeadlineSeconds: number | null;
  /** The row and its artifacts go so long after it ended. Default 7 days. */
  readonly ttlSeconds: number;
  readonly output: JobOutput;
  /** The submitter's estimate of how long it runs; orders and backfill use it. Null: unknown. */
  readonly expectedSeconds: number | null;
  /** A victim must have run at least so long (P12). Default 0. */
  readonly minimumRunSeconds: number;
  /** After so many preemptions it is no victim until it has run for `protectedSeconds` (P13). Default 5. */
  readonly preemptionsMax: number;
  readonly protectedSeconds: number;
  /**
   * After a cluster was Unknown for so long its attempt is lost and run again elsewhere, and after so much silence its
   * agent has ended it. Default 300, at least LOST_AFTER_SECONDS_MIN; read it by `lostAfterSecondsOf`.
   */
  readonly lostAfterSeconds: number;
}

/**
 * The least silence that is one. A healthy agent hears the control plane once a second at best, and a question that gets
 * lost takes it five seconds more: with less, it would end what it runs for nothing, again and again.
 */
export const LOST_AFTER_SECONDS_MIN = 10;

/** What an older release let through with less is lifted. */
export function lostAfterSecondsOf({ lostAfterSeconds }: Pick<JobSpec, 'lostAfterSeconds'>): number {
  return Math.max(LOST_AFTER_SECONDS_MIN, lostAfterSeconds);
}

/** A saved state; the newest whole one is what the next attempt resumes from. */
export interface Checkpoint extends SavedState {
  /** The one before it, which is kept too, should this one be lost; left out: there was none. */
  readonly before?: SavedState;
}

export interface SavedState {
  readonly attemptId: string;
  /** 1, 2, 3 … within the attempt. */
  readonly sequence: number;
  /** SHA-256 of the manifest (`manifestText`), which is itself a blob. */
  readonly manifestDigest: string;
  readonly sizeBytes: number;
  /** The command's own words about how far it is (`step 400 of 1000`); empty when it said none. */
  readonly progress: string;
  /** Device-seconds of the job that this checkpoint keeps, over all attempts. */
  readonly savedDeviceSeconds: number;
  readonly at: Date;
}

/** Room held for a preemptor until its victims are gone (P10, P11). */
export interface Nomination {
  readonly clusterId: string;
  /** Rank → where. */
  readonly tasks: readonly TaskBinding[];
  readonly since: Date;
}

export interface Job {
  readonly id: string;
  readonly tenantId: string;
  /** DNS label, unique within the tenant among jobs that are kept. */
  readonly name: string;
  readonly kind: JobKind;
  readonly queueId: string;
  readonly priorityClass: string;
  /** Of its class when it was submitted, like the next two. */
  readonly priority: number;
  readonly preemption: PreemptionPolicy;
  readonly preemptible: boolean;
  readonly dependsOn: readonly JobDependency[];
  readonly spec: JobSpec;
  readonly phase: JobPhase;
  /** One sentence: why it is in this phase. */
  readonly reason: string;
  readonly phaseSince: Date;
  /** Intent: it should not run for now. */
  readonly suspended: boolean;
  /** Intent: it should end. */
  readonly cancelRequestedAt: Date | null;
  /** Attempts made, those that count against the retry limit, and those ended by preemption. */
  readonly attempts: number;
  readonly failures: number;
  readonly preemptions: number;
  /** Attempts that were lost since anything was saved last: each further one is waited for longer. */
  readonly losses: number;
  /** Not started before; null: at once. */
  readonly retryAt: Date | null;
  /** Ageing counts from here: when it first could run. A requeued one keeps it. Null while Waiting. */
  readonly queuedAt: Date | null;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
  /** Over all ended attempts. */
  readonly ranSeconds: number;
  readonly usedDeviceSeconds: number;
  readonly lostDeviceSeconds: number;
  readonly checkpoint: Checkpoint | null;
  readonly nomination: Nomination | null;
  /** Of the output folder; null until it succeeded with one. */
  readonly outputDigest: string | null;
  /** The version that its output was published as. */
  readonly publishedVersionId: string | null;
  readonly createdAt: Date;
  /** Optimistic lock, also the ETag. Starts at 1. */
  readonly revision: number;
}

/** Where one member runs. */
export interface TaskBinding {
  readonly rank: number;
  readonly clusterId: string;
  /** By node; null in an edge cluster, whose agent binds by itself. */
  readonly devices: readonly NodeDevices[] | null;
}

export interface NodeDevices {
  readonly node: string;
  readonly deviceIds: readonly string[];
}

export const ATTEMPT_PHASES = ['Assigned', 'Running', 'Stopping', 'Ended'] as const;
export type AttemptPhase = (typeof ATTEMPT_PHASES)[number];

export const ATTEMPT_OUTCOMES = ['succeeded', 'failed', 'preempted', 'suspended', 'cancelled', 'lost'] as const;
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number];

/** Why an attempt is to end, and what then becomes of its job. */
export const STOP_CAUSES = ['preempted', 'suspended', 'cancelled', 'deadline', 'drained', 'gang-member-lost'] as const;
export type StopCause = (typeof STOP_CAUSES)[number];

export interface StopRequest {
  readonly cause: StopCause;
  /** One sentence: `preempted by job X (priority 8 over 2)`. */
  readonly reason: string;
  /** The preemptor; null for the other causes. */
  readonly byJobId: string | null;
  readonly at: Date;
}

/** One try at running a job: the whole gang, in one place, under one epoch. */
export interface Attempt {
  readonly id: string;
  readonly tenantId: string;
  readonly jobId: string;
  /** 1, 2, 3 … within the job. */
  readonly number: number;
  /** The leader epoch it was made under; agents refuse older ones, and outputs of an older attempt are refused. */
  readonly epoch: number;
  readonly claim: ResourceClaim;
  /** At least the gang's minimum. The task's id is `<attempt id>-<rank>`. */
  readonly tasks: readonly TaskBinding[];
  readonly phase: AttemptPhase;
  readonly stop: StopRequest | null;
  readonly outcome: AttemptOutcome | null;
  /** Of the first member that failed. */
  readonly exitCode: number | null;
  /** One sentence: why here; once it ended, how. */
  readonly reason: string;
  /** The checkpoint it began from. */
  readonly resumedFrom: Checkpoint | null;
  readonly lostDeviceSeconds: number;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
}

/** Something that happened to a job, for people; the newest EVENTS_PER_JOB_MAX are kept. */
export interface JobEvent {
  readonly id: string;
  readonly tenantId: string;
  readonly jobId: string;
  readonly attemptId: string | null;
  /** `Submitted`, `Queued`, `Started`, `CheckpointSaved`, `Preempted` … */
  readonly kind: string;
  readonly message: string;
  readonly at: Date;
}

export const EVENTS_PER_JOB_MAX = 200;
export const JOB_DEPENDENCIES_MAX = 100;
/** Jobs of a tenant that have not ended; more are refused until some of them end. */
export const ACTIVE_JOBS_PER_TENANT_MAX = 50_000;
export const GANG_SIZE_MAX = 4_096;

export function taskIdOf(attemptId: string, rank: number): string {
  return `${attemptId}-${rank}`;
}

/** Devices of all members that run. */
export function deviceCountOf({ claim, tasks }: Pick<Attempt, 'claim' | 'tasks'>): number {
  return claim.count * tasks.length;
}

/** What an agent says of a task. The last four are ends. */
export const TASK_PHASES = [
  'Pending',
  'Fetching',
  'Starting',
  'Running',
  'Checkpointing',
  'Stopping',
  'Uploading',
  'Succeeded',
  'Failed',
  'Stopped',
  'Refused',
] as const;
export type TaskPhase = (typeof TASK_PHASES)[number];

const ENDED_TASK_PHASES: ReadonlySet<TaskPhase> = new Set(['Succeeded', 'Failed', 'Stopped', 'Refused']);

export function isTaskEnded(phase: TaskPhase): boolean {
  return ENDED_TASK_PHASES.has(phase);
}

export interface TaskReport {
  readonly taskId: string;
  readonly attemptId: string;
  readonly jobId: string;
  readonly rank: number;
  readonly epoch: number;
  readonly phase: TaskPhase;
  /** One sentence when the phase needs explaining; empty otherwise. */
  readonly reason: string;
  readonly exitCode?: number;
  readonly processId?: number;
  /** Seconds that the process ran, by the agent's monotonic clock. */
  readonly ranSeconds: number;
  /** The newest line that the command gave as progress. */
  readonly progress?: string;
  /** The newest checkpoint whose every byte is in the registry. */
  readonly checkpoint?: TaskCheckpoint;
  /** Of the output folder, once every byte is in the registry. */
  readonly outputDigest?: string;
  /** The devices it has, where the agent binds by itself. */
  readonly devices?: readonly NodeDevices[];
}

export interface TaskCheckpoint {
  readonly sequence: number;
  readonly manifestDigest: string;
  readonly sizeBytes: number;
  readonly progress: string;
  /** Seconds of the task's run that it keeps. */
  readonly ranSeconds: number;
}

/** A device type and how many of it a whole gang of `members` needs. */
export function gangDemand(claim: ResourceClaim, members: number): { deviceType: DeviceType; count: number } {
  return { deviceType: claim.deviceType, count: claim.count * members };
}
