/**
 * Commits what became of jobs: each step whole – job, attempt, events, what is charged, and the word that some clusters'
 * documents are to be written again – or not at all. A step whose job has changed since it was looked at is left for the
 * next look, which sees both.
 */
import {
  type Attempt,
  type Job,
  type JobBlobs,
  type JobChange,
  type JobEvent,
  type JobFacts,
  type JobStep,
  type QueueUsage,
  type Rows,
  type Store,
  usageOf,
} from '#domain';

/** Of one transaction. */
export const SETTLE_BATCH_MAX = 256;

export interface SettledJob {
  readonly facts: JobFacts;
  readonly step: JobStep;
  /** Blobs of the output of a job that succeeded; the others that it noted are let go. Null: no output. */
  readonly outputBlobs: readonly string[] | null;
  /** Blobs of a checkpoint that came with the report. */
  readonly checkpointBlobs: readonly string[];
}

/**
 * One transaction.
 *
 * @returns those that were committed
 * @throws StaleEpochError when `epoch` is over: nothing was written
 */
export function settleJobs(store: Store, epoch: number, settled: readonly SettledJob[]): Promise<SettledJob[]> {
  return store.transaction((rows) => settleIn(rows, settled), { epoch });
}

/**
 * @param besides changes that go with the step of a job: what its output was published as
 */
export async function settleIn(
  rows: Rows,
  settled: readonly SettledJob[],
  besides: ReadonlyMap<string, JobChange> = new Map(),
): Promise<SettledJob[]> {
  // 1 What is not as it was when it was judged is judged again, not here.
  const present = new Map(
    (await rows.jobs.lockHeads(settled.map(({ facts }) => facts.job.id))).map((head) => [head.id, head]),
  );
  const valid = settled.filter(({ facts: { job } }) => present.get(job.id)?.revision === job.revision);
  if (valid.length === 0) return [];

  // 2 Jobs and attempts; an attempt that becomes Ended lets go of its devices.
  await rows.jobs.update(
    valid.map(({ facts: { job }, step }) => ({
      id: job.id,
      revision: job.revision,
      change: { ...step.job, ...besides.get(job.id) },
    })),
  );
  const moved = valid.filter(({ step }) => step.attempt !== null);
  await rows.attempts.update(moved.map(({ facts, step }) => ({ id: facts.attempt!.id, change: step.attempt! })));

  // 3 What follows from it.
  await rows.jobEvents.add(valid.flatMap(eventsOf));
  await rows.usage.charge(valid.flatMap(chargesOf));
  await keepBlobs(rows, valid);
  await rows.owedDocuments.add(clustersOf(moved.filter(changesDocuments).map(({ facts }) => facts.attempt!)));
  return valid;
}

/** That it runs changes nothing about what the cluster should do. */
function changesDocuments({ step }: SettledJob): boolean {
  return step.attempt?.phase !== 'Running';
}

export function clustersOf(attempts: readonly Pick<Attempt, 'tasks'>[]): string[] {
  return [...new Set(attempts.flatMap(({ tasks }) => tasks.map(({ clusterId }) => clusterId)))].sort();
}

function eventsOf({ facts: { job, attempt }, step }: SettledJob): Omit<JobEvent, 'id' | 'at'>[] {
  const { id: jobId, tenantId } = job;
  return step.events.map((event) => ({ tenantId, jobId, attemptId: attempt?.id ?? null, ...event }));
}

function chargesOf({ facts: { job, attempt, nowMs }, step }: SettledJob): QueueUsage[] {
  if (step.ended === null || attempt === null) return [];
  return usageOf(heldBy(job, attempt, nowMs), 'job', step.ended.lostDeviceSeconds);
}

/** What an attempt has held until now. */
export function heldBy({ tenantId, queueId }: Pick<Job, 'tenantId' | 'queueId'>, attempt: Attempt, nowMs: number) {
  const { claim, tasks, createdAt } = attempt;
  const { deviceType, count } = claim;
  return { tenantId, queueId, deviceType, count: count * tasks.length, fromMs: createdAt.getTime(), toMs: nowMs };
}

async function keepBlobs(rows: Rows, settled: readonly SettledJob[]): Promise<void> {
  const succeeded = settled.filter(({ step }) => step.job.phase === 'Succeeded').map(outputOf);
  const saved = settled.map(({ facts, checkpointBlobs }) => ({ jobId: facts.job.id, digests: checkpointBlobs }));
  await rows.jobs.noteBlobs([...saved, ...succeeded].filter(({ digests }) => digests.length > 0));
  // Whoever succeeded is not resumed.
  await rows.jobs.dropBlobs(succeeded);
}

function outputOf({ facts, outputBlobs }: SettledJob): JobBlobs {
  return { jobId: facts.job.id, digests: outputBlobs ?? [] };
}
