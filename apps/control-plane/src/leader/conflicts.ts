/**
 * Conflicts between what a cluster did and what was decided here while the two were apart: which are to be opened, and
 * which have ended and how. Pure and level-triggered: it looks at what is so, so a cycle that was missed costs nothing.
 *
 * Nothing is decided here: the planner drains what is too much by the deployment's reconcile rule, agents apply what they
 * are told. This says what came of it.
 */
import type {
  Cluster,
  ClusterConflict,
  ClusterReport,
  ConflictKind,
  Deployment,
  DesiredState,
  Observation,
  Placement,
} from '#domain';

export interface ConflictFacts {
  readonly now: Date;
  /** Every cluster that has not left. */
  readonly clusters: readonly Cluster[];
  /** Cluster id → its newest report; at least of those with an open conflict. */
  readonly observations: ReadonlyMap<string, Observation>;
  /** Cluster id → how far its document is. */
  readonly revisions: ReadonlyMap<string, Pick<DesiredState, 'epoch' | 'revision'>>;
  /** Not Removed. */
  readonly placements: readonly Placement[];
  readonly deployments: ReadonlyMap<string, Deployment>;
  readonly open: readonly ClusterConflict[];
}

export interface ConflictSteps {
  readonly open: readonly NewConflict[];
  readonly resolve: readonly { readonly conflict: ClusterConflict; readonly resolution: string }[];
  /** It came to nothing. */
  readonly drop: readonly ClusterConflict[];
}

export type NewConflict = Omit<ClusterConflict, 'id' | 'resolution' | 'resolvedAt'>;

/** What has become of an open one: a sentence that resolves it, `drop`, or null while it stays. */
type Ending = string | 'drop' | null;

export function stepConflicts(facts: ConflictFacts): ConflictSteps {
  const clusters = new Map(facts.clusters.map((cluster) => [cluster.id, cluster]));
  const endings = facts.open.flatMap((conflict) => {
    const cluster = clusters.get(conflict.clusterId);
    const ending = cluster === undefined ? 'drop' : ENDINGS[conflict.kind](facts, cluster, conflict);
    return ending === null ? [] : [{ conflict, ending }];
  });
  return {
    open: [...facts.clusters.flatMap((cluster) => newIn(facts, cluster)), ...localOnReturn(facts, clusters, endings)],
    resolve: endings.flatMap(({ conflict, ending }) => (ending === 'drop' ? [] : [{ conflict, resolution: ending }])),
    drop: endings.filter(({ ending }) => ending === 'drop').map(({ conflict }) => conflict),
  };
}

function newIn(facts: ConflictFacts, cluster: Cluster): NewConflict[] {
  const known = new Set(
    facts.open.filter(({ clusterId }) => clusterId === cluster.id).map(({ kind, subject }) => `${kind} ${subject}`),
  );
  const found = [...apart(facts, cluster), ...replacedElsewhere(facts, cluster), ...restored(facts, cluster)];
  return found.filter(({ kind, subject }) => !known.has(`${kind} ${subject}`));
}

/** Where the document stood when its agent was lost from sight: whatever is beyond it on return, changed meanwhile. */
function apart(facts: ConflictFacts, cluster: Cluster): NewConflict[] {
  if (cluster.phase !== 'Unknown') return [];
  const message = `its document changed while it was out of contact (since ${cluster.phaseSince.toISOString()})`;
  return [conflictOf(facts, cluster, 'document-changed', '', message)];
}

/** A replica of a cluster out of contact, of a deployment that has as many as it wants without it. */
function replacedElsewhere(facts: ConflictFacts, cluster: Cluster): NewConflict[] {
  if (cluster.phase !== 'Unknown') return [];
  const here = facts.placements.filter(({ clusterId, phase }) => clusterId === cluster.id && phase === 'Assigned');
  return here.flatMap(({ id, deploymentId }) => {
    const deployment = facts.deployments.get(deploymentId);
    const names = replacementsOf(facts, cluster, deploymentId);
    if (deployment === undefined || names.length === 0 || !hasTooMany(facts, deployment)) return [];
    const where = [...new Set(names)].sort().join(', ');
    const message = `a replica of ${deployment.name} was given up here and placed in ${where}, and may go on serving here`;
    return [conflictOf(facts, cluster, 'replaced-elsewhere', id, message)];
  });
}

/** Names of the clusters in which a replica was assigned since this one was lost from sight. */
function replacementsOf(facts: ConflictFacts, { id, phaseSince }: Cluster, deploymentId: string): string[] {
  const nameOf = new Map(facts.clusters.map((cluster) => [cluster.id, cluster.name]));
  return facts.placements
    .filter((placement) => placement.deploymentId === deploymentId && placement.phase === 'Assigned')
    .filter(({ clusterId, createdAt }) => clusterId !== id && createdAt > phaseSince)
    .map(({ clusterId }) => nameOf.get(clusterId) ?? clusterId);
}

