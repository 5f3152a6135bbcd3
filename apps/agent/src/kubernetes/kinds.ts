// Every kind of object that the agent reads or writes, and where the API server keeps it. Pure.
//
// What is here is what the roles in `deploy/kubernetes/` grant; a test compares the two.

export interface Kind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly isNamespaced: boolean;
  /** What the agent does with it, in the words of RBAC. */
  readonly verbs: readonly string[];
}

const OWNED = ['get', 'list', 'watch', 'create', 'patch', 'delete'];

/** Server-side apply of what is not there yet needs `create` and `patch`. */
export const KINDS = {
  deployment: { apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments', isNamespaced: true, verbs: OWNED },
  service: { apiVersion: 'v1', kind: 'Service', plural: 'services', isNamespaced: true, verbs: OWNED },
  job: { apiVersion: 'batch/v1', kind: 'Job', plural: 'jobs', isNamespaced: true, verbs: OWNED },
  volcanoJob: {
    apiVersion: 'batch.volcano.sh/v1alpha1',
    kind: 'Job',
    plural: 'jobs',
    isNamespaced: true,
    verbs: OWNED,
  },
  pod: { apiVersion: 'v1', kind: 'Pod', plural: 'pods', isNamespaced: true, verbs: ['get', 'list', 'watch'] },
  podLog: { apiVersion: 'v1', kind: 'Pod', plural: 'pods/log', isNamespaced: true, verbs: ['get'] },
  node: { apiVersion: 'v1', kind: 'Node', plural: 'nodes', isNamespaced: false, verbs: ['list', 'watch'] },
  priorityClass: {
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    plural: 'priorityclasses',
    isNamespaced: false,
    verbs: ['get', 'create', 'patch'],
  },
} as const satisfies Readonly<Record<string, Kind>>;

/** `/apis/apps/v1/namespaces/models/deployments/name`; without a name the collection. */
export function pathOf({ apiVersion, plural, isNamespaced }: Kind, namespace: string, name?: string): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const [resource, subresource] = plural.split('/');
  const parts = [root, ...(isNamespaced ? ['namespaces', encodeURIComponent(namespace)] : []), resource];
  if (name !== undefined) parts.push(encodeURIComponent(name));
  if (subresource !== undefined) parts.push(subresource);
  return parts.join('/');
}

/** '' is the core group, as RBAC writes it. */
export function groupOf({ apiVersion }: Pick<Kind, 'apiVersion'>): string {
  return apiVersion.includes('/') ? apiVersion.split('/')[0]! : '';
}

/** What every object has. Typed objects of `@kubernetes/client-node` fit it. */
export interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}
