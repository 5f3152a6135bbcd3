/**
 * The desired state of one cluster: everything it should run and hold, as one whole, revisioned document.
 *
 * Invariants: applying a document twice is the same as once; a document of an older epoch, or of the same epoch with a
 * lower revision, is never applied (DESIGN §7.4). A lost or repeated hint costs time, never truth.
 */
import type { ResourceClaim } from './devices.ts';
import type { CheckpointContract, JobKind, Launcher, NodeDevices, StopCause } from './jobs.ts';
import type { VersionFile, VersionSignature } from './models.ts';
import type { AdapterReference, LocalScaling, NodePreferences, RoutingPolicy } from './serving.ts';

export interface DesiredVersion {
  readonly versionId: string;
  readonly modelName: string;
  readonly number: number;
  readonly digest: string;
  readonly files: readonly VersionFile[];
  /** Absent when the publisher did not sign. */
  readonly signature?: VersionSignature;
}

export interface DesiredReplica {
  /** The placement's id. */
  readonly replicaId: string;
  readonly deploymentId: string;
  readonly deploymentName: string;
  readonly servedModel: string;
  readonly versionDigest: string;
  readonly claim: ResourceClaim;
  readonly epoch: number;
  /** True: finish what is in flight, take nothing new, then stop. */
  readonly draining: boolean;
  /** The devices that the centre bound; absent in an edge cluster, whose agent binds by itself. */
  readonly devices?: readonly NodeDevices[];
  /** The engine of the agent's configuration that runs it, by name; absent: the agent's own default. */
  readonly engine?: string;
  /** Absent: DEFAULT_ROUTING_POLICY. */
  readonly routing?: RoutingPolicy;
  /** Absent: the agent starts none by itself. */
  readonly localScaling?: LocalScaling;
  /** Absent: any node. */
  readonly nodes?: NodePreferences;
  /** Of versions that `versions` names too. Absent: none. */
  readonly adapters?: readonly AdapterReference[];
}

/** One member of an attempt at a job. */
export interface DesiredTask {
  readonly taskId: string;
  readonly attemptId: string;
  readonly jobId: string;
  readonly jobName: string;
  readonly kind: JobKind;
  /** 1, 2, 3 … within the job. */
  readonly attempt: number;
  readonly rank: number;
  /** Members of this attempt. */
  readonly worldSize: number;
  readonly epoch: number;
  readonly claim: ResourceClaim;
  /** Null: the agent binds by itself. */
  readonly devices: readonly NodeDevices[] | null;
  readonly launcher: Launcher;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Versions that `versions` names too. */
  readonly mounts: readonly { readonly name: string; readonly versionDigest: string }[];
  readonly checkpoint: CheckpointContract;
  readonly graceSeconds: number;
  readonly resumeFrom: {
    readonly manifestDigest: string;
    readonly sizeBytes: number;
    readonly progress: string;
  } | null;
  readonly outputRequired: boolean;
  /** Set: save what can be saved, then end. */
  readonly stop: { readonly cause: StopCause; readonly reason: string; readonly wantsCheckpoint: boolean } | null;
  /** Out of contact for so long, by its own monotonic clock, the agent ends it: the centre may run it elsewhere then. */
  readonly stopAfterSilentSeconds: number;
}

export interface DesiredState {
  readonly clusterId: string;
  readonly epoch: number;
  /** Rises by one with every change of content, across epochs. 0 is the empty document before the first. */
  readonly revision: number;
  readonly versions: readonly DesiredVersion[];
  readonly replicas: readonly DesiredReplica[];
  readonly tasks: readonly DesiredTask[];
}

export type DesiredVerdict = 'accepted' | 'same' | 'older-epoch' | 'older-revision' | 'foreign';

/** Whether an agent that holds `current` may apply `incoming`. */
export function judgeDesired(
  current: Pick<DesiredState, 'clusterId' | 'epoch' | 'revision'>,
  incoming: Pick<DesiredState, 'clusterId' | 'epoch' | 'revision'>,
): DesiredVerdict {
  if (incoming.clusterId !== current.clusterId) return 'foreign';
  if (incoming.epoch < current.epoch) return 'older-epoch';
  if (incoming.epoch === current.epoch && incoming.revision < current.revision) return 'older-revision';
  if (incoming.epoch === current.epoch && incoming.revision === current.revision) return 'same';
  return 'accepted';
}

/**
 * How a position that an agent says to have applied stands to the document that is stored. Revisions rise by one and
 * epochs never fall, so a position that is neither the stored one nor before it was never written here, or was written
 * and lost again: the database is older than its fleet (R20).
 */
export function judgePosition(
  stored: Pick<DesiredState, 'epoch' | 'revision'> | null,
  reported: Pick<DesiredState, 'epoch' | 'revision'>,
): 'current' | 'behind' | 'ahead' {
  const { epoch, revision } = stored ?? { epoch: 0, revision: 0 };
  if (reported.revision === revision && reported.epoch === epoch) return 'current';
  return reported.revision < revision && reported.epoch <= epoch ? 'behind' : 'ahead';
}
