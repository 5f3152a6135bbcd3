// Paths of the Kubernetes API, read as a server reads them, and small looks into objects.
import type { Kind } from '../src/kubernetes/kinds.ts';

/** Objects as the wire has them; specs look into them freely. */
// biome-ignore lint/suspicious/noExplicitAny: what a spec looks at is any field of any kind.
export type AnyObject = any;

export interface Target {
  readonly version: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string | undefined;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

export function parsePath(path: string): Target | null {
  const core = /^\/api\/([^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path);
  if (core !== null) return targetFrom('', core.slice(1));
  const grouped = /^\/apis\/([^/]+)\/([^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(
    path,
  );
  return grouped === null ? null : targetFrom(grouped[1]!, grouped.slice(2));
}

function targetFrom(group: string, [version, namespace, resource, name, subresource]: (string | undefined)[]): Target {
  return { version: version!, group, resource: resource!, subresource, namespace, name };
}

export function targetOf(kind: Kind, namespace: string | undefined, name: string): Target {
  const [group, version] = kind.apiVersion.includes('/') ? kind.apiVersion.split('/') : ['', kind.apiVersion];
  return { version: version!, group: group!, resource: kind.plural, subresource: undefined, namespace, name };
}

export const keyOf = ({ group, resource, namespace = '', name = '' }: Target) =>
  [group, resource, namespace, name].join('/');
export const pick = ({ group, resource, subresource, name }: Target) => ({
  group,
  resource: subresource === undefined ? resource : `${resource}/${subresource}`,
  name,
});
export const pickKind = ({ apiVersion, kind }: AnyObject) => ({ apiVersion, kind });
export const isEqual = (left: unknown, right: unknown) => JSON.stringify(left) === JSON.stringify(right);
export const selectorIn = (object: AnyObject): Record<string, string> | undefined => object.spec?.selector?.matchLabels;
export const hasAll = (labels: Record<string, string> = {}, wanted: Record<string, string>) =>
  Object.entries(wanted).every(([key, value]) => labels[key] === value);

export function verbOf(method: string, { name }: Target, query: URLSearchParams): string {
  if (method === 'GET' && name === undefined) return query.get('watch') === 'true' ? 'watch' : 'list';
  return { GET: 'get', PATCH: 'patch', DELETE: 'delete', POST: 'create', PUT: 'update' }[method] ?? method;
}

export function isSelected(object: AnyObject, selector: string): boolean {
  const labels = object.metadata.labels ?? {};
  return selector.split(',').every((term) => {
    const [key = '', value] = term.split('=');
    return key === '' || (value === undefined ? key in labels : labels[key] === value);
  });
}

/** As a merge patch does. */
export function mergeInto(target: AnyObject, patch: AnyObject): void {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete target[key];
    else if (typeof value === 'object' && !Array.isArray(value)) {
      target[key] ??= {};
      mergeInto(target[key], value);
    } else target[key] = value;
  }
}
