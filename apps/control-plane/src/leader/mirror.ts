/**
 * Which versions a cluster holds besides those that its replicas need, so that a rollout finds the bytes already there:
 * the newest of every model that it serves. Pure; `now` is an argument.
 *
 * An `incremental` cluster mirrors a version as soon as it is published, a `snapshot` one once its cron has fired since;
 * until then it keeps the newest of which that is true. What is no longer published is mirrored nowhere.
 */
import type { Cluster, ModelVersion, Placement } from '#domain';
import { hasFired } from '../sync/cron.ts';

type Mirroring = Pick<Cluster, 'phase' | 'cordoned' | 'sync'>;

/** Losing contact takes nothing away; what waits, leaves, or is to take nothing new is brought nothing. */
export function isMirroredTo({ phase, cordoned }: Pick<Mirroring, 'phase' | 'cordoned'>): boolean {
  return !cordoned && (phase === 'Ready' || phase === 'Suspect' || phase === 'Unknown');
}

/**
 * @param placements the cluster's that are not Removed
 * @param versions of every model that an Assigned one of them is of; in any order and phase
 * @returns ids in the order of their models' ids
 */
export function mirroredVersions(
  cluster: Mirroring,
  placements: readonly Pick<Placement, 'phase' | 'versionId'>[],
  versions: readonly ModelVersion[],
  now: Date,
): string[] {
  if (!isMirroredTo(cluster)) return [];
  const needed = new Set(placements.filter(({ phase }) => phase === 'Assigned').map(({ versionId }) => versionId));
  const models = new Set(versions.filter(({ id }) => needed.has(id)).map(({ modelId }) => modelId));
  // The newest first: of those that are due nothing older is looked at, and crons are dear.
  const newestFirst = [...versions].sort((left, right) => right.number - left.number);
  return [...models].sort().flatMap((modelId) => {
    const newest = newestFirst.find((version) => version.modelId === modelId && isDue(cluster, version, now));
    return newest === undefined ? [] : [newest.id];
  });
}

function isDue({ sync }: Mirroring, { phase, publishedAt }: ModelVersion, now: Date): boolean {
  if (phase !== 'Published' || publishedAt === null) return false;
  return sync.mode === 'incremental' || hasFired(sync, publishedAt, now);
}
