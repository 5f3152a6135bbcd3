/**
 * A workload of jobs run through the production planner on a virtual clock.
 *
 * Events are arrivals, ends of work, and ends of saving. After events the planner is called once, at the next multiple
 * of the cycle and never twice in one: a real leader wakes sooner, so waits are those of a slow one. What it plans is
 * carried out at once and in whole, as if every commit succeeded.
 *
 * It checks what it carries out: only what waits is started, on devices of the fleet that nobody holds; only what runs
 * is stopped; and while anything waits, something is still to come. Otherwise it throws BrokenPlanError.
 */
import { planWorkloads, type WorkloadPlan, type WorkloadSnapshot } from '#scheduling';
import { BrokenPlanError } from '../errors.ts';
import { clusterOf, devicesOf, type FleetShape } from '../fleet.ts';
import { Timeline } from '../timeline.ts';
import { HeldDevices } from './held-devices.ts';
import {
  asPending,
  asRunning,
  devicesHeld,
  holderIdOf,
  type JobState,
  keptWhenStopped,
  newJobState,
  saveMsOf,
} from './job-states.ts';
import { type JobOutcome, outcomeOf } from './outcome.ts';
import type { JobPolicy } from './policies.ts';
import { replayQueue } from './queue.ts';
import type { JobWorkload } from './workload.ts';

export const CYCLE_SECONDS_DEFAULT = 60;

export interface JobReplayOptions {
  readonly workload: JobWorkload;
  readonly fleet: FleetShape;
  readonly policy: JobPolicy;
  /** Whole seconds, at least 1. Default 60. */
  readonly cycleSeconds?: number;
  /** Sees every snapshot and the plan that was made of it. */
  readonly onPlan?: (snapshot: WorkloadSnapshot, plan: WorkloadPlan) => void;
}

/** `turn`: the state's when it was added; a later one of the same state makes it void. */
interface Happening {
  readonly kind: 'arrived' | 'done' | 'stopped';
  readonly state: JobState;
  readonly turn: number;
}

/** Cycles between two steps of a replay: some milliseconds of work. */
const CYCLES_PER_STEP = 20;

/** In steps of some milliseconds, for callers that do other things in between, or give up: yields the share of jobs that ended. */
export function stepJobReplay(options: JobReplayOptions): Generator<number, JobOutcome> {
  return new JobReplay(options).run();
}

class JobReplay {
  private readonly timeline = new Timeline<Happening>();
  private readonly states: ReadonlyMap<string, JobState>;
  private readonly waiting = new Map<string, JobState>();
  private readonly running = new Map<string, JobState>();
  private readonly held: HeldDevices;
  private readonly clusters: WorkloadSnapshot['clusters'];
  private readonly cycleMs: number;
  private cycles = 0;
  private ended = 0;

  constructor(private readonly options: JobReplayOptions) {
    const { workload, fleet, policy, cycleSeconds = CYCLE_SECONDS_DEFAULT } = options;
    const cluster = clusterOf(fleet);
    this.clusters = [cluster];
    this.held = new HeldDevices(cluster);
    this.cycleMs = cycleSeconds * 1_000;
    this.states = new Map(workload.jobs.map((job) => [job.id, newJobState(job, fleet, policy)]));
    const isPossible = (state: JobState) => devicesHeld(state) <= devicesOf(fleet);
    for (const state of this.states.values()) if (isPossible(state)) this.at(state.job.arrivalMs, 'arrived', state);
  }

  *run(): Generator<number, JobOutcome> {
    let cycleMs = Number.NEGATIVE_INFINITY;
    for (let next = this.timeline.nextMs; next !== null; next = this.timeline.nextMs) {
      cycleMs = Math.max(Math.ceil(next / this.cycleMs) * this.cycleMs, cycleMs + this.cycleMs);
      for (;;) {
        const due = this.timeline.takeUntil(cycleMs);
        if (due === null) break;
        this.happen(due.happening, due.atMs);
      }
      if (this.waiting.size > 0) this.cycle(cycleMs);
      if (this.cycles % CYCLES_PER_STEP === 0) yield this.ended / this.states.size;
    }
    const { fleet, workload } = this.options;
    return outcomeOf([...this.states.values()], { fleet, workload, cycles: this.cycles, busy: this.held.busy });
  }

