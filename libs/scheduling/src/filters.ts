/**
 * Which clusters may take one more replica. A table: the first filter that says no gives the reason; `because` names
 * what to change in this cluster, `summary` is the phrase that equal reasons are counted under.
 */
import type { Deployment, ResourceClaim } from '#domain';
import type { WorkingCluster } from './working-fleet.ts';

export interface Rejection {
  readonly because: string;
  readonly summary: string;
}

export interface Filter {
  readonly name: string;
  /** Null when the cluster passes. */
  readonly reject: (here: WorkingCluster, deployment: Deployment, failedIn: ReadonlySet<string>) => Rejection | null;
}

const reject = (because: string, summary: string): Rejection => ({ because, summary });

export const FILTERS: readonly Filter[] = [
  {
    name: 'names',
    reject: ({ cluster }, { selector: { clusterNames } }) =>
      clusterNames === undefined || clusterNames.includes(cluster.name)
        ? null
        : reject(`the selector names only ${list(clusterNames)}`, 'not named by the selector'),
  },
  {
    name: 'kind',
    reject: ({ cluster }, { selector: { kinds } }) =>
      kinds === undefined || kinds.includes(cluster.kind)
        ? null
        : reject(`its kind is ${cluster.kind}, the selector wants ${list(kinds)}`, `not of kind ${list(kinds)}`),
  },
  {
    name: 'region',
    reject: ({ cluster }, { selector: { regions } }) =>
      regions === undefined || regions.includes(cluster.region)
        ? null
        : reject(
            `its region is ${cluster.region || '(none)'}, the selector wants ${list(regions)}`,
            `outside region ${list(regions)}`,
          ),
  },
  { name: 'labels', reject: ({ cluster }, { selector }) => rejectLabels(cluster.labels, selector.labels ?? {}) },
  {
    name: 'phase',
    reject: ({ cluster }) =>
      cluster.phase === 'Ready'
        ? null
        : reject(`it is ${cluster.phase}, only Ready clusters take replicas`, cluster.phase),
  },
  {
    name: 'cordon',
    reject: ({ cluster }) =>
      cluster.cordoned ? reject('it is cordoned; uncordon it to place here', 'cordoned') : null,
  },
  {
    name: 'inventory',
    reject: ({ hasReport }) =>
      hasReport ? null : reject('its agent has not reported its devices yet', 'without a report of devices'),
  },
  {
    name: 'failures',
    reject: ({ cluster }, _deployment, failedIn) =>
      failedIn.has(cluster.id) ? reject('this version lately failed here too often', 'where it lately failed') : null,
  },
  { name: 'devices', reject: ({ ledger }, { claim }) => rejectMisfit(ledger.misfit(claim), claim) },
];

/** Filters that speak of where a deployment may be at all; the others of whether there is room now. */
const WHERE = new Set(['names', 'kind', 'region', 'labels']);

/** Why a deployment may no longer be in a cluster in which it runs, or null when it may. */
export function rejectWhere(here: WorkingCluster, deployment: Deployment): Rejection | null {
  for (const filter of FILTERS) {
    const rejection = WHERE.has(filter.name) ? filter.reject(here, deployment, new Set()) : null;
    if (rejection !== null) return rejection;
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

function rejectMisfit(misfit: ReturnType<WorkingCluster['ledger']['misfit']>, claim: ResourceClaim): Rejection | null {
  const devices = describeClaim(claim);
  switch (misfit) {
    case null:
      return null;
    case 'missing-type':
      return reject(`it has no ${claim.deviceType}`, `lack ${devices}`);
    case 'too-small':
      return reject(`no ${claim.deviceType} here has ${claim.memoryBytesPerDevice} bytes of memory`, `lack ${devices}`);
    case 'too-few':
      return reject(`it has fewer than ${devices}`, `lack ${devices}`);
    case 'busy':
      return reject(`${devices} exist, but other replicas hold them`, `have no free ${devices}`);
  }
}

const SCOPE_WORDS = {
  link: ' in one link domain',
  node: ' in one node',
  rack: ' in one rack',
  zone: ' in one zone',
  cluster: '',
} as const;

/** Such as `huawei.com/ascend-npu ×2 in one node`. */
export function describeClaim(claim: ResourceClaim): string {
  const memory = claim.memoryBytesPerDevice === undefined ? '' : ` of ${claim.memoryBytesPerDevice} bytes`;
  return `${claim.deviceType} ×${claim.count}${memory}${SCOPE_WORDS[claim.schedulingPolicy.topologyScope]}`;
}

function list(words: readonly string[]): string {
  return words.length <= 3 ? words.join(' or ') : `${words.slice(0, 3).join(', ')} or ${words.length - 3} others`;
}
