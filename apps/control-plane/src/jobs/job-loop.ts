/**
 * Brings jobs to what is wanted of them: read the rows, settle what became of each job, plan what waits, commit. All that
 * matters is in the rows, so a new leader goes on where the one before stopped; what is only in memory (ages, where a job
 * failed to start, room held for replicas) makes for better choices and is learned again.
 */
import { Logger } from '@nestjs/common';
import { isMassUnknown, type Job, type Rows, type Store, stepJob } from '#domain';
import { type WorkloadPlan, WorkloadPlanner } from '#scheduling';
import type { LeaderClock } from '../leader/leader-clock.ts';
import { PhaseAges } from '../leader/phase-ages.ts';
import type { ServingWant } from '../leader/serving-wants.ts';
import { APPLY_BATCH_MAX, type AppliedJobs, type ApplyUnit, applyJobs } from './apply-jobs.ts';
import { CycleTimes } from './cycle-times.ts';
import { DueJobs } from './due-jobs.ts';
import { BATCHES_AT_ONCE, type Committed, inBatches } from './in-batches.ts';
import { JobDecisions } from './job-decisions.ts';
import { type HasBlobs, readJobFacts } from './job-facts.ts';
import { JobMemory } from './job-memory.ts';
import type { JobMetrics } from './job-metrics.ts';
import { isPending, type ServingPending, toWorkloadSnapshot, wantedReplicaId } from './job-snapshot.ts';
import type { JobWorld } from './job-world.ts';
import { KeptWorld } from './kept-world.ts';
import { type PlannedUnits, unitsOf } from './plan-units.ts';
import type { OutputPublisher } from './publish-output.ts';
import { SETTLE_BATCH_MAX, type SettledJob, settleJobs } from './settle-jobs.ts';

/** A plan of which parts are rejected is made again at once, so often; then the next cycle does it. */
const PLANS_MAX = 3;

export interface JobLoopParts {
  readonly store: Store;
  readonly epoch: number;
  readonly publisher: OutputPublisher;
  readonly metrics: JobMetrics;
  /** Replicas that wait for devices. */
  readonly serving: () => readonly ServingWant[];
  /** The term's. */
  readonly clock: Pick<LeaderClock, 'nowMs'>;
}

export class JobLoop {
  private readonly logger = new Logger('jobs');
  private readonly memory = new JobMemory();
  private readonly decisions: JobDecisions;
  private readonly ages: PhaseAges;
  private readonly kept: KeptWorld;
  private readonly planner = new WorkloadPlanner();
  private readonly due = new DueJobs();
  private readonly clock: Pick<LeaderClock, 'nowMs'>;

  constructor(private readonly parts: JobLoopParts) {
    this.decisions = new JobDecisions(parts.epoch);
    this.clock = parts.clock;
    this.ages = new PhaseAges(this.clock);
    this.kept = new KeptWorld(parts.store.read);
  }

  /** One cycle. */
  async run(signal: AbortSignal): Promise<void> {
    const begunAtMs = performance.now();
    const times = new CycleTimes();
    const { read } = this.parts.store;

    // 1 The world as it is; most of it is not read while there are no jobs.
    const { kept } = this;
    const hasWork = await times.count('read', () => kept.lookAtWork());
    const cycle = this.parts.serving();
    const serving: Serving = { replicas: await readServing(read, cycle), cycle };
    if (!hasWork) return this.parts.metrics.jobs(new Map());
    let world = await times.count('read', () => kept.lookAtRest(this.clock.nowMs()));
    this.parts.metrics.jobs(countPhases(world.jobs.values()));

    // 2 What became of each job.
    const settled = await times.count('settle', () => this.settle(world, signal));
    if (settled.results.length > 0) world = await times.count('read', () => kept.look(this.clock.nowMs()));
    await this.memory.refresh(read, world);
    this.decisions.retain(world.jobs);

    // 3 What waits is placed; what was refused at the commit is planned again.
    const errors = [...settled.errors];
    for (let tries = 0; tries < PLANS_MAX && !signal.aborted; tries += 1) {
      const scheduled = await this.schedule(world, serving, signal, times);
      errors.push(...scheduled.errors);
      if (scheduled.rejected === 0) break;
      // What is refused again and again may be told wrongly here.
      if (tries > 0) kept.forget();
      world = await times.count('read', () => kept.look(this.clock.nowMs()));
    }
    this.parts.metrics.cycle((performance.now() - begunAtMs) / 1_000, times.seconds);

    // 4 One that could not be committed kept none of the others from it.
    if (errors.length > 0) throw errors[0];
  }

  private async settle(world: JobWorld, signal: AbortSignal): Promise<Committed<readonly SettledJob[]>> {
    const { store, publisher } = this.parts;
    const due = this.due.pick(world, this.kept.takeTouched(), this.clock.nowMs());
    const has: HasBlobs = (...asked) => publisher.has(...asked);
    const { facts, errors } = await readJobFacts(store.read, world, due, this.ages, has);
    const steps = facts.flatMap((each) => {
      const step = stepJob(each);
      return step === null ? [] : [{ facts: each, step }];
    });
    const committed = await inBatches(steps, { size: SETTLE_BATCH_MAX, signal }, (batch) => this.settleBatch(batch));
    return { ...committed, errors: [...errors, ...committed.errors] };
  }

