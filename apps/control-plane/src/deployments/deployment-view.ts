// A deployment as the API shows it: what is wanted, where it is placed, what agents say of each replica, and one sentence.

import type { DeploymentDto, DeploymentPlanDto } from '#contracts';
import type { CandidateVerdict, Cluster, Deployment, Placement, ReplicaReport, Rows } from '#domain';
import { type DeploymentPlan, spreadGroup } from '#scheduling';
import { describeRollout, viewRollouts } from '../rollouts/rollout-view.ts';
import { viewServing } from './serving.ts';

type ReplicaDto = DeploymentDto['placements'][number];

interface Seen {
  readonly cluster: Cluster | null;
  readonly replicas: readonly ReplicaReport[];
}

export async function viewDeployment(rows: Rows, deployment: Deployment): Promise<DeploymentDto> {
  const placements = await rows.placements.live({ deploymentId: deployment.id });
  const versionIds = [deployment.versionId, ...placements.map(({ versionId }) => versionId)];
  // One after the other: within a transaction there is one connection.
  const model = await rows.models.find({ id: deployment.modelId });
  const versions = await rows.versions.findAll([...new Set(versionIds)]);
  const seen = await readSeen(rows, placements);
  const decisions = await rows.decisions.newest(deployment.id, 1);
  const [rollout = null] = await viewRollouts(rows, await rows.rollouts.ofDeployment(deployment.id, 1));
  const versionOf = new Map(versions.map((version) => [version.id, version]));
  const replicas = placements.map((placement) => {
    const version = versionOf.get(placement.versionId);
    return viewReplica(placement, seen.get(placement.clusterId), version?.number ?? 0, version?.digest ?? '');
  });
  const readyReplicas = replicas.filter(
    (replica) => replica.placementPhase === 'Assigned' && replica.phase === 'Ready',
  ).length;
  const wanted = versionOf.get(deployment.versionId);
  const clauses = [
    describeRollout(rollout),
    describeSpread(deployment, placements, seen),
    describeLocal(deployment, [...seen.values()]),
    await describeAlias(rows, deployment),
  ];
  const { id, name, servedModel, replicas: count, claim, spread, disconnect, alias, revision } = deployment;
  const { priorityClass, priority } = deployment;
  const queue = await rows.queues.find({ id: deployment.queueId });
  const serving = await viewServing(rows, deployment.serving);
  return {
    ...serving,
    ...{ id, name, servedModel, replicas: count, readyReplicas, claim, spread, disconnect, alias, rollout, revision },
    ...{ queue: queue?.name ?? deployment.queueId, priorityClass, priority },
    model: model?.name ?? '',
    version: wanted?.number ?? 0,
    versionDigest: wanted?.digest ?? '',
    selector: deployment.selector as DeploymentDto['selector'],
    rolloutPolicy: deployment.rollout as DeploymentDto['rolloutPolicy'],
    deleting: deployment.deletedAt !== null,
    status: describeStatus(deployment, replicas, readyReplicas, decisions[0]?.outcome ?? null, clauses),
    placements: replicas,
    createdAt: deployment.createdAt.toISOString(),
  };
}

/** Of one whose replicas all have their place: what waits for one says by itself what the spread is missing. */
function describeSpread(
  { spread, replicas }: Deployment,
  placements: readonly Placement[],
  seen: ReadonlyMap<string, Seen>,
): string {
  if (spread === null) return '';
  const assigned = placements.filter(({ phase }) => phase === 'Assigned');
  const groups = new Set(
    assigned.map(({ clusterId }) => spreadGroup(spread.by, seen.get(clusterId)?.cluster ?? undefined)),
  );
  groups.delete(null);
  const wanted = Math.min(spread.minGroups, replicas);
  if (assigned.length < replicas || groups.size >= wanted) return '';
  return `its replicas are in ${groups.size} of ${wanted} ${spread.by}s; what runs is not moved for it`;
}

/** Replicas that agents started by themselves: they are no placements, and count for nobody. */
function describeLocal({ id }: Deployment, seen: readonly Seen[]): string {
  const local = seen.flatMap(({ cluster, replicas }) => {
    const own = replicas.filter(({ deploymentId, isLocal }) => deploymentId === id && isLocal === true);
    return own.length === 0 ? [] : [`${own.length} in ${cluster?.name ?? '(gone)'}`];
  });
  return local.length === 0 ? '' : `agents run more by themselves: ${local.join(', ')}`;
}

