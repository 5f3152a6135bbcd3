/** Whether a cluster is one of those that a selector means: the first filters of every table that judges clusters. */
import type { Cluster, ClusterSelector } from '#domain';

export interface Rejection {
  /** Names what to change in this cluster. */
  readonly because: string;
  /** The phrase that equal reasons are counted under. */
  readonly summary: string;
}

export type SelectedCluster = Pick<Cluster, 'name' | 'kind' | 'region' | 'labels'>;

export interface SelectorFilter {
  readonly name: string;
  /** Null when the cluster passes. */
  readonly reject: (cluster: SelectedCluster, selector: ClusterSelector) => Rejection | null;
}

export const reject = (because: string, summary: string): Rejection => ({ because, summary });

export const SELECTOR_FILTERS: readonly SelectorFilter[] = [
  {
    name: 'names',
    reject: ({ name }, { clusterNames }) =>
      clusterNames === undefined || clusterNames.includes(name)
        ? null
        : reject(`the selector names only ${list(clusterNames)}`, 'not named by the selector'),
  },
  {
    name: 'kind',
    reject: ({ kind }, { kinds }) =>
      kinds === undefined || kinds.includes(kind)
        ? null
        : reject(`its kind is ${kind}, the selector wants ${list(kinds)}`, `not of kind ${list(kinds)}`),
  },
  {
    name: 'region',
    reject: ({ region }, { regions }) =>
      regions === undefined || regions.includes(region)
        ? null
        : reject(
            `its region is ${region || '(none)'}, the selector wants ${list(regions)}`,
            `outside region ${list(regions)}`,
          ),
  },
  { name: 'labels', reject: ({ labels }, selector) => rejectLabels(labels, selector.labels ?? {}) },
];

/** The first filter that says no, and why; null when the selector means the cluster. */
export function rejectSelected(
  cluster: SelectedCluster,
  selector: ClusterSelector,
): { readonly by: string; readonly rejection: Rejection } | null {
  for (const filter of SELECTOR_FILTERS) {
    const rejection = filter.reject(cluster, selector);
    if (rejection !== null) return { by: filter.name, rejection };
  }
  return null;
}

function rejectLabels(has: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>) {
  const missing = Object.entries(wanted).find(([key, value]) => has[key] !== value);
  if (missing === undefined) return null;
  const [key, value] = missing;
  return reject(
    `its label ${key} is ${has[key] ?? 'absent'}, the selector wants ${value}`,
    `without label ${key}=${value}`,
  );
}

function list(words: readonly string[]): string {
  return words.length <= 3 ? words.join(' or ') : `${words.slice(0, 3).join(', ')} or ${words.length - 3} others`;
}
