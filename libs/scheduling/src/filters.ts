/**
 * Which clusters may take one more replica. A table: the first filter that says no gives the reason; `because` names
 * what to change in this cluster, `summary` is the phrase that equal reasons are counted under.
 */
import { type Deployment, memoryWords, type NodePreferences, type ResourceClaim } from '#domain';
import { ANY_NODE, describeLabels, isNodeAllowed } from './node-labels.ts';
import { type Rejection, reject, rejectSelected, SELECTOR_FILTERS } from './selector-filters.ts';
import type { WorkingCluster } from './working-fleet.ts';

export interface Filter {
  readonly name: string;
  /** Null when the cluster passes. */
  readonly reject: (here: WorkingCluster, deployment: Deployment, failedIn: ReadonlySet<string>) => Rejection | null;
}

export const FILTERS: readonly Filter[] = [
  ...SELECTOR_FILTERS.map(
    (filter): Filter => ({
      name: filter.name,
      reject: ({ cluster }, { selector }) => filter.reject(cluster, selector),
    }),
  ),
  {
    name: 'drain',
    reject: ({ cluster }) =>
      cluster.drain === null ? null : reject('it is being drained; undo the drain to place here', 'being drained'),
  },
  {
    name: 'ahead',
    reject: ({ cluster }) =>
      cluster.ahead === null
        ? null
        : reject('its agent has applied what this database does not know; resync it', 'ahead of this database'),
  },
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
  { name: 'nodes', reject: (here, { serving }) => rejectNodes(here, serving.nodes) },
  {
    name: 'devices',
    reject: ({ ledger }, { claim, serving: { nodes } }) => rejectMisfit(ledger.misfit(claim, nodes), claim, nodes),
  },
];

/** Why a deployment may no longer be in a cluster in which it runs, or null when it may. Room now is another question. */
export function rejectWhere({ cluster }: WorkingCluster, { selector }: Deployment): Rejection | null {
  return rejectSelected(cluster, selector)?.rejection ?? null;
}

function rejectNodes({ nodes }: WorkingCluster, wanted: NodePreferences): Rejection | null {
  if (nodes.some((node) => isNodeAllowed(node, wanted))) return null;
  const labels = describeLabels(wanted.required);
  return labels === ''
    ? null
    : reject(
        `none of its nodes has the label ${labels}; label one, or require less`,
        `without a node labelled ${labels}`,
      );
}

function rejectMisfit(
  misfit: ReturnType<WorkingCluster['ledger']['misfit']>,
  claim: ResourceClaim,
  nodes: NodePreferences,
): Rejection | null {
  const devices = describeClaim(claim, nodes);
  switch (misfit) {
    case null:
      return null;
    case 'missing-type':
      return reject(`it has no ${claim.deviceType}`, `lack ${devices}`);
    case 'too-small':
      return reject(`no ${claim.deviceType} here has ${memoryOf(claim)} of memory`, `lack ${devices}`);
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

/** Such as `huawei.com/ascend-npu ×2 in one node`, with the labels that nodes must have. */
export function describeClaim(claim: ResourceClaim, nodes: NodePreferences = ANY_NODE): string {
  const memory = claim.memoryBytesPerDevice === undefined ? '' : ` of ${memoryOf(claim)}`;
  const labels = describeLabels(nodes.required);
  const where = labels === '' ? '' : ` on nodes labelled ${labels}`;
  return `${claim.deviceType} ×${claim.count}${memory}${SCOPE_WORDS[claim.schedulingPolicy.topologyScope]}${where}`;
}

function memoryOf({ memoryBytesPerDevice = 0 }: ResourceClaim): string {
  return memoryWords(memoryBytesPerDevice, 'up');
}
