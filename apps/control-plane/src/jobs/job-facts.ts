/**
 * What is known of each job, for `stepJob`: what its own clusters say of its tasks, how long they have been silent by this
 * leader's own clock, how what it waits for stands. What a report claims to have saved counts only once it is here.
 */
import {
  type Attempt,
  type ClusterStanding,
  type DependencyStanding,
  drainStage,
  isMassUnknown,
  isNewerCheckpoint,
  isTaskEnded,
  type Job,
  type JobFacts,
  type Rows,
  type TaskFacts,
  type TaskReport,
  taskIdOf,
} from '#domain';
import { dependencyVerdict } from '#scheduling';
import type { PhaseAges } from '../leader/phase-ages.ts';
import type { JobWorld } from './job-world.ts';

/** An agent has so long to list what a document that it applied names; only then does silence about it tell something. */
export const LISTING_MS_MAX = 30_000;

/** Whether a manifest and all of its files are in the blob store; `isLookedUp`: whatever was seen there before. */
export type HasBlobs = (manifestDigest: string, isLookedUp?: boolean) => Promise<boolean>;

export interface KnownJobs {
  readonly facts: readonly JobFacts[];
  /** Why nothing can be said of the others for now: a blob store that cannot be read has not lost what is in it. */
  readonly errors: readonly unknown[];
}

/** Of those among the world's jobs that are due, in their order. */
export async function readJobFacts(
  rows: Rows,
  world: JobWorld,
  due: readonly Job[],
  ages: PhaseAges,
  has: HasBlobs,
): Promise<KnownJobs> {
  const standings = standingsOf(world, ages);
  const massUnknown = isMassUnknown([...world.clusters.values()].map(({ phase }) => phase));
  const attempts = attemptsOf(world, due);
  const reports = reportsOf(world, attempts.values());
  const settled = await readSettled(rows, world, attempts.values(), reports);
  const dependencies = await readDependencies(rows, world, due);
  const facts: JobFacts[] = [];
  const errors: unknown[] = [];
  for (const job of due) {
    const attempt = attempts.get(job.id) ?? null;
    try {
      const said = attempt === null ? [] : tasksOf(attempt, reports, standings, settled);
      const tasks = attempt === null ? [] : await withoutMissing(job, attempt, said, has);
      const left = attempt === null ? {} : await whatIsLeft(job, attempt, tasks, has);
      const waits = job.phase === 'Waiting' || job.queuedAt === null ? dependencies(job) : READY;
      facts.push({ nowMs: world.nowMs, job, attempt, tasks, dependencies: waits, isMassUnknown: massUnknown, ...left });
    } catch (error) {
      errors.push(error);
    }
  }
  return { facts, errors };
}

const READY: DependencyStanding = { state: 'ready' };
const GONE: ClusterStanding = { name: '(gone)', phase: 'Left', unknownSeconds: 0, isEmptied: false };

function standingsOf({ nowMs, clusters }: JobWorld, ages: PhaseAges): Map<string, ClusterStanding> {
  const watched = ages.apply({
    nowMs,
    clusters: [...clusters.values()].map((cluster) => ({ cluster, report: null })),
    placements: [],
  });
  return new Map(
    watched.clusters.map(({ cluster: { id, name, phase, phaseSince, drain, ahead } }) => {
      const stage = ahead === null ? drainStage(drain, nowMs) : null;
      const unknownSeconds = phase === 'Unknown' ? Math.max(0, nowMs - phaseSince.getTime()) / 1_000 : 0;
      return [id, { name, phase, unknownSeconds, isEmptied: stage === 'move' || stage === 'stop' }];
    }),
  );
}

/** `<cluster id> <task id>` → what that cluster says of it: no cluster speaks for another. */
type Reports = ReadonlyMap<string, TaskReport>;

/** Of the clusters that these attempts are in. */
function reportsOf({ observations }: JobWorld, attempts: Iterable<Attempt>): Reports {
  const clusterIds = new Set<string>();
  for (const { tasks } of attempts) for (const { clusterId } of tasks) clusterIds.add(clusterId);
  const reports = new Map<string, TaskReport>();
  for (const clusterId of clusterIds) {
    const tasks = observations.get(clusterId)?.report.tasks ?? [];
    for (const task of tasks) reports.set(`${clusterId} ${task.taskId}`, task);
  }
  return reports;
}

/** Job id → its live attempt, of these jobs. */
function attemptsOf({ held }: JobWorld, jobs: readonly Job[]): Map<string, Attempt> {
  return new Map(jobs.flatMap(({ id }) => withJobId(held.attemptOf(id))));
}

