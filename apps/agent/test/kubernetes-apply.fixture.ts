// Server-side apply as the API server does it, on plain objects: who owns which field, what conflicts, what is removed.
//
// A field is a path; elements of an associative list are named by their keys. Fields of `metadata` that only the server
// writes are nobody's.
import type { KubernetesObject } from '../src/kubernetes/kinds.ts';
import { type FieldType, fieldTypeOf, resolveType } from './kubernetes-schemas.fixture.ts';

type Json = Record<string, unknown>;
/** Paths as JSON, for they are set members. */
export type FieldSet = ReadonlySet<string>;
type Step = string | Readonly<Record<string, unknown>>;

const SERVER_OWNED = new Set(['apiVersion', 'kind']);
const METADATA_OWNED = new Set([
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'creationTimestamp',
  'generation',
  'managedFields',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
]);

export interface FieldConflict {
  readonly manager: string;
  readonly field: string;
}

export interface Applied {
  readonly object: KubernetesObject;
  /** Manager → its fields. */
  readonly owners: ReadonlyMap<string, FieldSet>;
}

/** What `manager` says of the object is made so; or the fields that others own and say otherwise. */
export function applyObject(
  live: KubernetesObject | undefined,
  wanted: KubernetesObject,
  owners: ReadonlyMap<string, FieldSet>,
  manager: string,
  force: boolean,
): Applied | readonly FieldConflict[] {
  const type = fieldTypeOf(wanted) ?? { scalar: 'untyped' };
  const fields = fieldsOf(wanted, type);
  const conflicts = live === undefined ? [] : conflictsOf(live, wanted, fields, owners, manager);
  if (conflicts.length > 0 && !force) return conflicts;
  const others = new Map([...owners].filter(([name]) => name !== manager));
  const lost = conflicts.map(({ path }) => path);
  for (const [name, owned] of others) others.set(name, new Set([...owned].filter((path) => !lost.includes(path))));
  const object = live === undefined ? {} : (structuredClone(live) as Json);
  merge(object, wanted as Json, type);
  for (const path of owners.get(manager) ?? []) {
    const isKept = fields.has(path) || [...others.values()].some((owned) => owned.has(path));
    if (!isKept) removeAt(object, JSON.parse(path) as Step[]);
  }
  return { object: object as KubernetesObject, owners: new Map([...others, [manager, fields]]) };
}

/** Every field that is set. */
export function fieldsOf(object: KubernetesObject, type: FieldType = fieldTypeOf(object) ?? {}): FieldSet {
  const found = new Set<string>();
  const walk = (value: unknown, given: FieldType, path: readonly Step[]): void => {
    const resolved = resolveType(given);
    if (isGranularMap(value, resolved)) walkMap(value as Json, resolved, path);
    else if (isKeyedList(value, resolved)) walkList(value as Json[], resolved, path);
    else if (path.length > 0) found.add(JSON.stringify(path));
  };
  const walkMap = (value: Json, { map }: FieldType, path: readonly Step[]): void => {
    for (const [key, each] of Object.entries(value)) {
      if (path.length === 0 && SERVER_OWNED.has(key)) continue;
      if (path.length === 1 && path[0] === 'metadata' && METADATA_OWNED.has(key)) continue;
      const type = map?.fields?.find(({ name }) => name === key)?.type ?? map?.elementType ?? { scalar: 'untyped' };
      walk(each, type, [...path, key]);
    }
  };
  const walkList = (value: Json[], { list }: FieldType, path: readonly Step[]): void => {
    for (const each of value) walk(each, list!.elementType, [...path, keysOf(each, list!.keys!)]);
  };
  walk(object, type, []);
  return found;
}

/** `.spec.template.spec.containers[name="engine"].image` */
export function pathWords(path: string): string {
  const steps = JSON.parse(path) as Step[];
  return steps
    .map((step) => {
      if (typeof step === 'string') return `.${step}`;
      const keys = Object.entries(step).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
      return `[${keys.join(',')}]`;
    })
    .join('');
}

function conflictsOf(
  live: KubernetesObject,
  wanted: KubernetesObject,
  fields: FieldSet,
  owners: ReadonlyMap<string, FieldSet>,
  manager: string,
): (FieldConflict & { path: string })[] {
  return [...owners].flatMap(([name, owned]) => {
    if (name === manager) return [];
    const common = [...fields].filter((path) => owned.has(path) && !isSame(live, wanted, JSON.parse(path) as Step[]));
    return common.map((path) => ({ manager: name, field: pathWords(path), path }));
  });
}

function merge(target: Json, wanted: Json, given: FieldType): void {
  const { map } = resolveType(given);
  for (const [key, value] of Object.entries(wanted)) {
    const type = resolveType(map?.fields?.find(({ name }) => name === key)?.type ?? map?.elementType ?? {});
    if (isGranularMap(value, type) && isPlain(target[key])) merge(target[key] as Json, value as Json, type);
    else if (isKeyedList(value, type) && Array.isArray(target[key])) {
      target[key] = mergeList(target[key] as Json[], value as Json[], type);
    } else target[key] = structuredClone(value);
  }
}

function mergeList(target: Json[], wanted: Json[], { list }: FieldType): Json[] {
  const merged = [...target];
  for (const each of wanted) {
    const found = merged.find((other) => isEqual(keysOf(other, list!.keys!), keysOf(each, list!.keys!)));
    if (found === undefined) merged.push(structuredClone(each));
    else merge(found, each, list!.elementType);
  }
  return merged;
}

function removeAt(object: unknown, steps: readonly Step[]): void {
  const [last, ...before] = [...steps].reverse();
  const parent = before.reduceRight<unknown>(valueAt, object);
  if (parent === undefined || parent === null) return;
  if (typeof last === 'string') delete (parent as Json)[last];
  else if (Array.isArray(parent)) {
    const index = parent.findIndex((each: Json) => matches(each, last!));
    if (index >= 0) parent.splice(index, 1);
  }
}

function valueAt(value: unknown, step: Step): unknown {
  if (value === undefined || value === null) return undefined;
  if (typeof step === 'string') return (value as Json)[step];
  return Array.isArray(value) ? (value as Json[]).find((each) => matches(each, step)) : undefined;
}

function isSame(left: unknown, right: unknown, steps: readonly Step[]): boolean {
  return isEqual(steps.reduce(valueAt, left), steps.reduce(valueAt, right));
}

const isEqual = (left: unknown, right: unknown) => JSON.stringify(left) === JSON.stringify(right);
const isPlain = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
const matches = (value: Json, keys: Json | Step) => Object.entries(keys).every(([key, each]) => value[key] === each);

function keysOf(value: Json, keys: readonly string[]): Json {
  return Object.fromEntries(keys.map((key) => [key, value[key] ?? (key === 'protocol' ? 'TCP' : undefined)]));
}

function isGranularMap(value: unknown, { map, elementRelationship }: FieldType): boolean {
  return (
    map !== undefined && elementRelationship !== 'atomic' && map.elementRelationship !== 'atomic' && isPlain(value)
  );
}

function isKeyedList(value: unknown, { list }: FieldType): boolean {
  return list?.elementRelationship === 'associative' && list.keys !== undefined && Array.isArray(value);
}
