// Whether an object is what the Kubernetes API takes: against the published OpenAPI schemas (of the oldest release that it
// is made for) and the published field types (of the newest). An unknown field is an error, as with `--validate=strict`.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv, type ValidateFunction } from 'ajv';
import type { KubernetesObject } from '../src/kubernetes/kinds.ts';
import { type AnyObject, hasAll, selectorIn, type Target } from './kubernetes-paths.fixture.ts';

const LABEL_VALUE = /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;
const NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
const SERVICE_NAME = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
const FOLDER = join(import.meta.dirname, '../../../test/fixtures/kubernetes');

/** A field type of server-side apply. */
export interface FieldType {
  readonly scalar?: string;
  readonly namedType?: string;
  readonly list?: {
    readonly elementType: FieldType;
    readonly elementRelationship: 'atomic' | 'associative';
    readonly keys?: readonly string[];
  };
  readonly map?: {
    readonly fields?: readonly { readonly name: string; readonly type: FieldType }[];
    readonly elementType?: FieldType;
    readonly elementRelationship?: string;
  };
  readonly elementRelationship?: string;
}

const readFixture = (name: string): unknown => JSON.parse(readFileSync(join(FOLDER, name), 'utf8'));
const { components } = readFixture('openapi-v3.json') as { components: { schemas: Record<string, object> } };
const types = new Map(
  (readFixture('apply-types.json') as { types: (FieldType & { name: string })[] }).types.map((type) => [
    type.name,
    type,
  ]),
);

const GROUPS: Readonly<Record<string, string>> = {
  v1: 'io.k8s.api.core.v1',
  'apps/v1': 'io.k8s.api.apps.v1',
  'batch/v1': 'io.k8s.api.batch.v1',
  'scheduling.k8s.io/v1': 'io.k8s.api.scheduling.v1',
  'rbac.authorization.k8s.io/v1': 'io.k8s.api.rbac.v1',
};

export function resolveType(type: FieldType): FieldType {
  return type.namedType === undefined ? type : (types.get(type.namedType) ?? { scalar: 'untyped' });
}

/** Undefined: no published type of it is here. */
export function fieldTypeOf({ apiVersion = '', kind = '' }: KubernetesObject): FieldType | undefined {
  return types.get(`${GROUPS[apiVersion] ?? apiVersion}.${kind}`);
}

const ajv = new Ajv({
  strict: false,
  allErrors: true,
  formats: { int32: isInteger(2 ** 31), int64: isInteger(2 ** 53) },
});
for (const format of ['date-time', 'int-or-string', 'byte', 'double']) ajv.addFormat(format, true);
ajv.addSchema({ $id: 'kubernetes', components: { schemas: closedSchemas(components.schemas) } });
const validators = new Map<string, ValidateFunction>();

/** What the API would say against it; empty: nothing. */
export function schemaProblems(object: KubernetesObject): string[] {
  const { apiVersion = '', kind = '' } = object;
  const validate = validatorOf(apiVersion, kind);
  const type = fieldTypeOf(object);
  if (validate === undefined && type === undefined) return [`no matches for kind "${kind}" in version "${apiVersion}"`];
  const isValid = validate?.(object) ?? true;
  const errors = isValid ? [] : (validate?.errors ?? []);
  const said = errors.map(({ instancePath, message, params }) => {
    const extra = (params as { additionalProperty?: string }).additionalProperty;
    return `${instancePath.replaceAll('/', '.')}: ${message}${extra === undefined ? '' : ` (${extra})`}`;
  });
  return [...said, ...(type === undefined ? [] : typeProblems(object, type, ''))];
}

/** What the API server would say against an object at this path; empty: nothing. */
export function admissionProblems({ name, resource }: Target, object: AnyObject): string[] {
  const { metadata, spec } = object;
  const labels = Object.entries({ ...metadata?.labels, ...spec?.template?.metadata?.labels });
  const selector = selectorIn(object);
  return [
    ...schemaProblems(object),
    ...(metadata?.name === name && NAME.test(name ?? '') ? [] : ['metadata.name: does not match the path, or is none']),
    ...(resource !== 'services' || SERVICE_NAME.test(name ?? '') ? [] : ['metadata.name: must be a DNS-1035 label']),
    ...labels.flatMap(([key, value]) =>
      LABEL_VALUE.test(value as string) ? [] : [`labels.${key}: ${value} is no value`],
    ),
    ...(resource !== 'deployments' || hasAll(spec?.template?.metadata?.labels, selector ?? { '': '' })
      ? []
      : ['spec.template.metadata.labels: `selector` does not match template `labels`']),
  ];
}

