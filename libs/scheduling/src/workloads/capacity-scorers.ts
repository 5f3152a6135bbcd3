/** How good a place is. A table: name → number in 0..1, times its weight; the highest sum wins, equal ones by a hash. */

export interface ScoredPlace {
  readonly isPreferred: boolean;
  /** Members that fit, of those wanted. */
  readonly members: number;
  readonly size: number;
  /** Of the scope in which they are together: 0 node, 1 rack, 2 zone, 3 cluster. */
  readonly width: number;
  /** Share of the free room of that domain that they use, 0..1. */
  readonly share: number;
  /** Share of the cluster's devices of the type that is free, 0..1. */
  readonly freeShare: number;
}

export interface PlaceScorer {
  readonly name: string;
  readonly weight: number;
  /** 0..1, higher is better. */
  readonly score: (place: ScoredPlace) => number;
}

/**
 * `whole`: share of the gang that fits; nothing makes up for members left out. `preferred`: its data is there. `near`: how
 * close together the members are, 1 in a node, 1/4 over the cluster. `tight`: how little of the domain is left over, so
 * that large domains stay whole (T04). `spread`: free share of the cluster; decides only between places that are equal
 * otherwise.
 */
export const PLACE_SCORERS: readonly PlaceScorer[] = [
  { name: 'whole', weight: 16, score: ({ members, size }) => members / size },
  { name: 'preferred', weight: 4, score: ({ isPreferred }) => (isPreferred ? 1 : 0) },
  { name: 'near', weight: 2, score: ({ width }) => 1 - width / 4 },
  { name: 'tight', weight: 1, score: ({ share }) => share },
  { name: 'spread', weight: 0.05, score: ({ freeShare }) => freeShare },
];

/** Rounded to thousandths, so that equal states compare equal. */
export function scorePlace(place: ScoredPlace): number {
  let total = 0;
  for (const scorer of PLACE_SCORERS) total += scorer.weight * scorer.score(place);
  return Math.round(total * 1_000) / 1_000;
}

/** Scorer → weighted number. */
export function scoresOf(place: ScoredPlace): Record<string, number> {
  const scores: Record<string, number> = {};
  for (const { name, weight, score } of PLACE_SCORERS) scores[name] = Math.round(weight * score(place) * 1_000) / 1_000;
  return scores;
}