function hasTooMany({ placements }: ConflictFacts, { id, replicas }: Deployment): boolean {
  return placements.filter(({ deploymentId, phase }) => deploymentId === id && phase === 'Assigned').length > replicas;
}

function restored(facts: ConflictFacts, cluster: Cluster): NewConflict[] {
  const { ahead } = cluster;
  if (ahead === null) return [];
  const known = facts.revisions.get(cluster.id) ?? { epoch: 0, revision: 0 };
  const message = `its agent has applied revision ${ahead.revision} of epoch ${ahead.epoch}, this database knew ${known.revision} of epoch ${known.epoch}`;
  return [conflictOf(facts, cluster, 'database-restored', '', message)];
}

/** What its agent started by itself while nobody could ask it not to. */
function localOnReturn(
  facts: ConflictFacts,
  clusters: ReadonlyMap<string, Cluster>,
  endings: readonly { readonly conflict: ClusterConflict }[],
): NewConflict[] {
  const back = endings.filter(({ conflict: { kind } }) => kind === 'document-changed');
  return back.flatMap(({ conflict: { clusterId } }) => {
    const cluster = clusters.get(clusterId);
    const report = facts.observations.get(clusterId)?.report;
    if (cluster === undefined || report === undefined) return [];
    return [...localReplicas(report)].map(([deploymentId, count]) => {
      const name = facts.deployments.get(deploymentId)?.name ?? 'a deployment that is gone';
      const message = `its agent runs ${count} replica(s) of ${name} that it started by itself while it was out of contact`;
      return conflictOf(facts, cluster, 'local-replicas', deploymentId, message);
    });
  });
}

/** Deployment id → how many. */
function localReplicas({ replicas }: Pick<ClusterReport, 'replicas'>): Map<string, number> {
  const local = replicas.filter(({ isLocal, phase }) => isLocal === true && phase !== 'Stopped');
  return new Map([...Map.groupBy(local, ({ deploymentId }) => deploymentId)].map(([id, own]) => [id, own.length]));
}

const ENDINGS: Readonly<Record<ConflictKind, (facts: ConflictFacts, here: Cluster, open: ClusterConflict) => Ending>> =
  {
    'document-changed': endApart,
    'replaced-elsewhere': endReplaced,
    'local-replicas': endLocal,
    'database-restored': (_facts, { ahead }) =>
      ahead === null ? 'its agent is no longer ahead of this database' : null,
  };

function endApart(facts: ConflictFacts, cluster: Cluster, { openedAt, revision }: ClusterConflict): Ending {
  const observation = facts.observations.get(cluster.id);
  const isBack = isInContact(cluster) && observation !== undefined && observation.receivedAt > openedAt;
  if (!isBack || cluster.ahead !== null) return null;
  const wanted = facts.revisions.get(cluster.id)?.revision ?? 0;
  if (wanted <= revision) return 'drop';
  if (observation.report.revision < wanted) return null;
  return `its agent has applied revision ${wanted}, ${wanted - revision} change(s) after the one that it had`;
}

function endReplaced(facts: ConflictFacts, cluster: Cluster, { subject }: ClusterConflict): Ending {
  const placement = facts.placements.find(({ id }) => id === subject);
  const deployment = placement === undefined ? undefined : facts.deployments.get(placement.deploymentId);
  if (placement === undefined) return 'the replica here is gone';
  if (deployment === undefined || deployment.deletedAt !== null) return 'its deployment is being removed';
  const rule = `by ${deployment.disconnect.reconcile}`;
  if (placement.phase === 'Draining') return `${rule} the replica here goes: ${placement.reason}`;
  if (hasTooMany(facts, deployment)) return null;
  // It did not come back before what replaced it went.
  if (!isInContact(cluster)) return cluster.phase === 'Unknown' ? 'drop' : null;
  return `${rule} the replica here stays, and what is too much went elsewhere`;
}

function endLocal(facts: ConflictFacts, { id }: Cluster, { subject }: ClusterConflict): Ending {
  const report = facts.observations.get(id)?.report;
  if (report === undefined || localReplicas(report).has(subject)) return null;
  return 'its agent has ended them';
}

function isInContact({ phase }: Cluster): boolean {
  return phase === 'Ready' || phase === 'Draining';
}

function conflictOf(
  { now, revisions }: ConflictFacts,
  { id: clusterId, tenantId }: Cluster,
  kind: ConflictKind,
  subject: string,
  message: string,
): NewConflict {
  return {
    tenantId,
    clusterId,
    kind,
    subject,
    message,
    revision: revisions.get(clusterId)?.revision ?? 0,
    openedAt: now,
  };
}