  private async settleBatch(batch: readonly Pick<SettledJob, 'facts' | 'step'>[]): Promise<readonly SettledJob[]> {
    const { store, epoch, publisher, metrics } = this.parts;
    const settled: SettledJob[] = [];
    for (const { facts, step } of batch) settled.push(await publisher.withBlobs(facts, step));
    const publishing = settled.filter((each) => publisher.mustPublish(each));
    const rest = settled.filter((each) => !publishing.includes(each));
    const done = rest.length === 0 ? [] : await settleJobs(store, epoch, rest);
    for (const each of publishing) done.push(...(await publisher.settle(store, epoch, each)));
    for (const each of done) this.remember(each);
    metrics.settled(done);
    return done;
  }

  private remember({ facts: { attempt, nowMs }, step }: SettledJob): void {
    if (attempt !== null && step.ended !== null) this.memory.ended(attempt, step.ended.failedToStartIn, nowMs);
  }

  private async schedule(
    world: JobWorld,
    serving: Serving,
    signal: AbortSignal,
    times: CycleTimes,
  ): Promise<Scheduled> {
    if (serving.replicas.length === 0 && !somePending(world)) return { rejected: 0, errors: [] };
    const { plan, units } = await times.count('plan', () => {
      const snapshot = toWorkloadSnapshot(world, this.memory, serving.replicas);
      const plan = this.planner.plan(pausedWhenBlind(snapshot, world));
      const names = new Map(snapshot.pending.map(({ id, name }) => [id, name]));
      const units = unitsOf(plan, world, this.decisions, (id) => names.get(id) ?? id);
      return { plan, units };
    });
    const { store, epoch } = this.parts;
    const { results, errors } = await times.count('commit', () =>
      inBatches(units.units, { size: APPLY_BATCH_MAX, signal, atOnce: BATCHES_AT_ONCE }, (batch) =>
        applyJobs(store, epoch, batch, world),
      ),
    );
    const rejected = results.reduce((sum, applied) => sum + this.note(applied, units, world), 0);
    this.holdForServing(plan, units, serving, world.nowMs);
    return { rejected, errors };
  }

  /** @returns how many starts and preemptions were rejected */
  private note({ applied, rejected, attempts }: AppliedJobs, { verdicts }: PlannedUnits, world: JobWorld): number {
    for (const { job, decision } of applied) {
      const verdict = job === null ? undefined : verdicts.get(job.id);
      if (job !== null && decision !== null && verdict !== undefined) {
        this.decisions.remember(job.id, verdict, world.nowMs);
      }
    }
    for (const { unit, reason } of rejected) this.logger.warn(`${unit.name} was not taken: ${reason}`);
    const stops = applied.reduce((sum, { stops: each }) => sum + each.length, 0);
    this.parts.metrics.applied({ started: attempts.length, rejected: rejected.length, stopped: stops });
    return rejected.filter(({ unit }) => isAction(unit)).length;
  }

  /** Room that is made for replicas is in memory only: the deployment planner takes it once it is free. */
  private holdForServing(plan: WorkloadPlan, { serving: changed }: PlannedUnits, wants: Serving, nowMs: number): void {
    for (const [id, nomination] of changed) {
      if (nomination === null) this.memory.servingNominations.delete(id);
      else this.memory.servingNominations.set(id, nomination);
    }
    const wanted = wants.replicas.flatMap(({ deployment, replicas }) =>
      Array.from({ length: replicas }, (_, index) => wantedReplicaId(deployment, index)),
    );
    const waiting = new Set(wanted);
    this.memory.forgetServing(waiting);
    const started = plan.starts.map(({ workloadId }) => workloadId).filter((id) => waiting.has(id));
    this.memory.offered(new Set(started), wants.cycle, nowMs);
  }
}

interface Scheduled {
  /** Starts and preemptions. */
  readonly rejected: number;
  readonly errors: readonly unknown[];
}

/** What the scheduler could not place. */
interface Serving {
  readonly replicas: readonly ServingPending[];
  /** New with every cycle of the scheduler. */
  readonly cycle: object;
}

function isAction({ start, stops }: ApplyUnit): boolean {
  return start !== null || stops.length > 0;
}

/** With most clusters Unknown the fault is taken for ours: nobody is stopped for anybody (X05). */
function pausedWhenBlind<Snapshot extends { readonly policy?: object }>(
  snapshot: Snapshot,
  { clusters }: JobWorld,
): Snapshot {
  if (!isMassUnknown([...clusters.values()].map(({ phase }) => phase))) return snapshot;
  return { ...snapshot, policy: { ...snapshot.policy, preempts: false } };
}

function somePending({ jobs }: JobWorld): boolean {
  for (const job of jobs.values()) if (isPending(job)) return true;
  return false;
}

function countPhases(jobs: Iterable<Job>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { phase } of jobs) counts.set(phase, (counts.get(phase) ?? 0) + 1);
  return counts;
}

/** With the preemption policy of their classes; of a class that is gone it is the default. */
export async function readServing(rows: Rows, wants: readonly ServingWant[]): Promise<ServingPending[]> {
  const serving: ServingPending[] = [];
  for (const want of wants) {
    const { tenantId, priorityClass: name } = want.deployment;
    const found = await rows.priorityClasses.find({ tenantId, name });
    serving.push({ ...want, preemption: found?.preemption ?? 'lower-priority' });
  }
  return serving;
}
