/**
 * What the leader would do now, asked by anybody: dry runs and explanations. Plans on the same snapshot as the leader, but
 * for what only its memory has (where a job lately failed to start); nothing is written.
 */
import type { Job, Nomination, Rows } from '#domain';
import {
  DeploymentPlanner,
  type PlannedStart,
  type PlannedStop,
  type WorkloadPlan,
  WorkloadPlanner,
  type WorkloadVerdict,
} from '#scheduling';
import { KeptFleet } from '../leader/kept-fleet.ts';
import { servingWantsOf } from '../leader/serving-wants.ts';
import { readServing } from './job-loop.ts';
import { JobMemory } from './job-memory.ts';
import { isPending, toPending, toWorkloadSnapshot } from './job-snapshot.ts';
import { KeptWorld } from './kept-world.ts';

/** One job's part of a plan for all. */
export interface ForeseenJob {
  readonly verdict: WorkloadVerdict;
  /** Where it would start now; null when it would wait. */
  readonly start: PlannedStart | null;
  /** The room that would be held for it until its victims are gone. */
  readonly nomination: Nomination | null;
  /** Who would be stopped for it. */
  readonly stops: readonly PlannedStop[];
}

/**
 * Plans everything that waits and `job` with it, whether it is in a row yet or not, as if it were Queued now.
 *
 * @param rows `Store.read`: several reads at once
 * @param kept of who asks often, one question after the other
 */
export async function planJobs(
  rows: Rows,
  job: Job,
  nowMs: number,
  kept: Foreseeing = foreseeing(rows),
): Promise<ForeseenJob> {
  const plan = await planWith(rows, [job], nowMs, kept);
  return partOf(plan, job, plan.verdicts.find(({ workloadId }) => workloadId === job.id)!);
}

/**
 * Plans everything that waits, once, for all of `jobs`.
 *
 * @returns job id → its part; without those that do not wait for room any more
 */
export async function planWaiting(
  rows: Rows,
  jobs: readonly Job[],
  nowMs: number,
  kept: Foreseeing,
): Promise<ReadonlyMap<string, ForeseenJob>> {
  const plan = await planWith(rows, [], nowMs, kept);
  const asked = new Map(jobs.map((job) => [job.id, job]));
  return new Map(
    plan.verdicts.flatMap((verdict): [string, ForeseenJob][] => {
      const job = asked.get(verdict.workloadId);
      return job === undefined ? [] : [[job.id, partOf(plan, job, verdict)]];
    }),
  );
}

/** @param wanted may be in no row, or not wait */
async function planWith(rows: Rows, wanted: readonly Job[], nowMs: number, kept: Foreseeing): Promise<WorkloadPlan> {
  const world = await kept.world.look(nowMs);
  const memory = new JobMemory();
  await memory.refresh(rows, world, wanted);
  const fleet = { ...(await kept.fleet.look()), nowMs, failedIn: new Map() };
  const serving = await readServing(rows, servingWantsOf(fleet, kept.deployments.plan(fleet)));
  const extra = wanted
    .filter(({ id }) => !isPending(world.jobs.get(id) ?? NOT_THERE))
    .map((job) => toPending({ ...job, queuedAt: job.queuedAt ?? new Date(nowMs) }, world, memory));
  return kept.planner.plan(toWorkloadSnapshot(world, memory, serving, extra));
}

const NOT_THERE = { phase: 'Waiting', suspended: false, cancelRequestedAt: null } as const;

function partOf(plan: WorkloadPlan, job: Job, verdict: WorkloadVerdict): ForeseenJob {
  const nominated = plan.nominations.find(({ workloadId }) => workloadId === job.id);
  return {
    verdict,
    start: plan.starts.find(({ workloadId }) => workloadId === job.id) ?? null,
    nomination: nominated === undefined ? job.nomination : nominated.nomination,
    stops: plan.stops.filter(({ byWorkloadId }) => byWorkloadId === job.id),
  };
}

/** What is kept from question to question. */
export interface Foreseeing {
  readonly world: KeptWorld;
  readonly planner: WorkloadPlanner;
  readonly fleet: KeptFleet;
  readonly deployments: DeploymentPlanner;
}

export function foreseeing(rows: Rows): Foreseeing {
  return {
    world: new KeptWorld(rows),
    planner: new WorkloadPlanner(),
    fleet: new KeptFleet(rows),
    deployments: new DeploymentPlanner(),
  };
}
