// A job as the API shows it. Names for ids, conditions derived from the row: nothing of it is stored twice.

import type { AttemptDto, JobCheckpointDto, JobConditionDto, JobDto, JobEventDto } from '#contracts';
import {
  type Attempt,
  type Checkpoint,
  type Decision,
  isFinal,
  type Job,
  type JobEvent,
  lostAfterSecondsOf,
  type Rows,
  roleAllows,
  type TaskBinding,
  taskIdOf,
} from '#domain';
import type { Actor } from '../auth/actor.ts';
import { clusterIdsOf, type JobSurroundings, readClusters, readReports, readSurroundings } from './surroundings.ts';
import { waitingReason } from './waiting-reason.ts';

export async function viewJob(rows: Rows, job: Job): Promise<JobDto> {
  const [view] = await viewJobs(rows, [job]);
  return view!;
}

/** In their order. */
export async function viewJobs(rows: Rows, jobs: readonly Job[]): Promise<JobDto[]> {
  const around = await readSurroundings(rows, jobs);
  const queued = jobs.filter(({ phase }) => phase === 'Queued');
  const decisions = await rows.decisions.newestOf(queued.map(({ id }) => id));
  const decisionOf = new Map(decisions.map((decision) => [decision.subjectId, decision]));
  return jobs.map((job) => describeJob(job, around, decisionOf.get(job.id) ?? null));
}

/** Pure. @param decision the newest one of a job that waits in its queue */
export function describeJob(job: Job, around: JobSurroundings, decision: Decision | null): JobDto {
  const attempt = around.attempts.get(job.id) ?? null;
  const { id, name, kind, priorityClass, priority, preemption, preemptible, phase, suspended, revision } = job;
  const { attempts, failures, preemptions, outputDigest } = job;
  const published = job.publishedVersionId === null ? undefined : around.versions.get(job.publishedVersionId);
  return {
    ...{ id, name, kind, priorityClass, priority, preemption, preemptible, phase, suspended, revision },
    ...{ attempts, failures, preemptions, outputDigest },
    queue: around.queues.get(job.queueId)?.name ?? job.queueId,
    reason: reasonOf(job, decision),
    phaseSince: job.phaseSince.toISOString(),
    conditions: conditionsOf(job, attempt, decision),
    place: phase === 'Queued' ? (decision?.detail?.place ?? null) : null,
    cancelRequested: job.cancelRequestedAt !== null,
    dependsOn: job.dependsOn.map(({ jobId, when, name = jobId }) => {
      const dependency = around.jobs.get(jobId);
      return { job: dependency?.name ?? name, when, phase: dependency?.phase ?? null };
    }),
    tasks: attempt === null ? [] : viewBindings(attempt.tasks, around),
    progress: attempt === null ? null : (around.reports.get(taskIdOf(attempt.id, 0))?.progress ?? null),
    checkpoint: job.checkpoint === null ? null : viewCheckpoint(job.checkpoint),
    nomination:
      job.nomination === null
        ? null
        : { tasks: viewBindings(job.nomination.tasks, around), since: job.nomination.since.toISOString() },
    usage: {
      ranSeconds: job.ranSeconds,
      deviceSeconds: job.usedDeviceSeconds,
      lostDeviceSeconds: job.lostDeviceSeconds,
    },
    published:
      published === undefined
        ? null
        : { model: around.models.get(published.modelId)?.name ?? published.modelId, version: published.number },
    specification: viewSpecification(job, around),
    retryAt: timeOf(job.retryAt),
    queuedAt: timeOf(job.queuedAt),
    startedAt: timeOf(job.startedAt),
    endedAt: timeOf(job.endedAt),
    createdAt: job.createdAt.toISOString(),
  };
}

/** Of what waits for room the newest decision knows more than the row. */
function reasonOf(job: Job, decision: Decision | null): string {
  return decision !== null && job.phase === 'Queued' && decision.decidedAt >= job.phaseSince
    ? waitingReason(job, decision.outcome)
    : job.reason;
}

type Condition = (job: Job, attempt: Attempt | null, reason: string) => Omit<JobConditionDto, 'type'>;

/** In the order in which a job comes to them. */
const CONDITIONS: Readonly<Record<JobConditionDto['type'], Condition>> = {
  DependenciesMet: ({ queuedAt, phaseSince }, _attempt, reason) =>
    queuedAt === null ? no(reason, phaseSince) : yes('nothing that it depends on is outstanding', queuedAt),
  Scheduled: ({ phaseSince }, attempt, reason) =>
    attempt === null ? no(reason, phaseSince) : yes(attempt.reason, attempt.createdAt),
  Running: ({ phase, phaseSince }, attempt, reason) =>
    phase === 'Running' ? yes('all of its tasks run', attempt?.startedAt ?? phaseSince) : no(reason, phaseSince),
  Checkpointed: ({ checkpoint }) =>
    checkpoint === null
      ? no('nothing of it has been saved yet', null)
      : yes(
          checkpoint.progress === '' ? `checkpoint ${checkpoint.sequence} is saved` : checkpoint.progress,
          checkpoint.at,
        ),
  Ended: ({ phase, endedAt }, _attempt, reason) =>
    isFinal(phase) ? yes(`${phase}: ${reason}`, endedAt) : no(`it is ${phase}`, null),
};

