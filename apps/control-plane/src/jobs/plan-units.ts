/**
 * Turns what the workload planner proposed into the units that are committed together: a start; or a nomination with all
 * of the stops that make its room; or only a decision that says why a job waits. Pure, but for the ids of decisions.
 */
import type { Attempt, Job, Nomination } from '#domain';
import type { PlannedStart, PlannedStop, WorkloadPlan, WorkloadVerdict } from '#scheduling';
import { memberBytesOf, TASKS_BYTES_MAX } from '../leader/desired-tasks.ts';
import type { ApplyUnit, VictimStop } from './apply-jobs.ts';
import type { JobDecisions } from './job-decisions.ts';
import type { JobWorld } from './job-world.ts';

export interface PlannedUnits {
  readonly units: readonly ApplyUnit[];
  /** Room that is made for replicas: workload id → where. Null: let go of. */
  readonly serving: ReadonlyMap<string, Nomination | null>;
  /** Job id → its verdict. */
  readonly verdicts: ReadonlyMap<string, WorkloadVerdict>;
}

export function unitsOf(
  plan: WorkloadPlan,
  world: JobWorld,
  decisions: JobDecisions,
  nameOf: (workloadId: string) => string,
): PlannedUnits {
  const { jobs, attempts } = world;
  const stops = Map.groupBy(plan.stops, ({ byWorkloadId }) => byWorkloadId);
  const nominations = new Map(plan.nominations.map((each) => [each.workloadId, each.nomination]));
  const starts = new Map(fitting(plan.starts, world).map((start) => [start.workloadId, start]));
  const verdicts = new Map(plan.verdicts.map((verdict) => [verdict.workloadId, toldIn(verdict, starts)]));
  const units: ApplyUnit[] = [];
  for (const id of new Set([...starts.keys(), ...nominations.keys(), ...stops.keys(), ...verdicts.keys()])) {
    const job = jobs.get(id) ?? null;
    const start = starts.get(id) ?? null;
    const verdict = verdicts.get(id);
    const unit: ApplyUnit = {
      job,
      name: job?.name ?? nameOf(id),
      start,
      nomination: nominations.get(id),
      stops: (stops.get(id) ?? []).flatMap((stop) => toVictim(stop, jobs, attempts)),
      decision: job === null || verdict === undefined ? null : decisions.decide(job, verdict, world.nowMs),
    };
    if (doesSomething(unit)) units.push(unit);
  }
  const serving = new Map([...nominations].filter(([id]) => !jobs.has(id)));
  return { units, serving, verdicts };
}

/** What was planned to start and cannot be told to its cluster waits. */
function toldIn(verdict: WorkloadVerdict, starts: ReadonlyMap<string, PlannedStart>): WorkloadVerdict {
  if (verdict.state !== 'started' || starts.has(verdict.workloadId)) return verdict;
  const reason = 'the documents of the clusters that have room are full of tasks; it waits until some of them end';
  return { ...verdict, state: 'waiting', reason };
}

function doesSomething({ job, start, nomination, stops, decision }: ApplyUnit): boolean {
  return start !== null || stops.length > 0 || decision !== null || (job !== null && nomination !== undefined);
}

/** A victim of which nothing is known any more has ended: its unit comes back from the applier's own look. */
function toVictim(
  planned: PlannedStop,
  jobs: ReadonlyMap<string, Job>,
  attempts: ReadonlyMap<string, Attempt>,
): VictimStop[] {
  const attempt = attempts.get(planned.holderId);
  const job = attempt === undefined ? undefined : jobs.get(attempt.jobId);
  return attempt === undefined || job === undefined ? [] : [{ planned, job, attempt }];
}

/** Starts for whose tasks their clusters' documents have bytes; the others wait until tasks end. */
function fitting(starts: readonly PlannedStart[], world: JobWorld): PlannedStart[] {
  if (starts.length === 0) return [];
  const bytes = new Map(world.held.documentBytes);
  return starts.filter(({ workloadId, tasks }) => {
    const job = world.jobs.get(workloadId);
    if (job === undefined) return false;
    const each = memberBytesOf(job);
    const added = Map.groupBy(tasks, ({ clusterId }) => clusterId);
    const fits = [...added].every(([id, here]) => (bytes.get(id) ?? 0) + each * here.length <= TASKS_BYTES_MAX);
    if (fits) for (const [id, here] of added) bytes.set(id, (bytes.get(id) ?? 0) + each * here.length);
    return fits;
  });
}
