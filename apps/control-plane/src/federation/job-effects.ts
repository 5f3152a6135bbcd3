/**
 * What the events of tasks do: a checkpoint becomes what the next attempt resumes from, an end is known before the next
 * report tells it. Only the newest attempt at a job speaks for it, from its own clusters and under its own epoch; what an
 * older one still sends is refused, and the audit log says so.
 */
import type { AgentEvent } from '#contracts';
import {
  type Attempt,
  type Cluster,
  checkpointOf,
  isFinal,
  isNewerCheckpoint,
  type Job,
  type Rows,
  type TaskReport,
  type VersionFile,
} from '#domain';
import { blobsOf } from '../jobs/stored-manifests.ts';

export type CheckpointSaved = Extract<AgentEvent, { kind: 'checkpoint-saved' }>;
export type TaskEnded = Extract<AgentEvent, { kind: 'task-ended' }>;

/** Read before the transaction: blobs never change. */
export interface StoredCheckpoint {
  /** The files of the event's manifest, of a checkpoint or an output; null: it, or one of them, is not in the registry. */
  readonly files: readonly VersionFile[] | null;
  /** What the job could resume from until now, and its blobs; null when there was nothing. */
  readonly before: { readonly manifestDigest: string; readonly blobs: readonly string[] } | null;
}

/** @returns why it was refused; null when it was taken */
export async function takeCheckpoint(
  rows: Rows,
  cluster: Cluster,
  event: CheckpointSaved,
  stored: StoredCheckpoint,
): Promise<string | null> {
  const job = await rows.jobs.find({ id: event.jobId }, true);
  const attempt = await rows.attempts.find(event.attemptId);
  const stranger = refuseStranger(job, attempt, cluster, event.epoch);
  if (stranger !== null) return stranger;
  const { files } = stored;
  if (files === null) return 'not all of its bytes are in the registry';
  const blobs = blobsOf(event.checkpoint.manifestDigest, files);
  await rows.jobs.noteBlobs([{ jobId: job!.id, digests: blobs }]);
  // One that the report told of first is known already.
  if (!isNewerCheckpoint(job!, attempt!, event.checkpoint.sequence)) return null;
  await writeCheckpoint(rows, job!, attempt!, event);
  await dropOlder(rows, job!, blobs, stored.before);
  return null;
}

async function writeCheckpoint(rows: Rows, job: Job, attempt: Attempt, event: CheckpointSaved): Promise<void> {
  const checkpoint = checkpointOf(attempt, event.checkpoint, await rows.clock.nowMs(), job.checkpoint);
  await rows.jobs.update([{ id: job.id, revision: job.revision, change: { checkpoint } }]);
  // One every few seconds would drive all other events out.
  if (attempt.phase !== 'Stopping' && checkpoint.sequence > 1) return;
  const { sequence, sizeBytes, progress } = checkpoint;
  const words = progress === '' ? '' : ` (${progress})`;
  const message = `attempt ${attempt.number} saved checkpoint ${sequence}${words}, ${sizeBytes} bytes`;
  const { tenantId, id: jobId } = job;
  await rows.jobEvents.add([{ tenantId, jobId, attemptId: attempt.id, kind: 'CheckpointSaved', message }]);
}

/** The one before stays: an attempt that has only just begun may still be fetching it. */
async function dropOlder(
  rows: Rows,
  job: Job,
  blobs: readonly string[],
  before: StoredCheckpoint['before'],
): Promise<void> {
  if (job.checkpoint === null || before?.manifestDigest !== job.checkpoint.manifestDigest) return;
  await rows.jobs.dropBlobs([{ jobId: job.id, digests: [...blobs, ...before.blobs] }]);
}

/**
 * The same effect as the report that tells it. Its output is kept from now on, whenever the next leader comes.
 *
 * @param files of its output; null: it has none that is here
 * @returns why it was refused; null when it was taken
 */
export async function takeTaskEnd(
  rows: Rows,
  cluster: Cluster,
  { task }: TaskEnded,
  files: readonly VersionFile[] | null,
): Promise<string | null> {
  const attempt = await rows.attempts.find(task.attemptId);
  const job = attempt === null ? null : await rows.jobs.find({ id: attempt.jobId });
  const stranger = refuseStranger(job, attempt, cluster, task.epoch);
  if (stranger !== null) return stranger;
  if (attempt!.phase === 'Ended') return null; // the report was quicker
  if (task.outputDigest !== undefined && files !== null) {
    await rows.jobs.noteBlobs([{ jobId: job!.id, digests: blobsOf(task.outputDigest, files) }]);
  }
  const observation = await rows.observations.find(cluster.id, true);
  if (observation === null) return null; // the first report will tell
  const report = task as TaskReport;
  const others = (observation.report.tasks ?? []).filter(({ taskId }) => taskId !== report.taskId);
  const tasks = [...others, report];
  await rows.observations.upsert({ ...observation, report: { ...observation.report, tasks } });
  return null;
}

/** Whose the cluster is does not count: the fleet is everybody's, and what was assigned to it runs there. */
function refuseStranger(job: Job | null, attempt: Attempt | null, cluster: Cluster, epoch: number): string | null {
  if (job === null || attempt === null || attempt.jobId !== job.id) return 'there is no such attempt';
  if (!attempt.tasks.some(({ clusterId }) => clusterId === cluster.id))
    return 'the attempt has no task in this cluster';
  if (attempt.epoch !== epoch) return `it is of epoch ${epoch}; the attempt is of epoch ${attempt.epoch}`;
  if (attempt.number !== job.attempts) return `attempt ${attempt.number} is over; the newest is ${job.attempts}`;
  return isFinal(job.phase) ? `the job has ended: it is ${job.phase}` : null;
}
