/** How good a fitting cluster is. A table: name → number in 0..1, times its weight; the highest sum wins. */
import type { Deployment } from '#domain';
import { isNodeAllowed, nodePreference } from './node-labels.ts';
import type { WorkingCluster } from './working-fleet.ts';

export interface Scorer {
  readonly name: string;
  readonly weight: number;
  /** 0..1, higher is better; null: nothing to say of this deployment. */
  readonly score: (here: WorkingCluster, deployment: Deployment, digest: string | undefined) => number | null;
}

/**
 * `spread`: 1/(1+replicas of this deployment here); its weight lets it win over the others for the first few replicas,
 * because surviving the loss of a cluster is worth a download. `held`: the version is here (1) or on its way (0.5).
 * `free`: free share of the devices of the claimed type. `nodes`: share of the preferred labels that the best node has on
 * which it may be (A12).
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
  { name: 'nodes', weight: 4, score: scoreNodes },
];

function scoreNodes({ nodes }: WorkingCluster, { claim, serving }: Deployment): number | null {
  if (Object.keys(serving.nodes.preferred).length === 0) return null;
  const allowed = nodes.filter((node) => isNodeAllowed(node, serving.nodes));
  const able = allowed.filter(({ devices }) => devices.some(({ deviceType }) => deviceType === claim.deviceType));
  return Math.max(0, ...able.map((node) => nodePreference(node, serving.nodes)));
}

/** Scorer → weighted number, rounded to thousandths so that equal states compare equal. */
export function scoreCluster(
  here: WorkingCluster,
  deployment: Deployment,
  digest: string | undefined,
): { total: number; scores: Record<string, number> } {
  const scores: Record<string, number> = {};
  let total = 0;
  for (const scorer of SCORERS) {
    const score = scorer.score(here, deployment, digest);
    if (score === null) continue;
    const weighted = Math.round(scorer.weight * score * 1_000) / 1_000;
    scores[scorer.name] = weighted;
    total += weighted;
  }
  return { total: Math.round(total * 1_000) / 1_000, scores };
}
