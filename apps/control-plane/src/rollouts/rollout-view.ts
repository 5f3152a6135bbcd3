// A rollout as the API shows it, and what a deployment's one sentence says of it.

import type { RolloutDto } from '#contracts';
import { isRolloutActive, type ModelVersion, type Rollout, type Rows } from '#domain';

export async function viewRollouts(rows: Rows, rollouts: readonly Rollout[]): Promise<RolloutDto[]> {
  const versionIds = rollouts.flatMap(({ fromVersionId, toVersionId }) => [fromVersionId, toVersionId]);
  // One after the other: within a transaction there is one connection.
  const versions = await rows.versions.findAll([...new Set(versionIds)]);
  const isAnyOpen = rollouts.some(({ openClusterIds }) => openClusterIds.length > 0);
  const clusters = isAnyOpen ? await rows.clusters.all() : [];
  const names = new Map(clusters.map(({ id, name }) => [id, name]));
  const numbers = new Map(versions.map(({ id, number }: ModelVersion) => [id, number]));
  return rollouts.map((rollout) => ({
    id: rollout.id,
    fromVersion: numbers.get(rollout.fromVersionId) ?? 0,
    toVersion: numbers.get(rollout.toVersionId) ?? 0,
    phase: rollout.phase,
    wave: rollout.wave + 1,
    waves: rollout.policy.waves.length,
    openClusters: rollout.openClusterIds.flatMap((id) => names.get(id) ?? []).sort(),
    consistency: rollout.policy.consistency,
    reason: rollout.reason,
    startedAt: rollout.startedAt.toISOString(),
    endedAt: rollout.endedAt?.toISOString() ?? null,
  }));
}

/** A clause without a full stop; empty when there is nothing to say. An aborted one is told of until the next. Pure. */
export function describeRollout(rollout: RolloutDto | null): string {
  if (rollout === null) return '';
  const { fromVersion, toVersion, phase, reason } = rollout;
  if (phase === 'Aborted') return `the rollout from version ${fromVersion} to ${toVersion} was aborted: ${reason}`;
  if (!isRolloutActive({ phase })) return '';
  return `rollout from version ${fromVersion} to ${toVersion}${phase === 'Paused' ? ' (paused)' : ''}: ${reason}`;
}
