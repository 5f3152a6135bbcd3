/** When a cluster out of contact is no longer waited for. */
import type { Cluster, Deployment } from '#domain';

/** What is here is placed elsewhere, unless the deployment waits for it however long that takes. */
export function isPlacementGivenUp(
  nowMs: number,
  deployment: Pick<Deployment, 'disconnect'>,
  cluster: Pick<Cluster, 'phase' | 'phaseSince'>,
): boolean {
  return deployment.disconnect.replace === 'elsewhere' && isClusterLost(nowMs, deployment, cluster);
}

/** Unknown for longer than the deployment bears (DESIGN §5 E). */
export function isClusterLost(
  nowMs: number,
  { disconnect }: Pick<Deployment, 'disconnect'>,
  { phase, phaseSince }: Pick<Cluster, 'phase' | 'phaseSince'>,
): boolean {
  return phase === 'Unknown' && nowMs - phaseSince.getTime() > disconnect.lostAfterSeconds * 1_000;
}
