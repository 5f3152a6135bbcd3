/** One job while it is replayed: what the planner is shown of it, and what becomes of its work when it is stopped. */
import { DEFAULT_TENANT_ID, type Nomination, type TaskBinding } from '#domain';
import type { PendingWorkload, RunningWorkload } from '#scheduling';
import { type FleetShape, REPLAY_DEVICE_TYPE } from '../fleet.ts';
import type { JobPolicy, Saving } from './policies.ts';
import { JOB_PRIORITIES, type ReplayJob } from './workload.ts';

export const REPLAY_QUEUE_ID = 'replay';
/** What all jobs have where a policy does not see classes. */
const BLIND_PRIORITY = JOB_PRIORITIES.medium;

export interface JobState {
  readonly job: ReplayJob;
  readonly base: ReturnType<typeof baseOf>;
  phase: 'coming' | 'waiting' | 'running' | 'stopping' | 'ended';
  /** 0, 1, 2 … */
  run: number;
  /** Of what is to happen to it next; all that was put on the timeline before is void. */
  turn: number;
  tasks: readonly TaskBinding[];
  nomination: Nomination | null;
  /** What the planner was shown of it while it waits; null: nothing yet. */
  shown: PendingWorkload | null;
  /** Of its run time, what is done and kept. */
  savedMs: number;
  /** Of this run. */
  startedMs: number;
  firstStartedMs: number | null;
  endedMs: number | null;
  stops: number;
  /** Held and not useful: run again later, or spent on saving. */
  lostMs: number;
}

export function newJobState(job: ReplayJob, fleet: FleetShape, policy: JobPolicy): JobState {
  return {
    job,
    base: baseOf(job, fleet, policy),
    phase: 'coming',
    run: 0,
    turn: 0,
    tasks: [],
    nomination: null,
    shown: null,
    savedMs: 0,
    startedMs: 0,
    firstStartedMs: null,
    endedMs: null,
    stops: 0,
    lostMs: 0,
  };
}

/** A job that is larger than a node becomes a gang of whole nodes. */
function baseOf(job: ReplayJob, { devicesPerNode }: FleetShape, policy: JobPolicy) {
  const members = Math.ceil(job.devices / devicesPerNode);
  return {
    id: job.id,
    name: job.id,
    kind: 'job',
    tenantId: DEFAULT_TENANT_ID,
    queueId: REPLAY_QUEUE_ID,
    priority: policy.seesClasses ? JOB_PRIORITIES[job.class] : BLIND_PRIORITY,
    claim: {
      deviceType: REPLAY_DEVICE_TYPE,
      count: members === 1 ? job.devices : devicesPerNode,
      schedulingPolicy: { topologyScope: 'node' },
    },
    gang: { size: members, minimum: members, topology: null, spansClusters: false },
    queuedAtMs: job.arrivalMs,
    expectedSeconds: job.expectedSeconds,
  } as const;
}

/** Devices that it holds while it runs: whole nodes, where it is a gang. */
export function devicesHeld({ base }: JobState): number {
  return base.claim.count * base.gang.size;
}

/** The same object as long as nothing about it changed: thousands wait, cycle after cycle. */
export function asPending(state: JobState): PendingWorkload {
  const { shown, savedMs, nomination } = state;
  if (shown?.nomination !== nomination || shown.savedSeconds !== savedMs / 1_000) state.shown = toPending(state);
  return state.shown!;
}

function toPending({ base, savedMs, nomination }: JobState): PendingWorkload {
  return {
    ...base,
    savedSeconds: savedMs / 1_000,
    preemption: 'lower-priority',
    selector: {},
    notBeforeMs: null,
    nomination,
    avoidClusterIds: [],
    preferredClusterIds: [],
  };
}

export function asRunning(state: JobState, saving: Saving, nowMs: number): RunningWorkload {
  const { base, tasks, savedMs, startedMs, phase, run, stops } = state;
  const keptMs = phase === 'running' ? keptOf(saving, nowMs - startedMs) : 0;
  return {
    ...base,
    savedSeconds: (savedMs + keptMs) / 1_000,
    holderId: holderIdOf(state.job.id, run),
    tasks,
    startedAtMs: startedMs,
    savedAtMs: keptMs === 0 ? null : startedMs + keptMs,
    preemptible: true,
    isEnding: phase === 'stopping',
    minimumRunSeconds: 0,
    preemptions: stops,
    preemptionsMax: Number.MAX_SAFE_INTEGER,
    protectedSeconds: 0,
    budget: null,
  };
}

export function holderIdOf(jobId: string, run: number): string {
  return `${jobId}/${run}`;
}

/** Of a run of `ranMs`, what the planner may count on: saving takes its time, in which nothing more is done. */
function keptOf(saving: Saving, ranMs: number): number {
  return Math.max(0, saving.kind === 'on-stop' ? ranMs - saving.saveSeconds * 1_000 : keptWhenStopped(saving, ranMs));
}

export function keptWhenStopped(saving: Saving, ranMs: number): number {
  if (saving.kind === 'none') return 0;
  if (saving.kind === 'on-stop') return ranMs;
  const everyMs = saving.everySeconds * 1_000;
  return Math.floor(ranMs / everyMs) * everyMs;
}

export function saveMsOf(saving: Saving): number {
  return saving.kind === 'on-stop' ? saving.saveSeconds * 1_000 : 0;
}
