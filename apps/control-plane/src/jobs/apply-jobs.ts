/**
 * Commits what the workload planner proposed, in batches, each one transaction under the epoch. Everything the plan rests on
 * is checked again there: each job's revision, each victim's attempt, each cluster's phase and cordon, that the devices
 * still exist, and by the rows of `device_holds` that nobody else has them. What no longer holds is rejected with its
 * reason and planned again; the rest stands (P19, P22). A preemptor and its victims are one unit: with any victim gone
 * from under the plan, none of the others is asked to go.
 *
 * Agents learn of it through the documents of the clusters that were touched (ADR 11). Few statements a batch, none a row:
 * the commit is what bounds how fast jobs start.
 */
import { v7 as uuidv7 } from 'uuid';
import {
  type Attempt,
  type AttemptChange,
  type Decision,
  type Job,
  type JobChange,
  type JobEvent,
  type JobHead,
  type Nomination,
  type Rows,
  type Store,
  type TaskBinding,
} from '#domain';
import type { PlannedStart, PlannedStop } from '#scheduling';
import { ClusterGate } from './cluster-gate.ts';
import type { JobWorld } from './job-world.ts';
import { clustersOf } from './settle-jobs.ts';

export const APPLY_BATCH_MAX = 256;

/** What is committed or rejected together. */
export interface ApplyUnit {
  /** Who starts or gets room nominated; null for room that is made for a replica of a deployment. */
  readonly job: Job | null;
  /** A job's or a deployment's, for this process' log. */
  readonly name: string;
  readonly start: PlannedStart | null;
  /** Undefined: it stays as it is. */
  readonly nomination: Nomination | null | undefined;
  readonly stops: readonly VictimStop[];
  readonly decision: Decision | null;
}

export interface VictimStop {
  readonly planned: PlannedStop;
  readonly job: Job;
  readonly attempt: Attempt;
}

export interface AppliedJobs {
  readonly applied: readonly ApplyUnit[];
  readonly rejected: readonly { readonly unit: ApplyUnit; readonly reason: string }[];
  readonly attempts: readonly Attempt[];
}

/**
 * At most APPLY_BATCH_MAX units, no two of which name the same job.
 *
 * @throws StaleEpochError when `epoch` is over: nothing was written
 */
export function applyJobs(
  store: Store,
  epoch: number,
  units: readonly ApplyUnit[],
  world: Pick<JobWorld, 'nowMs' | 'observations'>,
): Promise<AppliedJobs> {
  return store.transaction((rows) => applyIn(rows, epoch, units, world), { epoch });
}

async function applyIn(
  rows: Rows,
  epoch: number,
  units: readonly ApplyUnit[],
  world: Pick<JobWorld, 'nowMs' | 'observations'>,
): Promise<AppliedJobs> {
  // 1 Jobs, then clusters, each in order of id: the order in which everybody locks them.
  const reasons = new Map<ApplyUnit, string>();
  const present = new Map((await rows.jobs.lockHeads(jobIdsOf(units))).map((head) => [head.id, head]));
  for (const unit of units) note(reasons, unit, changedReason(unit, present));
  const gate = await ClusterGate.lock(rows, plannedStarts(units, reasons), world.observations);

  // 2 Where each start goes must still take it.
  for (const unit of units) {
    if (unit.start === null || reasons.has(unit)) continue;
    note(reasons, unit, gate.rejects(unit.job!, unit.start.tasks));
  }

  // 3 The devices: whoever gets all of its own holds them.
  const starting = units.filter((unit) => unit.start !== null && !reasons.has(unit));
  const attempts = new Map(starting.map((unit) => [unit, toAttempt(unit, epoch, world.nowMs)]));
  const without = new Set(await rows.deviceHolds.take([...attempts.values()].flatMap(holdsOf)));
  for (const [unit, { id }] of attempts) {
    if (!without.has(id)) continue;
    note(reasons, unit, 'its devices were taken meanwhile');
    attempts.delete(unit);
  }

  // 4 What still stands is written.
  const applied = units.filter((unit) => !reasons.has(unit));
  await write(rows, applied, attempts, present, world.nowMs);
  const rejected = [...reasons].map(([unit, reason]) => ({ unit, reason }));
  return { applied, rejected, attempts: [...attempts.values()] };
}

function note(reasons: Map<ApplyUnit, string>, unit: ApplyUnit, reason: string | null): void {
  if (reason !== null && !reasons.has(unit)) reasons.set(unit, reason);
}

function jobIdsOf(units: readonly ApplyUnit[]): string[] {
  const jobs = units.flatMap(({ job, stops }) => [...(job === null ? [] : [job]), ...stops.map((stop) => stop.job)]);
  return [...new Set(jobs.map(({ id }) => id))];
}

