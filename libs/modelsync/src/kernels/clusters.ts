/**
 * Which contexts share a frequency table. Contexts stand in a row (neighbours are alike); from one table for each that
 * occurs, neighbours are joined while that saves bits: a table of its own must pay for its description. Greedy, the
 * largest saving first, so the result is the same for the same counts.
 */
import { differenceRest, TOKENS } from './tokens.ts';

/** Tables take 32 KiB of the decoder's memory each. */
export const CLUSTERS_MAX = 64;
const TABLE_BITS = 32;
const TABLE_BITS_A_TOKEN = 3;
/** At this share of zeros, zeros are coded as runs. */
const RUN_SHARE_MIN = 0.72;

export interface Cluster {
  /** Index, in the row, of the first and last context. */
  readonly first: number;
  readonly last: number;
  readonly counts: Uint32Array;
  readonly total: number;
  /** Estimated size: entropy and table, without plain bits. */
  readonly bits: number;
}

export type Mode = 'direct' | 'run' | 'dead';

export const modeOf = ({ counts, total }: Cluster): Mode =>
  counts[0] === total ? 'dead' : counts[0]! >= RUN_SHARE_MIN * total ? 'run' : 'direct';

/** Joins the contexts of `row` (token counts by place in the row; undefined: does not occur) into clusters, in order. */
export function clustersOf(row: readonly (Uint32Array | undefined)[]): Cluster[] {
  const clusters: Cluster[] = [];
  for (const [place, counts] of row.entries()) if (counts !== undefined) clusters.push(clusterOf(place, place, counts));
  const joined = clusters.slice(1).map((cluster, index) => join(clusters[index]!, cluster));
  for (;;) {
    let best = -1;
    let bestSaving = clusters.length > CLUSTERS_MAX ? -Infinity : 0;
    for (let index = 0; index < joined.length; index++) {
      const saving = clusters[index]!.bits + clusters[index + 1]!.bits - joined[index]!.bits;
      if (saving > bestSaving) {
        best = index;
        bestSaving = saving;
      }
    }
    if (best < 0) return clusters;
    clusters.splice(best, 2, joined[best]!);
    joined.splice(best, 1);
    if (best > 0) joined[best - 1] = join(clusters[best - 1]!, clusters[best]!);
    if (best < joined.length) joined[best] = join(clusters[best]!, clusters[best + 1]!);
  }
}

/** Estimated bits of everything that the clusters code, with plain bits. */
export function bitsOf(clusters: readonly Cluster[]): number {
  let bits = 0;
  for (const cluster of clusters) {
    bits += cluster.bits;
    for (let token = 31; token < TOKENS; token++) bits += cluster.counts[token]! * differenceRest[token]!;
  }
  return bits;
}

function join(left: Cluster, right: Cluster): Cluster {
  const counts = left.counts.slice();
  for (let token = 0; token < TOKENS; token++) counts[token]! += right.counts[token]!;
  return clusterOf(left.first, right.last, counts);
}

function clusterOf(first: number, last: number, counts: Uint32Array): Cluster {
  let total = 0;
  let tokens = 0;
  let logarithms = 0;
  for (let token = 0; token < TOKENS; token++) {
    const count = counts[token]!;
    if (count === 0) continue;
    total += count;
    tokens++;
    logarithms += timesLogarithm(count);
  }
  const bits = timesLogarithm(total) - logarithms + TABLE_BITS + TABLE_BITS_A_TOKEN * tokens;
  return { first, last, counts, total, bits };
}

const small = Float64Array.from({ length: 4096 }, (_, count) => (count === 0 ? 0 : count * Math.log2(count)));
const timesLogarithm = (count: number) => (count < small.length ? small[count]! : count * Math.log2(count));
