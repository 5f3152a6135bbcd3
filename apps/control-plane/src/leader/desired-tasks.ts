/**
 * The tasks of one cluster's document, built from the attempts that are not over. A stop shows at once and stays until the
 * attempt is Ended; then the task drops out, and its agent forgets it.
 */
import type { Attempt, DesiredTask, Job, ModelVersion, StopCause, StopRequest, TaskBinding } from '#domain';
import { lostAfterSecondsOf, taskIdOf } from '#domain';

/** Worth a checkpoint: the job goes on later. A gang without a member cannot save, and who cancels wants no more. */
const WANTS_CHECKPOINT: Readonly<Record<StopCause, boolean>> = {
  preempted: true,
  suspended: true,
  drained: true,
  deadline: true,
  cancelled: false,
  'gang-member-lost': false,
};

/** As the wire bounds it. */
const REASON_CHARACTERS_MAX = 500;

/**
 * @param attempts those that are not Ended and have a task in this cluster
 * @param jobs, versions by id; an attempt whose job, or a mount whose version, is missing or not published is an error
 *   in the rows, and throws
 */
export function desiredTasksOf(
  clusterId: string,
  attempts: readonly Attempt[],
  jobs: ReadonlyMap<string, Job>,
  versions: ReadonlyMap<string, ModelVersion>,
): DesiredTask[] {
  return attempts.flatMap((attempt) => {
    const job = jobs.get(attempt.jobId);
    if (job === undefined) throw new Error(`attempt ${attempt.id} is of job ${attempt.jobId}, which does not exist`);
    const shared = describeAttempt(job, attempt, versions);
    const here = attempt.tasks.filter((task) => task.clusterId === clusterId);
    return here.map((task) => ({ ...shared, ...describeMember(attempt, task) }));
  });
}

export function mountedVersionIds(jobs: Iterable<Job>): string[] {
  return [...new Set([...jobs].flatMap(({ spec }) => spec.mounts.map(({ versionId }) => versionId)))];
}

function describeMember({ id }: Attempt, { rank, devices }: TaskBinding) {
  return { taskId: taskIdOf(id, rank), rank, devices };
}

function describeAttempt(job: Job, attempt: Attempt, versions: ReadonlyMap<string, ModelVersion>) {
  const { spec } = job;
  return {
    attemptId: attempt.id,
    jobId: job.id,
    jobName: job.name,
    kind: job.kind,
    attempt: attempt.number,
    worldSize: attempt.tasks.length,
    epoch: attempt.epoch,
    claim: attempt.claim,
    launcher: spec.launcher,
    command: spec.command,
    environment: spec.environment,
    mounts: spec.mounts.map(({ name, versionId }) => ({ name, versionDigest: digestOf(versions, versionId) })),
    checkpoint: spec.checkpoint,
    graceSeconds: spec.graceSeconds,
    resumeFrom: resumeFrom(attempt),
    outputRequired: spec.output.required,
    stop: attempt.stop === null ? null : describeStop(job, attempt.stop),
    stopAfterSilentSeconds: lostAfterSecondsOf(spec),
  };
}

function resumeFrom({ resumedFrom }: Attempt): DesiredTask['resumeFrom'] {
  if (resumedFrom === null) return null;
  const { manifestDigest, sizeBytes, progress } = resumedFrom;
  return { manifestDigest, sizeBytes, progress };
}

function describeStop({ spec }: Job, { cause, reason }: StopRequest): DesiredTask['stop'] {
  const wantsCheckpoint = WANTS_CHECKPOINT[cause] && spec.checkpoint.mode !== 'none';
  return { cause, reason: reason.slice(0, REASON_CHARACTERS_MAX), wantsCheckpoint };
}

function digestOf(versions: ReadonlyMap<string, ModelVersion>, versionId: string): string {
  const digest = versions.get(versionId)?.digest;
  if (digest === undefined || digest === null)
    throw new Error(`a job mounts version ${versionId}, which is not published`);
  return digest;
}

/** Bytes of a document that a task takes besides its command and environment, rounded up; its devices count apart. */
const TASK_BYTES = 1_400;
const DEVICE_BYTES = 48;
/** Of the 4 MiB that a document may have (`DESIRED_BYTES_MAX`); the rest is for versions and replicas. */
export const TASKS_BYTES_MAX = 3_145_728;

/** What one member of the job takes of a document. */
export function memberBytesOf({ spec }: Pick<Job, 'spec'>): number {
  const known = memberBytes.get(spec);
  if (known !== undefined) return known;
  const bytes = bytesOf(spec);
  memberBytes.set(spec, bytes);
  return bytes;
}

/** A spec never changes. */
const memberBytes = new WeakMap<Job['spec'], number>();

function bytesOf(spec: Job['spec']): number {
  const words = JSON.stringify([spec.command, spec.environment, spec.mounts]);
  return TASK_BYTES + Buffer.byteLength(words) + DEVICE_BYTES * spec.claim.count;
}