function tasksOf(
  attempt: Attempt,
  reports: Reports,
  standings: ReadonlyMap<string, ClusterStanding>,
  settled: ReadonlySet<string>,
): TaskFacts[] {
  return attempt.tasks.map(({ rank, clusterId }) => {
    const taskId = taskIdOf(attempt.id, rank);
    return {
      rank,
      cluster: standings.get(clusterId) ?? GONE,
      report: reports.get(`${clusterId} ${taskId}`) ?? null,
      isSettled: settled.has(taskId),
    };
  });
}

/** Tasks that a cluster has been told of and does not list. Documents are read only where something is missing. */
async function readSettled(
  rows: Rows,
  world: JobWorld,
  attempts: Iterable<Attempt>,
  reports: Reports,
): Promise<Set<string>> {
  const missing = [...attempts]
    .filter(({ createdAt }) => world.nowMs - createdAt.getTime() >= LISTING_MS_MAX)
    .flatMap(({ id, tasks }) => tasks.map(({ rank, clusterId }) => ({ clusterId, taskId: taskIdOf(id, rank) })))
    .filter(({ clusterId, taskId }) => !reports.has(`${clusterId} ${taskId}`));
  const settled = new Set<string>();
  for (const [clusterId, tasks] of Map.groupBy(missing, (task) => task.clusterId)) {
    const report = world.observations.get(clusterId)?.report;
    const document = report === undefined ? null : await rows.desired.find(clusterId);
    // What an agent ahead of this database does not list was lost with the documents that it answers.
    const isAhead = (world.clusters.get(clusterId)?.ahead ?? null) !== null;
    if (isAhead || report === undefined || document === null || report.revision < document.revision) continue;
    const told = new Set(document.tasks.map(({ taskId }) => taskId));
    for (const { taskId } of tasks) if (told.has(taskId)) settled.add(taskId);
  }
  return settled;
}

/** Most of them have ended, and are not among the active ones. */
async function readDependencies(
  rows: Rows,
  { jobs }: JobWorld,
  due: readonly Job[],
): Promise<(job: Job) => DependencyStanding> {
  const waitedFor = due.filter(({ queuedAt }) => queuedAt === null).flatMap(({ dependsOn }) => dependsOn);
  const known = new Map(waitedFor.flatMap(({ jobId }) => withId(jobs.get(jobId))));
  const ended = new Set(waitedFor.map(({ jobId }) => jobId).filter((id) => !known.has(id)));
  for (const job of await rows.jobs.findAll([...ended])) known.set(job.id, job);
  return (job) => dependencyVerdict(job, known);
}

function withJobId(attempt: Attempt | null): [string, Attempt][] {
  return attempt === null ? [] : [[attempt.jobId, attempt]];
}

function withId(job: Job | undefined): [string, Job][] {
  return job === undefined ? [] : [[job.id, job]];
}

/** A checkpoint or an output that a report tells of and that is not here whole is none. */
async function withoutMissing(
  job: Job,
  attempt: Attempt,
  tasks: readonly TaskFacts[],
  has: HasBlobs,
): Promise<TaskFacts[]> {
  const checked: TaskFacts[] = [];
  for (const task of tasks) {
    const { report } = task;
    checked.push(
      report === null || !isTaskEnded(report.phase) ? task : await checkTask(job, attempt, task, report, has),
    );
  }
  return checked;
}

/**
 * Where a member failed before it ran, its checkpoint may be lost: the agent says so, this store is what counts. The one
 * before it is kept until a newer one is whole.
 */
async function whatIsLeft(
  { checkpoint }: Job,
  { resumedFrom }: Attempt,
  tasks: readonly TaskFacts[],
  has: HasBlobs,
): Promise<Pick<JobFacts, 'left'>> {
  const digest = resumedFrom?.manifestDigest;
  const isUnbegun = tasks.some(({ report }) => report?.phase === 'Failed' && report.ranSeconds === 0);
  if (digest === undefined || checkpoint?.manifestDigest !== digest || !isUnbegun || (await has(digest, true)))
    return {};
  const { before } = checkpoint;
  return { left: before !== undefined && (await has(before.manifestDigest, true)) ? before : null };
}

async function checkTask(
  job: Job,
  attempt: Attempt,
  task: TaskFacts,
  report: TaskReport,
  has: HasBlobs,
): Promise<TaskFacts> {
  const { checkpoint, outputDigest, ...rest } = report;
  const isNew = checkpoint !== undefined && isNewerCheckpoint(job, attempt, checkpoint.sequence);
  const keeps = checkpoint !== undefined && (!isNew || (await has(checkpoint.manifestDigest)));
  const hasOutput = outputDigest !== undefined && (await has(outputDigest));
  return {
    ...task,
    report: { ...rest, ...(keeps ? { checkpoint } : {}), ...(hasOutput ? { outputDigest } : {}) },
  };
}
