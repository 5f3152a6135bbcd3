/** Which snapshots give another plan later although nothing in them changed. */
import type { FleetSnapshot } from './snapshot.ts';

/**
 * False: the plan is the same at any later moment, so that it need not be made again before something changes. All that
 * the planner reads the clock for is how long a cluster has been Unknown or drained, and a replica Draining.
 */
export function isTimeBound({ clusters, placements }: Pick<FleetSnapshot, 'clusters' | 'placements'>): boolean {
  return (
    clusters.some(({ cluster }) => cluster.phase === 'Unknown' || cluster.drain !== null) ||
    placements.some(({ phase }) => phase === 'Draining')
  );
}
