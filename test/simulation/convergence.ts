/** Whether the fleet is as it was asked to be (invariant 11), judged from the outside. */
import { type Deployment, type DesiredState, isRolloutActive } from '#domain';
import type { Agent } from './agent.ts';
import type { Fleet } from './fleet.ts';
import { freeByNode, unsettledJobs } from './job-convergence.ts';
import type { Tables } from './tables.ts';

/** What is still to come, in words; empty when all is at rest. */
export function unsettled(fleet: Fleet): string[] {
  const tables = fleet.database.committed;
  const { operator, agents, machines } = fleet;
  const left: string[] = [];
  if (operator.pending > 0) left.push(`${operator.pending} requests are not answered`);
  if (fleet.leader() === undefined) left.push('nobody leads');
  if (tables.outbox.size > 0) left.push(`${tables.outbox.size} messages wait in the outbox`);
  for (const { id, name, phase } of tables.clusters.values()) {
    if (phase === 'Left') continue;
    if (phase !== 'Ready') left.push(`${name} is ${phase}`);
    const why = unlike(agents.get(id)!, tables.desired.get(id), machines.get(id)!.engines.keys());
    if (why !== null) left.push(`${name}: ${why}`);
  }
  for (const { phase, deploymentId, reason } of tables.rollouts.values()) {
    if (isRolloutActive({ phase })) left.push(`a rollout of ${tables.deployments.get(deploymentId)?.name}: ${reason}`);
  }
  for (const deployment of tables.deployments.values()) left.push(...unlikeDeployment(fleet, tables, deployment));
  return [...left, ...operator.complaints(), ...unsettledJobs(fleet)];
}

function unlike(agent: Agent, desired: DesiredState | undefined, engines: Iterable<string>): string | null {
  if (agent.state !== 'running') return 'its agent does not run';
  const { epoch, revision } = agent.keeper.position;
  if (epoch !== (desired?.epoch ?? 0) || revision !== (desired?.revision ?? 0)) {
    return `has ${epoch}/${revision}, should have ${desired?.epoch}/${desired?.revision}`;
  }
  const wanted = (desired?.replicas ?? []).filter(({ draining }) => !draining).map(({ replicaId }) => replicaId);
  if ([...engines].sort().join() !== wanted.sort().join()) return 'other engines run than should';
  const isReady = wanted.every((replicaId) => agent.replicas.get(replicaId)?.phase === 'Ready');
  return isReady ? null : 'not all engines are ready';
}

function unlikeDeployment(fleet: Fleet, tables: Tables, deployment: Deployment): string[] {
  const { name, id, versionId, replicas, deletedAt } = deployment;
  const live = [...tables.placements.values()].filter(
    ({ deploymentId, phase }) => deploymentId === id && phase !== 'Removed',
  );
  if (deletedAt !== null) return [`${name} is still being deleted`];
  if (live.some(({ phase }) => phase === 'Draining')) return [`${name} still drains`];
  const asWanted = live.filter((placement) => placement.versionId === versionId).length;
  if (asWanted === replicas && live.length === replicas) return [];
  if (live.length > replicas) return [`${name} has ${live.length} placements, wants ${replicas}`];
  const room = [...tables.clusters.values()].find(({ id: clusterId, phase, cordoned }) => {
    if (phase !== 'Ready' || cordoned) return false;
    const free = [...freeByNode(tables, fleet.machines.get(clusterId)!).values()];
    return Math.max(...free) >= deployment.claim.count;
  });
  if (room !== undefined) return [`${name} has ${asWanted} of ${replicas} though ${room.name} has room`];
  // No room is no fault, unless an old version of its own holds what the new one could have.
  const isHeldByOld = live.some(
    (placement) => placement.versionId !== versionId && !tables.clusters.get(placement.clusterId)!.cordoned,
  );
  return isHeldByOld ? [`${name} runs an old version where the new one could run`] : [];
}
