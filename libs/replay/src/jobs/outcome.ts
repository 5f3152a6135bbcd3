/** What a replay of jobs came to. */
import { byClass, type ReplayClass } from '../classes.ts';
import { devicesOf, type FleetShape } from '../fleet.ts';
import { mean, quantile } from '../statistics.ts';
import type { BusyInterval } from './held-devices.ts';
import { devicesHeld, type JobState } from './job-states.ts';
import type { JobWorkload } from './workload.ts';

/** A job passes when it is done within this many times its own run time, or within PASS_FLOOR_MS. */
export const PASS_SLOWDOWN = 2;
export const PASS_FLOOR_MS = 3_600_000;

export interface ClassOutcome {
  readonly jobs: number;
  /** From arrival to the first start, seconds. Null: there were none. */
  readonly waitSecondsMean: number | null;
  readonly waitSecondsP50: number | null;
  readonly waitSecondsP99: number | null;
  /** From arrival to the end, seconds, stops and all. */
  readonly completionSecondsMean: number | null;
  /** Of the jobs' own run times: the completion, were nothing ever to wait or stop. */
  readonly runSecondsMean: number | null;
  readonly passPercent: number | null;
}

export interface JobOutcome {
  readonly seed: number;
  readonly load: number;
  /** Larger than the fleet: never tried. */
  readonly impossible: number;
  readonly classes: Readonly<Record<ReplayClass, ClassOutcome>>;
  readonly all: ClassOutcome;
  /** Device-time that was run again or spent on saving, of all that was held. */
  readonly lostPercent: number;
  /** Device-time held from the first to the last arrival, of what the fleet has in it. */
  readonly utilisationPercent: number;
  readonly stops: number;
  readonly cycles: number;
  /** Device-seconds: of the jobs' own run times; of what was run in vain or saving; of all that was held. */
  readonly usefulDeviceSeconds: number;
  readonly lostDeviceSeconds: number;
  readonly heldDeviceSeconds: number;
}

export interface ReplayFacts {
  readonly fleet: FleetShape;
  readonly workload: JobWorkload;
  readonly cycles: number;
  readonly busy: readonly BusyInterval[];
}

export function outcomeOf(states: readonly JobState[], { fleet, workload, cycles, busy }: ReplayFacts): JobOutcome {
  const ended = states.filter(({ phase }) => phase === 'ended');
  const sum = (of: (state: JobState) => number) => ended.reduce((total, state) => total + of(state), 0) / 1_000;
  const usefulDeviceSeconds = sum((state) => state.job.durationMs * devicesHeld(state));
  const lostDeviceSeconds = sum((state) => state.lostMs * devicesHeld(state));
  return {
    seed: workload.seed,
    load: workload.load,
    impossible: states.length - ended.length,
    classes: byClass((name) => classOutcomeOf(ended.filter(({ job }) => job.class === name))),
    all: classOutcomeOf(ended),
    lostPercent: (100 * lostDeviceSeconds) / Math.max(1, usefulDeviceSeconds + lostDeviceSeconds),
    utilisationPercent: utilisationPercent(busy, devicesOf(fleet), workload.jobs.at(-1)!.arrivalMs),
    stops: ended.reduce((total, state) => total + state.stops, 0),
    cycles,
    usefulDeviceSeconds,
    lostDeviceSeconds,
    heldDeviceSeconds: deviceMsWithin(busy, Number.POSITIVE_INFINITY) / 1_000,
  };
}

function classOutcomeOf(states: readonly JobState[]): ClassOutcome {
  const waits = states.map(({ job, firstStartedMs }) => (firstStartedMs! - job.arrivalMs) / 1_000);
  const completions = states.map(({ job, endedMs }) => (endedMs! - job.arrivalMs) / 1_000);
  const passed = states.filter(hasPassed).length;
  return {
    jobs: states.length,
    waitSecondsMean: mean(waits),
    waitSecondsP50: quantile(waits, 0.5),
    waitSecondsP99: quantile(waits, 0.99),
    completionSecondsMean: mean(completions),
    runSecondsMean: mean(states.map(({ job }) => job.durationMs / 1_000)),
    passPercent: states.length === 0 ? null : (100 * passed) / states.length,
  };
}

function hasPassed({ job, endedMs }: JobState): boolean {
  return endedMs! - job.arrivalMs <= Math.max(PASS_FLOOR_MS, PASS_SLOWDOWN * job.durationMs);
}

function utilisationPercent(busy: readonly BusyInterval[], devices: number, untilMs: number): number {
  return untilMs === 0 ? 0 : (100 * deviceMsWithin(busy, untilMs)) / (devices * untilMs);
}

function deviceMsWithin(busy: readonly BusyInterval[], untilMs: number): number {
  return busy.reduce(
    (sum, { fromMs, toMs, devices }) => sum + devices * Math.max(0, Math.min(toMs, untilMs) - fromMs),
    0,
  );
}