function plannedStarts(units: readonly ApplyUnit[], reasons: ReadonlyMap<ApplyUnit, string>) {
  return units.flatMap((unit) => (unit.start === null || reasons.has(unit) ? [] : [unit.start]));
}

/** The plan was made from rows that are no longer so. */
function changedReason({ job, stops }: ApplyUnit, present: ReadonlyMap<string, JobHead>): string | null {
  if (job !== null && present.get(job.id)?.revision !== job.revision) return 'the job changed meanwhile';
  const gone = stops.find((stop) => !isStillRunning(stop, present.get(stop.job.id)));
  return gone === undefined ? null : `${gone.job.name}, which was to make room, ended or changed meanwhile`;
}

/** A checkpoint that it saved meanwhile changes nothing: the attempt and that nobody has stopped it are what count. */
function isStillRunning({ attempt }: VictimStop, job: JobHead | undefined): boolean {
  if (job === undefined || job.attempts !== attempt.number) return false;
  return job.phase === 'Starting' || job.phase === 'Running';
}

function toAttempt({ job, start }: ApplyUnit, epoch: number, nowMs: number): Attempt {
  const { id, tenantId, attempts, spec, checkpoint } = job!;
  return {
    id: uuidv7(),
    tenantId,
    jobId: id,
    number: attempts + 1,
    epoch,
    claim: spec.claim,
    tasks: start!.tasks,
    phase: 'Assigned',
    stop: null,
    outcome: null,
    exitCode: null,
    reason: start!.reason,
    resumedFrom: checkpoint,
    lostDeviceSeconds: 0,
    createdAt: new Date(nowMs),
    startedAt: null,
    endedAt: null,
  };
}

function holdsOf({ id: holderId, tasks }: Attempt) {
  return tasks.flatMap(({ clusterId, devices }: TaskBinding) =>
    devices === null ? [] : [{ clusterId, holderId, devices }],
  );
}

async function write(
  rows: Rows,
  applied: readonly ApplyUnit[],
  attempts: ReadonlyMap<ApplyUnit, Attempt>,
  present: ReadonlyMap<string, JobHead>,
  nowMs: number,
): Promise<void> {
  if (applied.length === 0) return;
  const stops = applied.flatMap((unit) => unit.stops.map((stop) => ({ unit, stop })));
  await rows.attempts.insert([...attempts.values()]);
  const changes = [
    ...applied.flatMap((unit) => changesOf(unit)),
    ...stops.map(({ stop }) => ({ job: stop.job, change: stoppingJob(stop) })),
  ];
  await rows.jobs.update(
    changes.map(({ job: { id }, change }) => ({ id, revision: present.get(id)!.revision, change })),
  );
  await rows.attempts.update(
    stops.map(({ unit, stop }) => ({ id: stop.attempt.id, change: stoppingAttempt(unit, stop, nowMs) })),
  );
  await rows.jobEvents.add([
    ...[...attempts].map(([unit, attempt]) => assignedEvent(unit.job!, attempt)),
    ...stops.map(({ stop }) => stoppingEvent(stop)),
  ]);
  await rows.decisions.insertAll(applied.flatMap(({ decision }) => decision ?? []));
  const touched = [...attempts.values(), ...stops.map(({ stop }) => stop.attempt)];
  await rows.owedDocuments.add(clustersOf(touched));
}

/** Where something changes about the job itself: a decision alone changes nothing. */
function changesOf({ job, start, nomination }: ApplyUnit): { job: Job; change: JobChange }[] {
  if (job === null || (start === null && nomination === undefined)) return [];
  if (start === null) return [{ job, change: { nomination: nomination! } }];
  const { reason } = start;
  const attempts = job.attempts + 1;
  return [{ job, change: { phase: 'Starting', reason, attempts, retryAt: null, nomination: null } }];
}

function stoppingJob({ planned }: VictimStop): JobChange {
  return { phase: 'Stopping', reason: planned.reason };
}

function stoppingAttempt(unit: ApplyUnit, stop: VictimStop, nowMs: number): AttemptChange {
  const byJobId = unit.job?.id ?? null;
  const at = new Date(nowMs);
  return { phase: 'Stopping', stop: { cause: 'preempted', reason: stop.planned.reason, byJobId, at } };
}

type NewEvent = Omit<JobEvent, 'id' | 'at'>;

function assignedEvent({ id: jobId, tenantId }: Job, attempt: Attempt): NewEvent {
  const message = `attempt ${attempt.number}: ${attempt.reason}`;
  return { tenantId, jobId, attemptId: attempt.id, kind: 'Assigned', message };
}

function stoppingEvent({ planned, job, attempt }: VictimStop): NewEvent {
  const { id: jobId, tenantId } = job;
  return { tenantId, jobId, attemptId: attempt.id, kind: 'Stopping', message: planned.reason };
}
