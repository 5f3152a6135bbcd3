/** Attempts and replicas that hold devices, as the planner sees them. Of rows that are the same objects as before it is the same objects. */
import { type Attempt, type Deployment, deviceCountOf, type GangPolicy, type Job, type Placement } from '#domain';
import type { RunningWorkload } from '#scheduling';
import type { JobWorld } from './job-world.ts';

/** One of one. */
export const ALONE: GangPolicy = { size: 1, minimum: 1, topology: null, spansClusters: false };

/** Of a job that is still there. */
export function runningOf(attempt: Attempt, job: Job): RunningWorkload {
  return made(attempt, job, toRunning);
}

export function servingOf({
  placements,
  deployments,
}: Pick<JobWorld, 'placements' | 'deployments'>): RunningWorkload[] {
  return placements.flatMap((placement) => {
    const deployment = deployments.get(placement.deploymentId);
    return deployment === undefined ? [] : [made(placement, deployment, toServing)];
  });
}

/** What pending and running workloads of a job have in common. */
export function workloadOf(job: Job) {
  const { id, name, tenantId, queueId, priority, spec, checkpoint } = job;
  const devices = spec.claim.count * spec.gang.size;
  return {
    ...{ id, name, kind: 'job' as const, tenantId, queueId, priority, claim: spec.claim, gang: spec.gang },
    queuedAtMs: (job.queuedAt ?? job.createdAt).getTime(),
    expectedSeconds: spec.expectedSeconds,
    savedSeconds: (checkpoint?.savedDeviceSeconds ?? 0) / devices,
  };
}

/** Holder → the last that was made of it, and with what owner. */
const runningMade = new WeakMap<object, { readonly owner: object; readonly running: RunningWorkload }>();

function made<Holder extends object, Owner extends object>(
  holder: Holder,
  owner: Owner,
  make: (holder: Holder, owner: Owner) => RunningWorkload,
): RunningWorkload {
  const known = runningMade.get(holder);
  if (known?.owner === owner) return known.running;
  const running = make(holder, owner);
  runningMade.set(holder, { owner, running });
  return running;
}

function toRunning(attempt: Attempt, job: Job): RunningWorkload {
  const { spec, preemptible, preemptions, checkpoint } = job;
  const { id, claim, tasks, startedAt, createdAt, phase, resumedFrom } = attempt;
  const saved = checkpoint?.attemptId === id ? checkpoint : null;
  return {
    ...workloadOf(job),
    claim,
    holderId: id,
    tasks,
    startedAtMs: (startedAt ?? createdAt).getTime(),
    // Together these tell when it ends: what is left of it is left from its newest checkpoint on.
    savedAtMs: saved?.at.getTime() ?? null,
    savedSeconds: ((saved ?? resumedFrom)?.savedDeviceSeconds ?? 0) / deviceCountOf(attempt),
    preemptible,
    isEnding: phase === 'Stopping',
    minimumRunSeconds: spec.minimumRunSeconds,
    preemptions,
    preemptionsMax: spec.preemptionsMax,
    protectedSeconds: spec.protectedSeconds,
    budget: null,
  };
}

/** Replicas are never victims: a request that is cut off costs more than it frees. */
function toServing(placement: Placement, deployment: Deployment): RunningWorkload {
  const { id, tenantId, clusterId, claim, devices, createdAt, phase } = placement;
  const startedAtMs = createdAt.getTime();
  return {
    ...{ id, name: deployment.name, kind: 'serving', tenantId, claim, gang: ALONE },
    queueId: deployment.queueId,
    priority: deployment.priority,
    holderId: id,
    tasks: [{ rank: 0, clusterId, devices }],
    ...{ queuedAtMs: startedAtMs, startedAtMs, savedAtMs: null, expectedSeconds: null, savedSeconds: 0 },
    preemptible: false,
    isEnding: phase === 'Draining',
    ...{ minimumRunSeconds: 0, preemptions: 0, preemptionsMax: 0, protectedSeconds: 0, budget: null },
  };
}