function validatorOf(apiVersion: string, kind: string): ValidateFunction | undefined {
  const name = `${apiVersion}/${kind}`;
  const known = validators.get(name);
  if (known !== undefined) return known;
  const made = makeValidator(apiVersion, kind);
  if (made !== undefined) validators.set(name, made);
  return made;
}

function makeValidator(apiVersion: string, kind: string): ValidateFunction | undefined {
  if (apiVersion === 'batch.volcano.sh/v1alpha1' && kind === 'Job') {
    return ajv.compile(closed(volcanoJob()) as object);
  }
  const schema = `${GROUPS[apiVersion] ?? apiVersion}.${kind}`;
  if (!(schema in components.schemas)) return undefined;
  return ajv.compile({ $ref: `kubernetes#/components/schemas/${schema}` });
}

/** A CRD says nothing of metadata: that is every object's. */
function volcanoJob(): object {
  const schema = readFixture('volcano-job.json') as { properties: Record<string, unknown> };
  const metadata = { $ref: 'kubernetes#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' };
  return { ...schema, properties: { ...schema.properties, metadata } };
}

function closedSchemas(schemas: Readonly<Record<string, object>>): Record<string, object> {
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, closed(schema) as object]));
}

/** Objects with named fields take no others. Inside `properties` the keys are names and not keywords. */
function closed(schema: unknown, isNames = false): unknown {
  if (Array.isArray(schema)) return schema.map((each) => closed(each));
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema).map(([key, value]) => [key, closed(value, key === 'properties' && !isNames)]);
  const copy = Object.fromEntries(entries) as Record<string, unknown>;
  const isOpen = 'additionalProperties' in copy || copy['x-kubernetes-preserve-unknown-fields'] === true;
  if (!isNames && 'properties' in copy && !isOpen) copy.additionalProperties = false;
  if (copy['x-kubernetes-int-or-string'] === true) return { oneOf: [{ type: 'integer' }, { type: 'string' }] };
  return copy;
}

function typeProblems(value: unknown, given: FieldType, path: string): string[] {
  const type = resolveType(given);
  if (type.list !== undefined) {
    if (!Array.isArray(value)) return [`${path}: must be a list`];
    const { elementType, keys = [] } = type.list;
    const missing = keys.filter((key) =>
      value.some((each: Record<string, unknown>) => !(key in each) && !hasDefault(key)),
    );
    return [
      ...missing.map((key) => `${path}: each needs ${key}`),
      ...value.flatMap((each, index) => typeProblems(each, elementType, `${path}[${index}]`)),
    ];
  }
  if (type.map !== undefined) return mapProblems(value, type.map, path);
  return scalarProblems(value, type.scalar ?? 'untyped', path);
}

function mapProblems(value: unknown, map: NonNullable<FieldType['map']>, path: string): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${path}: must be an object`];
  return Object.entries(value).flatMap(([key, each]) => {
    const type = map.fields?.find(({ name }) => name === key)?.type ?? map.elementType;
    return type === undefined ? [`unknown field "${path}.${key}"`] : typeProblems(each, type, `${path}.${key}`);
  });
}

function scalarProblems(value: unknown, scalar: string, path: string): string[] {
  const wanted = { string: 'string', numeric: 'number', boolean: 'boolean' }[scalar];
  return wanted === undefined || typeof value === wanted ? [] : [`${path}: must be a ${wanted}`];
}

/** Keys of merged lists that the API fills in. */
function hasDefault(key: string): boolean {
  return key === 'protocol';
}

function isInteger(limit: number) {
  return {
    type: 'number' as const,
    validate: (value: number) => Number.isInteger(value) && value >= -limit && value < limit,
  };
}
