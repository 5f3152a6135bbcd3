/**
 * Keeps the list of conflicts: reads what `stepConflicts` judges from, and writes what it says, with a word in the audit
 * log. While every cluster is in contact and no conflict is open, it reads next to nothing.
 */
import { v7 as uuidv7 } from 'uuid';
import type { Cluster, ClusterConflict, Rows, Store } from '#domain';
import { type ConflictFacts, type ConflictSteps, type NewConflict, stepConflicts } from './conflicts.ts';

/** Of a kind in one transaction. */
const CHANGES_MAX = 500;

/** @returns how many were opened, resolved or dropped */
export async function keepConflicts(store: Store, epoch: number, now: Date): Promise<number> {
  const { read } = store;
  const [clusters, open] = await Promise.all([read.clusters.all(), read.conflicts.allOpen()]);
  const isQuiet = open.length === 0 && clusters.every(({ phase, ahead }) => phase !== 'Unknown' && ahead === null);
  if (isQuiet) return 0;
  const steps = bounded(stepConflicts(await readFacts(read, now, clusters, open)));
  const changes = steps.open.length + steps.resolve.length + steps.drop.length;
  if (changes === 0) return 0;
  await store.transaction(
    async (rows) => {
      const opened = await rows.conflicts.open(steps.open.map(asOpened));
      for (const conflict of opened) await audit(rows, 'clusters.conflict', conflict, null);
      for (const { conflict, resolution } of steps.resolve) {
        const isNew = await rows.conflicts.resolve(conflict.id, resolution, now);
        if (isNew) await audit(rows, 'clusters.conflict-resolved', conflict, resolution);
      }
      for (const { id } of steps.drop) await rows.conflicts.drop(id);
    },
    { epoch },
  );
  return changes;
}

/** What is left out comes in the next cycle: when most of the fleet was lost at once, so is one transaction's time. */
function bounded({ open, resolve, drop }: ConflictSteps): ConflictSteps {
  return {
    open: open.slice(0, CHANGES_MAX),
    resolve: resolve.slice(0, CHANGES_MAX),
    drop: drop.slice(0, CHANGES_MAX),
  };
}

async function readFacts(
  rows: Rows,
  now: Date,
  clusters: readonly Cluster[],
  open: readonly ClusterConflict[],
): Promise<ConflictFacts> {
  const ids = [...new Set(open.map(({ clusterId }) => clusterId))];
  const [observations, revisions, placements, deployments] = await Promise.all([
    rows.observations.findAll(ids),
    rows.desired.revisions(),
    rows.placements.live(),
    rows.deployments.all(),
  ]);
  return {
    ...{ now, clusters, open, placements },
    observations: new Map(observations.map((observation) => [observation.clusterId, observation])),
    revisions: new Map(revisions.map((position) => [position.clusterId, position])),
    deployments: new Map(deployments.map((deployment) => [deployment.id, deployment])),
  };
}

function asOpened(conflict: NewConflict): ClusterConflict {
  return { ...conflict, id: uuidv7(), resolution: null, resolvedAt: null };
}

async function audit(rows: Rows, action: string, conflict: ClusterConflict, resolution: string | null): Promise<void> {
  const { tenantId, clusterId, kind, subject, message } = conflict;
  // That it was lost from sight is no conflict yet.
  if (kind === 'document-changed' && resolution === null) return;
  await rows.audit.add({
    tenantId,
    actor: 'controller:conflicts',
    action,
    targetKind: 'cluster',
    targetId: clusterId,
    detail: { kind, subject, message, ...(resolution === null ? {} : { resolution }) },
  });
}
