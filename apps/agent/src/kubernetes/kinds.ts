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

/** Server-side apply of what is not there yet needs `create` and `patch`. */
const OWNED = ['get', 'list', 'create', 'patch', 'delete'];

export const KINDS = {
  deployment: kindOf('apps/v1', 'Deployment', 'deployments', [...OWNED, 'watch']),
  service: kindOf('v1', 'Service', 'services', OWNED),
  job: kindOf('batch/v1', 'Job', 'jobs', OWNED),
  volcanoJob: kindOf('batch.volcano.sh/v1alpha1', 'Job', 'jobs', OWNED),
  pod: kindOf('v1', 'Pod', 'pods', ['list', 'watch']),
  podLog: kindOf('v1', 'Pod', 'pods/log', ['get']),
  node: kindOf('v1', 'Node', 'nodes', ['list', 'watch'], false),
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

function kindOf(apiVersion: string, kind: string, plural: string, verbs: readonly string[], isNamespaced = true): Kind {
  return { apiVersion, kind, plural, isNamespaced, verbs };
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
