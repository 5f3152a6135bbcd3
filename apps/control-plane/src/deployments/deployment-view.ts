// A deployment as the API shows it: what is wanted, where it is placed, what agents say of each replica, and one sentence.

import type { DeploymentDto, DeploymentPlanDto } from '#contracts';
import type { CandidateVerdict, Cluster, Deployment, Placement, ReplicaReport, Rows } from '#domain';
import type { DeploymentPlan } from '#scheduling';

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
  const versionOf = new Map(versions.map((version) => [version.id, version]));
  const replicas = placements.map((placement) => {
    const version = versionOf.get(placement.versionId);
    return viewReplica(placement, seen.get(placement.clusterId), version?.number ?? 0, version?.digest ?? '');
  });
  const readyReplicas = replicas.filter(
    (replica) => replica.placementPhase === 'Assigned' && replica.phase === 'Ready',
  );
  const wanted = versionOf.get(deployment.versionId);
  return {
    id: deployment.id,
    name: deployment.name,
    model: model?.name ?? '',
    version: wanted?.number ?? 0,
    versionDigest: wanted?.digest ?? '',
    servedModel: deployment.servedModel,
    replicas: deployment.replicas,
    readyReplicas: readyReplicas.length,
    claim: deployment.claim,
    selector: deployment.selector as DeploymentDto['selector'],
    disconnect: deployment.disconnect,
    deleting: deployment.deletedAt !== null,
    status: describeStatus(deployment, replicas, readyReplicas.length, decisions[0]?.outcome ?? null),
    placements: replicas,
    createdAt: deployment.createdAt.toISOString(),
    revision: deployment.revision,
  };
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

/** One sentence. Pure. */
export function describeStatus(
  deployment: Pick<Deployment, 'replicas' | 'deletedAt'>,
  replicas: readonly ReplicaDto[],
  ready: number,
  outcome: string | null,
): string {
  if (deployment.deletedAt !== null) {
    return replicas.length === 0
      ? 'Being removed.'
      : `Being removed; ${replicas.length} replica(s) are still draining.`;
  }
  const assigned = replicas.filter(({ placementPhase }) => placementPhase === 'Assigned');
  const count = `${ready} of ${deployment.replicas} replica(s) ready`;
  if (assigned.length < deployment.replicas) return `${count}; ${outcome ?? 'placement has not been decided yet'}`;
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
