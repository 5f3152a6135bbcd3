/** One sentence of an overview: how many clusters have the version, get it, and will not, with names and reasons. Pure. */
import type { ClusterProspect, Prospect } from './overview.ts';

/** Of each reason so many clusters are named. */
export const NAMES_MAX = 5;

/** What keeps a cluster from it, in words after a count. */
const HINDRANCES: readonly (readonly [Prospect, string])[] = [
  ['too-slow', 'too slow for the window'],
  ['no-disk', 'short of disk'],
  ['failed', 'failed'],
  ['no-way', 'without a way to get it'],
  ['unreachable', 'out of contact'],
];

export function summaryOf(prospects: readonly ClusterProspect[]): string {
  if (prospects.length === 0) return 'there is no cluster to bring it to';
  const of = (wanted: Prospect) => prospects.filter(({ prospect }) => prospect === wanted);
  const [held, fetching, finishing] = [of('held'), of('fetching'), of('finishes')];
  const hindered = HINDRANCES.map(([prospect, words]) => ({ words, clusters: of(prospect) })).filter(
    ({ clusters }) => clusters.length > 0,
  );
  const failing = hindered.reduce((sum, { clusters }) => sum + clusters.length, 0);
  const isWindowed = finishing.some(({ row }) => row.finishesInWindow !== null);
  const reasons = hindered.map(({ words, clusters }) => `${clusters.length} ${words} (${namesOf(clusters)})`);
  const parts = [
    ...(held.length > 0 ? [`${held.length} ${held.length === 1 ? 'holds' : 'hold'} it`] : []),
    ...(fetching.length > 0 ? [`${fetching.length} ${fetching.length === 1 ? 'fetches' : 'fetch'} it now`] : []),
    ...(finishing.length > 0 ? [`${finishing.length} will finish${isWindowed ? ' in the window' : ''}`] : []),
    ...(failing > 0 ? [`${failing} will not: ${reasons.join(', ')}`] : []),
  ];
  return parts.join(', ');
}

/** The first few; then how many more. */
export function namesOf(clusters: readonly { readonly row: { readonly cluster: string } }[]): string {
  const names = clusters.map(({ row }) => row.cluster);
  const more = names.length - NAMES_MAX;
  return names.slice(0, NAMES_MAX).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