function conditionsOf(job: Job, attempt: Attempt | null, decision: Decision | null): JobConditionDto[] {
  const reason = reasonOf(job, decision);
  return Object.entries(CONDITIONS).map(([type, judge]) => ({
    type: type as JobConditionDto['type'],
    ...judge(job, attempt, reason),
  }));
}

function yes(reason: string, since: Date | null): Omit<JobConditionDto, 'type'> {
  return { status: 'True', reason, since: timeOf(since) };
}

function no(reason: string, since: Date | null): Omit<JobConditionDto, 'type'> {
  return { status: 'False', reason, since: timeOf(since) };
}

function viewSpecification({ spec }: Job, around: JobSurroundings): JobDto['specification'] {
  const { gang, mounts, output, ...rest } = spec;
  const nameOf = (modelId: string) => around.models.get(modelId)?.name ?? modelId;
  return {
    ...(rest as Omit<JobDto['specification'], 'tasks' | 'mounts' | 'output'>),
    lostAfterSeconds: lostAfterSecondsOf(spec),
    tasks: gang,
    mounts: mounts.map(({ name, versionId }) => {
      const version = around.versions.get(versionId);
      return {
        name,
        model: version === undefined ? versionId : nameOf(version.modelId),
        version: version?.number ?? 0,
      };
    }),
    output: {
      required: output.required,
      publish: output.publish === null ? null : { model: nameOf(output.publish.modelId), alias: output.publish.alias },
    },
  };
}

/** What stands for a value that the reader may not see. */
const HIDDEN = '(hidden)';

/**
 * The environment of a job is where its passwords and tokens are: whoever may not submit jobs sees only what is set there.
 */
export function readableBy(job: JobDto, { role }: Pick<Actor, 'role'>): JobDto {
  if (roleAllows(role, 'jobs:write')) return job;
  const { specification } = job;
  const names = Object.keys(specification.environment);
  return {
    ...job,
    specification: { ...specification, environment: Object.fromEntries(names.map((name) => [name, HIDDEN])) },
  };
}

export function viewBindings(
  tasks: readonly TaskBinding[],
  around: Pick<JobSurroundings, 'clusters'>,
): JobDto['tasks'] {
  return tasks.map(({ rank, clusterId, devices }) => ({
    rank,
    cluster: around.clusters.get(clusterId)?.name ?? clusterId,
    devices: devices === null ? null : devices.map(({ node, deviceIds }) => ({ node, deviceIds: [...deviceIds] })),
  }));
}

export function viewCheckpoint(checkpoint: Checkpoint): JobCheckpointDto {
  const { attemptId, sequence, manifestDigest, sizeBytes, progress, savedDeviceSeconds, at } = checkpoint;
  return { attemptId, sequence, manifestDigest, sizeBytes, progress, savedDeviceSeconds, at: at.toISOString() };
}

/** What stands for the name of somebody else's job. */
export const FOREIGN_JOB = 'a job of another tenant';

/** Newest first. What an unreachable cluster last said of a task is not what is so. */
export async function viewAttempts(rows: Rows, attempts: readonly Attempt[], tenantId: string): Promise<AttemptDto[]> {
  const clusters = await readClusters(rows, clusterIdsOf(attempts));
  const seen = { clusters, reports: await readReports(rows, attempts, clusters) };
  const preemptors = await rows.jobs.findAll(
    [...new Set(attempts.map(({ stop }) => stop?.byJobId ?? null))].filter((id) => id !== null),
  );
  const nameOf = new Map(preemptors.map((job) => [job.id, job.tenantId === tenantId ? job.name : FOREIGN_JOB]));
  return attempts.map((attempt) => viewAttempt(attempt, seen, nameOf));
}

function viewAttempt(
  attempt: Attempt,
  seen: Pick<JobSurroundings, 'clusters' | 'reports'>,
  nameOf: ReadonlyMap<string, string>,
): AttemptDto {
  const { id, number, phase, outcome, exitCode, reason, stop, tasks, resumedFrom, lostDeviceSeconds } = attempt;
  return {
    ...{ id, number, phase, outcome, exitCode, reason, lostDeviceSeconds },
    stop:
      stop === null
        ? null
        : {
            ...{ cause: stop.cause, reason: stop.reason, at: stop.at.toISOString() },
            byJob: stop.byJobId === null ? null : (nameOf.get(stop.byJobId) ?? stop.byJobId),
          },
    tasks: viewBindings(tasks, seen).map((binding) => {
      const report = seen.reports.get(taskIdOf(id, binding.rank));
      const isLive = phase !== 'Ended';
      return {
        ...binding,
        phase: isLive ? (report?.phase ?? null) : null,
        reason: isLive ? (report?.reason ?? '') : '',
        ranSeconds: isLive ? (report?.ranSeconds ?? null) : null,
        progress: isLive ? (report?.progress ?? '') : '',
      };
    }),
    resumedFrom: resumedFrom === null ? null : viewCheckpoint(resumedFrom),
    createdAt: attempt.createdAt.toISOString(),
    startedAt: timeOf(attempt.startedAt),
    endedAt: timeOf(attempt.endedAt),
  };
}

export function viewEvent({ id, kind, message, attemptId, at }: JobEvent): JobEventDto {
  return { id, kind, message, attemptId, at: at.toISOString() };
}

function timeOf(date: Date | null): string | null {
  return date === null ? null : date.toISOString();
}