/** Says when a deployment does not run what its alias points at: it was taken back, and waits for the next move. */
async function describeAlias(rows: Rows, { modelId, versionId, alias }: Deployment): Promise<string> {
  if (alias === null) return '';
  const target = await rows.aliases.find(modelId, alias);
  if (target === null) return `its alias ${alias} is gone; it stays at its version`;
  if (target.versionId === versionId) return '';
  const version = await rows.versions.find({ id: target.versionId });
  return `its alias ${alias} points at version ${version?.number ?? '(gone)'}, which it follows again once the alias moves`;
}

async function readSeen(rows: Rows, placements: readonly Placement[]): Promise<Map<string, Seen>> {
  const seen = new Map<string, Seen>();
  for (const id of new Set(placements.map(({ clusterId }) => clusterId))) {
    const cluster = await rows.clusters.find({ id });
    const observation = await rows.observations.find(id);
    seen.set(id, { cluster, replicas: observation?.report.replicas ?? [] });
  }
  return seen;
}

function viewReplica(placement: Placement, seen: Seen | undefined, version: number, digest: string): ReplicaDto {
  const report = seen?.replicas.find(({ replicaId }) => replicaId === placement.id);
  const clusterPhase = seen?.cluster?.phase;
  // What an unreachable cluster last said is not what is so; it is said why.
  const isOutOfTouch = clusterPhase === 'Unknown';
  return {
    id: placement.id,
    cluster: seen?.cluster?.name ?? '',
    version,
    versionDigest: digest,
    placementPhase: placement.phase,
    phase: isOutOfTouch ? null : (report?.phase ?? null),
    reason: isOutOfTouch ? 'the cluster is out of contact' : report?.reason || placement.reason,
  };
}

/** One sentence: how many serve, what holds the others up, and then each of `clauses` that is not empty. Pure. */
export function describeStatus(
  deployment: Pick<Deployment, 'replicas' | 'deletedAt'>,
  replicas: readonly ReplicaDto[],
  ready: number,
  outcome: string | null,
  clauses: readonly string[] = [],
): string {
  if (deployment.deletedAt !== null) {
    return replicas.length === 0
      ? 'Being removed.'
      : `Being removed; ${replicas.length} replica(s) are still draining.`;
  }
  const said = clauses.filter((clause) => clause !== '');
  const text = describeReplicas(deployment.replicas, replicas, ready, outcome);
  return said.length === 0 ? text : `${[text.replace(/\.$/, ''), ...said].join('; ')}.`;
}

function describeReplicas(
  wanted: number,
  replicas: readonly ReplicaDto[],
  ready: number,
  outcome: string | null,
): string {
  const assigned = replicas.filter(({ placementPhase }) => placementPhase === 'Assigned');
  const count = `${ready} of ${wanted} replica(s) ready`;
  if (assigned.length < wanted) return `${count}; ${outcome ?? 'placement has not been decided yet'}`;
  const waiting = assigned.filter(({ phase }) => phase !== 'Ready');
  if (waiting.length === 0) {
    return replicas.length > assigned.length ? `${count}; older replicas are draining.` : `${count}, as wanted.`;
  }
  const each = waiting.slice(0, 5).map(({ cluster, phase, reason }) => {
    const why = phase === 'Failed' || phase === null ? ` (${reason})` : '';
    return `${cluster}: ${phase ?? 'not reported yet'}${why}`;
  });
  return `${count}; ${each.join(', ')}${waiting.length > 5 ? ` and ${waiting.length - 5} more` : ''}.`;
}

/** A plan that was not carried out, with names for ids. */
export function viewPlan(
  deploymentName: string,
  plan: Pick<DeploymentPlan, 'assign' | 'drain' | 'remove'> & {
    decision: { candidates: readonly CandidateVerdict[]; outcome: string };
  },
  clusters: readonly Cluster[],
): DeploymentPlanDto {
  const nameOf = new Map(clusters.map(({ id, name }) => [id, name]));
  const leaving = [...plan.drain, ...plan.remove];
  return {
    deployment: deploymentName,
    outcome: plan.decision.outcome,
    assign: plan.assign.map(({ clusterName, reason }) => ({ cluster: clusterName, reason })),
    remove: leaving.map(({ placementId, clusterId, reason }) => ({
      replicaId: placementId,
      cluster: nameOf.get(clusterId) ?? clusterId,
      reason,
    })),
    candidates: plan.decision.candidates.map(viewCandidate),
  };
}

function viewCandidate(candidate: CandidateVerdict): DeploymentPlanDto['candidates'][number] {
  const { clusterName: cluster, score, scores, rejectedBy, rejectedBecause } = candidate;
  return { cluster, score, scores: { ...scores }, rejectedBy, rejectedBecause };
}
