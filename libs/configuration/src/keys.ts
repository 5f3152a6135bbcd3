// Reads a schema into the list of its keys: what each is called in YAML and in the environment, and what it holds.
// Sections are strict objects; every other schema is one leaf, set as a whole. Nothing is guessed from a variable's
// name: names are made from the schema and compared, and two keys with one name are refused here.
import { z } from 'zod';
import { ConfigurationDefinitionError } from './errors.ts';
import { isSecretSchema } from './secret.ts';

export interface Leaf {
  readonly path: readonly string[];
  /** Dotted path, such as `http.listenPort`. */
  readonly key: string;
  /** The schema as written, with its default and optional wrappers. */
  readonly schema: z.core.$ZodType;
  readonly variable: string;
  readonly secret: boolean;
}

export interface Section {
  readonly path: readonly string[];
  /** Filled with an empty section when absent, so that its keys' defaults apply and each missing key is named. */
  readonly filled: boolean;
}

export interface Keys {
  readonly leaves: readonly Leaf[];
  readonly sections: readonly Section[];
}

/** Throws ConfigurationDefinitionError for lax objects, secrets inside lists or unions, and names used twice. */
export function readKeys(schema: z.core.$ZodType, secretPaths: readonly string[]): Keys {
  const leaves: Leaf[] = [];
  const sections: Section[] = [];
  visit(schema, []);
  for (const path of secretPaths) {
    if (!leaves.some((leaf) => leaf.key === path)) {
      throw new ConfigurationDefinitionError(`secrets names ${path}, which is not a key of the schema`);
    }
  }
  refuseNamesUsedTwice(leaves);
  return { leaves, sections };

  function visit(node: z.core.$ZodType, path: readonly string[]): void {
    const inner = unwrap(node);
    const key = path.join('.');
    const isSecret = isSecretSchema(inner);
    if (!isSecret && definitionOf(inner).type === 'object') {
      const shape = strictShape(inner, key);
      sections.push({ path, filled: inner === node });
      for (const [name, child] of Object.entries(shape)) visit(child, [...path, name]);
      return;
    }
    if (path.length === 0) throw new ConfigurationDefinitionError('the schema must be a z.strictObject');
    if (!isSecret) refuseSecretInside(inner, key);
    const secret = isSecret || secretPaths.includes(key);
    leaves.push({ path, key, schema: node, variable: variableName(path), secret });
  }
}

/** `['http', 'listenPort']` → `ATOLL_HTTP_LISTEN_PORT`. A run of capitals is one word: `caURL` → `CA_URL`. */
export function variableName(path: readonly string[]): string {
  const words = path.map((name) =>
    name
      .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
      .replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
      .replace(/[^A-Za-z0-9]+/g, '_'),
  );
  return ['ATOLL', ...words].join('_').toUpperCase();
}

export function definitionOf(schema: z.core.$ZodType): z.core.$ZodTypes['_zod']['def'] {
  return (schema as z.core.$ZodTypes)._zod.def;
}

/** The schema without the wrappers that only say what happens when a value is absent, on its input side. */
export function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  const definition = definitionOf(schema);
  switch (definition.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return unwrap(definition.innerType);
    case 'lazy':
      return unwrap(definition.getter());
    case 'pipe':
      return unwrap(definitionOf(definition.in).type === 'transform' ? definition.out : definition.in);
    default:
      return schema;
  }
}

/** The schema one step below, or undefined where there is none. Used to describe a value inside a leaf. */
export function schemaBelow(schema: z.core.$ZodType, step: PropertyKey): z.core.$ZodType | undefined {
  const definition = definitionOf(unwrap(schema));
  switch (definition.type) {
    case 'object':
      return typeof step === 'string' ? definition.shape[step] : undefined;
    case 'array':
      return definition.element;
    case 'record':
      return definition.valueType;
    case 'tuple':
      return typeof step === 'number' ? (definition.items[step] ?? definition.rest ?? undefined) : undefined;
    default:
      return undefined;
  }
}

/** The schema at a path, or undefined where the path leaves what the schema names. */
export function schemaAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): z.core.$ZodType | undefined {
  let current: z.core.$ZodType | undefined = schema;
  for (const step of path) current = current && schemaBelow(current, step);
  return current;
}

function strictShape(schema: z.core.$ZodType, key: string): Readonly<Record<string, z.core.$ZodType>> {
  const definition = definitionOf(schema);
  const isStrict =
    definition.type === 'object' && definition.catchall && definitionOf(definition.catchall).type === 'never';
  if (!isStrict) {
    const what = key === '' ? 'the schema' : key;
    throw new ConfigurationDefinitionError(`${what} must be a z.strictObject, or misspelt keys would pass unseen`);
  }
  return definition.shape;
}

function refuseSecretInside(schema: z.core.$ZodType, key: string): void {
  const definition = definitionOf(schema);
  const inside =
    definition.type === 'array'
      ? [definition.element]
      : definition.type === 'record'
        ? [definition.valueType]
        : definition.type === 'union'
          ? definition.options
          : definition.type === 'object'
            ? Object.values(definition.shape)
            : [];
  for (const child of inside.map(unwrap)) {
    if (isSecretSchema(child)) {
      throw new ConfigurationDefinitionError(
        `${key} holds a secret inside a list, a mapping or a union; name it apart`,
      );
    }
    refuseSecretInside(child, key);
  }
}

function refuseNamesUsedTwice(leaves: readonly Leaf[]): void {
  const owners = new Map<string, string>();
  const claim = (name: string, key: string) => {
    const other = owners.get(name);
    if (other !== undefined) {
      throw new ConfigurationDefinitionError(`${other} and ${key} would both be called ${name}; rename one`);
    }
    owners.set(name, key);
  };
  for (const leaf of leaves) {
    claim(leaf.variable, leaf.key);
    if (leaf.secret) {
      claim(`${leaf.variable}_FILE`, leaf.key);
      claim(`${leaf.key}File`, leaf.key);
    } else {
      claim(leaf.key, leaf.key);
    }
  }
}
