/** How good a fitting cluster is. A table: name → number in 0..1, times its weight; the highest sum wins. */
import type { Deployment } from '#domain';
import type { WorkingCluster } from './working-fleet.ts';

export interface Scorer {
  readonly name: string;
  readonly weight: number;
  /** 0..1, higher is better. */
  readonly score: (here: WorkingCluster, deployment: Deployment, digest: string | undefined) => number;
}

/**
 * `spread`: 1/(1+replicas of this deployment here); its weight lets it win over the others for the first few replicas,
 * because surviving the loss of a cluster is worth a download. `held`: the version is here (1) or on its way (0.5).
 * `free`: free share of the devices of the claimed type.
 */
export const SCORERS: readonly Scorer[] = [
  { name: 'spread', weight: 10, score: ({ assigned }, { id }) => 1 / (1 + Math.max(0, assigned.get(id) ?? 0)) },
  {
    name: 'held',
    weight: 2,
    score: ({ versions }, _deployment, digest) => {
      const phase = digest === undefined ? undefined : versions.get(digest)?.phase;
      return phase === 'Held' ? 1 : phase === 'Fetching' ? 0.5 : 0;
    },
  },
  { name: 'free', weight: 1, score: ({ ledger }, { claim }) => ledger.freeShare(claim.deviceType) },
];

/** Scorer → weighted number, rounded to thousandths so that equal states compare equal. */
export function scoreCluster(
  here: WorkingCluster,
  deployment: Deployment,
  digest: string | undefined,
): { total: number; scores: Record<string, number> } {
  const scores: Record<string, number> = {};
  let total = 0;
  for (const scorer of SCORERS) {
    const weighted = Math.round(scorer.weight * scorer.score(here, deployment, digest) * 1_000) / 1_000;
    scores[scorer.name] = weighted;
    total += weighted;
  }
  return { total: Math.round(total * 1_000) / 1_000, scores };
}
