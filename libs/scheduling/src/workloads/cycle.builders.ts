/** A plan as words, so that a table's `want` is readable. */
import { planWorkloads } from './cycle.ts';
import type { WorkloadSnapshot } from './snapshot.ts';
import type { WorkloadPlan } from './workload-plan.ts';
import { snapshot } from './workloads.builders.ts';

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
