/**
 * What the leader would do now, asked by anybody: dry runs and explanations. Plans on the same snapshot as the leader, but
 * for what only its memory has (where a job lately failed to start); nothing is written.
 */
import type { Decision, Job, Nomination, Rows } from '#domain';
import {
  DeploymentPlanner,
  type PlannedStart,
  type PlannedStop,
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
  const world = await kept.world.look(nowMs);
  const memory = new JobMemory();
  await memory.refresh(rows, world, [job]);
  const fleet = { ...(await kept.fleet.look()), nowMs, failedIn: new Map() };
  const serving = await readServing(rows, servingWantsOf(fleet, kept.deployments.plan(fleet)));
  const known = world.jobs.get(job.id);
  const isThere = known !== undefined && isPending(known);
  const extra = isThere ? [] : [toPending({ ...job, queuedAt: job.queuedAt ?? new Date(nowMs) }, world, memory)];
  const plan = kept.planner.plan(toWorkloadSnapshot(world, memory, serving, extra));
  const nominated = plan.nominations.find(({ workloadId }) => workloadId === job.id);
  return {
    verdict: plan.verdicts.find(({ workloadId }) => workloadId === job.id)!,
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

export interface ExplainedJob {
  /** How it would fare now; null unless it waits for room. */
  readonly foreseen: ForeseenJob | null;
  /** Newest first, at most DECISIONS_EXPLAINED_MAX. */
  readonly decisions: readonly Decision[];
}

export const DECISIONS_EXPLAINED_MAX = 20;

/** @param rows `Store.read`: several reads at once */
export async function explainJob(rows: Rows, job: Job, kept?: Foreseeing): Promise<ExplainedJob> {
  const decisions = await rows.decisions.newest(job.id, DECISIONS_EXPLAINED_MAX);
  const nowMs = await rows.clock.nowMs();
  return { foreseen: isPending(job) ? await planJobs(rows, job, nowMs, kept) : null, decisions };
}
