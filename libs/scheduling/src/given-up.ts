/** When a cluster out of contact is no longer waited for. */
import type { Cluster, Deployment } from '#domain';

/** Unknown for longer than the deployment bears (DESIGN §5 E). */
export function isPlacementGivenUp(
  nowMs: number,
  { disconnect }: Pick<Deployment, 'disconnect'>,
  { phase, phaseSince }: Pick<Cluster, 'phase' | 'phaseSince'>,
): boolean {
  return phase === 'Unknown' && nowMs - phaseSince.getTime() > disconnect.lostAfterSeconds * 1_000;
}