  private happen({ kind, state, turn }: Happening, atMs: number): void {
    if (turn !== state.turn) return;
    if (kind === 'arrived') this.wait(state);
    else if (kind === 'done') this.end(state, atMs);
    else this.freed(state, atMs);
  }

  private wait(state: JobState): void {
    state.phase = 'waiting';
    this.waiting.set(state.job.id, state);
  }

  private end(state: JobState, atMs: number): void {
    this.ended += 1;
    state.phase = 'ended';
    state.endedMs = atMs;
    state.savedMs = state.job.durationMs;
    this.leave(state, atMs);
  }

  private freed(state: JobState, atMs: number): void {
    this.leave(state, atMs);
    this.wait(state);
  }

  private leave(state: JobState, atMs: number): void {
    const holderId = holderIdOf(state.job.id, state.run);
    this.held.release(holderId, atMs);
    this.running.delete(holderId);
    state.run += 1;
  }

  private cycle(nowMs: number): void {
    const snapshot = this.snapshot(nowMs);
    const plan = planWorkloads(snapshot);
    this.cycles += 1;
    this.options.onPlan?.(snapshot, plan);
    for (const { holderId } of plan.stops) this.stop(holderId, nowMs);
    for (const { workloadId, nomination } of plan.nominations) this.states.get(workloadId)!.nomination = nomination;
    for (const { workloadId, tasks } of plan.starts) this.start(workloadId, tasks, nowMs);
    if (this.waiting.size > 0 && this.timeline.nextMs === null) {
      throw new BrokenPlanError(`${this.waiting.size} jobs wait, nothing runs, and nothing was started`);
    }
  }

  private snapshot(nowMs: number): WorkloadSnapshot {
    const { policy } = this.options;
    return {
      nowMs,
      clusters: this.clusters,
      queues: [replayQueue(policy.order)],
      pending: [...this.waiting.values()].map(asPending),
      running: [...this.running.values()].map((state) => asRunning(state, policy.saving, nowMs)),
      policy: policy.workload,
    };
  }

  private start(workloadId: string, tasks: JobState['tasks'], nowMs: number): void {
    const state = this.waiting.get(workloadId);
    if (state === undefined) throw new BrokenPlanError(`${workloadId} was started, but it does not wait`);
    const holderId = holderIdOf(workloadId, state.run);
    this.held.take(holderId, tasks, nowMs);
    this.waiting.delete(workloadId);
    this.running.set(holderId, state);
    Object.assign(state, { phase: 'running', tasks, nomination: null, startedMs: nowMs });
    state.firstStartedMs ??= nowMs;
    this.at(nowMs + state.job.durationMs - state.savedMs, 'done', state);
  }

  private stop(holderId: string, nowMs: number): void {
    const { saving } = this.options.policy;
    const state = this.running.get(holderId);
    if (state?.phase !== 'running') throw new BrokenPlanError(`${holderId} was stopped, but it does not run`);
    const ranMs = nowMs - state.startedMs;
    const keptMs = keptWhenStopped(saving, ranMs);
    state.phase = 'stopping';
    state.stops += 1;
    state.savedMs += keptMs;
    state.lostMs += ranMs - keptMs + saveMsOf(saving);
    this.at(nowMs + saveMsOf(saving), 'stopped', state);
  }

  private at(atMs: number, kind: Happening['kind'], state: JobState): void {
    state.turn += 1;
    this.timeline.add(atMs, { kind, state, turn: state.turn });
  }
}
