/**
 * How long clusters have been Unknown or drained, and placements Draining, by the leader's clock and what it has watched
 * itself: the database may have moved to a machine whose clock is ten minutes from the one before (R22). A new leader
 * counts from its own first look: whoever was away knows nothing of the time it missed, and moves nothing for it (R6). Nor does
 * the time count in which so many were Unknown that the fault was taken for ours: when such an outage heals cluster by
 * cluster, the slower ones have their full time from then on.
 */
import { CLOCK_SKEW_MS_MAX, type ClusterDrain, isMassUnknown } from '#domain';
import type { FleetSnapshot } from '#scheduling';
import type { LeaderClock } from './leader-clock.ts';

export class PhaseAges {
  /** What stands so, and since when → time of the first look. Holds only what still stands so. */
  private firstSeenMs = new Map<string, number>();

  constructor(private readonly clock: Pick<LeaderClock, 'nowMs'>) {}

  /** The snapshot with the times of those told by `nowMs` minus the age that was really watched. */
  apply<Snapshot extends Pick<FleetSnapshot, 'nowMs' | 'clusters' | 'placements'>>(snapshot: Snapshot): Snapshot {
    const seenMs = new Map<string, number>();
    const isOurFault = isMassUnknown(snapshot.clusters.map(({ cluster }) => cluster.phase));
    const since = (id: string, phaseSince: Date, countsNot = false): Date => {
      const key = `${id} ${phaseSince.getTime()}`;
      const nowMs = this.clock.nowMs();
      const firstMs = countsNot ? nowMs : (this.firstSeenMs.get(key) ?? nowMs);
      seenMs.set(key, firstMs);
      return new Date(snapshot.nowMs - (nowMs - firstMs));
    };
    const phased = snapshot.clusters.map((state) => {
      const { cluster } = state;
      if (cluster.phase !== 'Unknown') return state;
      return { ...state, cluster: { ...cluster, phaseSince: since(cluster.id, cluster.phaseSince, isOurFault) } };
    });
    // A deadline of hours outlives leaders: what the rows say counts too, as far as no clock can be wrong.
    const drained = ({ id, drain }: { id: string; drain: ClusterDrain | null }): ClusterDrain | null => {
      if (drain === null) return null;
      const beganMs = Date.parse(drain.since);
      const watched = since(`drain of ${id}`, new Date(beganMs)).getTime();
      return { ...drain, since: new Date(Math.min(watched, beganMs + CLOCK_SKEW_MS_MAX)).toISOString() };
    };
    const clusters = phased.map((state) =>
      state.cluster.drain === null ? state : { ...state, cluster: { ...state.cluster, drain: drained(state.cluster) } },
    );
    const placements = snapshot.placements.map((placement) =>
      placement.phase === 'Draining'
        ? { ...placement, phaseSince: since(placement.id, placement.phaseSince) }
        : placement,
    );
    this.firstSeenMs = seenMs;
    return { ...snapshot, clusters, placements };
  }
}
