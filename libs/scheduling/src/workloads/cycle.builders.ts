/** A plan as words, so that a table's `want` is readable. */
import { planWorkloads } from './cycle.ts';
import type { RunningWorkload, WorkloadSnapshot } from './snapshot.ts';
import type { WorkloadPlan } from './workload-plan.ts';
import { type PendingSketch, pending, type RunningSketch, running, snapshot } from './workloads.builders.ts';

export function plan(parts: Partial<WorkloadSnapshot>): WorkloadPlan {
  return planWorkloads(snapshot(parts));
}

/** `+job node`, `job stops victim`, `job waits for node`, `job is let go`; of several members one node each. */
export function words({ starts, stops, nominations }: WorkloadPlan): string[] {
  return [
    ...starts.map(
      ({ workloadId, tasks, isBackfill }) => `+${workloadId} ${nodesOf(tasks)}${isBackfill ? ' ahead' : ''}`,
    ),
    ...stops.map(({ byWorkloadId, workloadId, cause, violatesBudget }) => {
      const verb = cause === 'reclaimed' ? 'reclaims' : 'stops';
      return `${byWorkloadId} ${verb} ${workloadId}${violatesBudget ? ' over budget' : ''}`;
    }),
    ...nominations.map(({ workloadId, nomination }) =>
      nomination === null ? `${workloadId} is let go` : `${workloadId} waits for ${nodesOf(nomination.tasks)}`,
    ),
  ];
}

function nodesOf(tasks: WorkloadPlan['starts'][number]['tasks']): string {
  const members = tasks.map(({ clusterId, devices }) =>
    devices === null ? clusterId : devices.map(({ node }) => node).join('+'),
  );
  return members.join(' ');
}

/** Job → state and reason. */
export function told({ verdicts }: WorkloadPlan): Record<string, string> {
  return Object.fromEntries(verdicts.map(({ workloadId, state, reason }) => [workloadId, `${state}: ${reason}`]));
}

export const H = 8;
export const M = 5;
export const L = 2;
export const HOUR = 3_600;

/** A preemptor of so many devices. */
export const high = (devices: number, rest: PendingSketch = {}) => pending('high', { priority: H, devices, ...rest });

/** Running jobs one after the other on the devices of their node. */
export function fill(node: string, jobs: Readonly<Record<string, RunningSketch>>): RunningWorkload[] {
  let firstDevice = 0;
  return Object.entries(jobs).map(([name, { devices = 1, ...rest }]) => {
    const job = running(name, { node, firstDevice, devices, ...rest });
    firstDevice += devices;
    return job;
  });
}
