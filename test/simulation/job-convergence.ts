/** Whether jobs have come to rest once the faults stopped: ended, or waiting for what is truly not there (invariant 11). */
import { isFinal, isTaskEnded, type Job } from '#domain';
import type { Machine } from './agent.ts';
import type { Fleet } from './fleet.ts';
import type { Tables } from './tables.ts';

/** What is still to come, in words; empty when all is at rest. */
export function unsettledJobs(fleet: Fleet): string[] {
  const tables = fleet.database.committed;
  const left: string[] = [];
  if (tables.owedDocuments.size > 0) left.push(`${tables.owedDocuments.size} documents are owed`);
  for (const job of tables.jobs.values()) {
    const why = unsettledBecause(fleet, tables, job);
    if (why !== null) left.push(`${job.name} (${job.phase}): ${why}`);
  }
  if (left.length > 0)
    left.push(
      `free: ${JSON.stringify([...fleet.machines.values()].map((machine) => [machine.clusterName, ...freeByNode(tables, machine).values()]))}`,
    );
  const known = new Set([...tables.jobs.values()].map(({ name }) => name));
  for (const name of fleet.jobOperator.acknowledged) if (!known.has(name)) left.push(`${name} is lost`);
  for (const [clusterId, machine] of fleet.machines) {
    if (machine.commands.length > 0) left.push(`a command runs in ${machine.clusterName}`);
    if (tables.clusters.get(clusterId)?.phase === 'Left') continue;
    if (machine.events.pending.size > 0) left.push(`${machine.clusterName} has events that nobody acknowledged`);
    const runs = [...(fleet.agents.get(clusterId)?.tasks.runs.values() ?? [])];
    if (runs.some(({ phase }) => !isTaskEnded(phase))) left.push(`a task waits in ${machine.clusterName}`);
  }
  return left;
}

/** Null: it has ended, or waits for room that is not there, or for one that does, and it says so. */
function unsettledBecause(fleet: Fleet, tables: Tables, job: Job): string | null {
  if (isFinal(job.phase)) return null;
  if (job.phase === 'Waiting') {
    const awaited = job.dependsOn.map(({ jobId }) => tables.jobs.get(jobId));
    const isStuck = awaited.some((each) => each !== undefined && isStuckInQueue(fleet, tables, each));
    return isStuck && job.reason !== '' ? null : job.reason;
  }
  if (isStuckInQueue(fleet, tables, job)) return null;
  const held = job.nomination === null ? '' : ', room is held for it';
  return `${job.reason}${held}; decided: ${tables.decisions.get(job.id)?.outcome ?? 'nothing'}`;
}

function isStuckInQueue(fleet: Fleet, tables: Tables, job: Job): boolean {
  if (job.phase === 'Waiting')
    return job.dependsOn.some(({ jobId }) => isStuckInQueue(fleet, tables, tables.jobs.get(jobId)!));
  if (job.phase !== 'Queued' || job.nomination !== null) return false;
  const isStated = (tables.decisions.get(job.id)?.outcome ?? '') !== '';
  const { claim, gang } = job.spec;
  const fits = [...tables.clusters.values()].some(({ id, phase, cordoned }) => {
    if (phase !== 'Ready' || cordoned) return false;
    const members = [...freeByNode(tables, fleet.machines.get(id)!).values()].map((free) =>
      Math.floor(free / claim.count),
    );
    return members.reduce((sum, each) => sum + each, 0) >= gang.minimum;
  });
  return isStated && !fits;
}

/** Node → devices that nobody was given. Where the agent binds by itself there is one node. */
export function freeByNode(tables: Tables, { clusterId, nodes }: Machine): Map<string, number> {
  const free = new Map(nodes.map(({ name, devices }) => [name, devices.length]));
  const take = (node: string, count: number) => free.set(node, (free.get(node) ?? 0) - count);
  const work = [
    ...[...tables.placements.values()].filter(({ phase }) => phase !== 'Removed'),
    ...[...tables.attempts.values()]
      .filter(({ phase }) => phase !== 'Ended')
      .flatMap(({ claim, tasks }) => tasks.map((task) => ({ ...task, claim }))),
  ].filter((each) => each.clusterId === clusterId);
  for (const { devices, claim } of work) {
    if (devices === null) take(nodes[0]!.name, claim.count);
    else for (const { node, deviceIds } of devices) take(node, deviceIds.length);
  }
  return free;
}
