// Turns what zod says about the gathered values into problems that name the key, the place and the remedy.
import { z } from 'zod';
import { coerce, writingHint } from './coercion.ts';
import type { ConfigurationDefinition } from './definition.ts';
import type { ConfigurationDocument } from './document.ts';
import type { ConfigurationProblem } from './errors.ts';
import { allowedValues, expectation, shown } from './expectation.ts';
import { type Gathering, valueAt } from './gathering.ts';
import type { Leaf } from './keys.ts';
import { definitionOf, schemaAt, unwrap } from './keys.ts';
import { redacted } from './secret.ts';
import { closest } from './suggestion.ts';

interface Case {
  readonly definition: ConfigurationDefinition;
  readonly gathering: Gathering;
  readonly document: ConfigurationDocument;
}

export function problemsOf(issues: readonly z.core.$ZodIssue[], subject: Case): readonly ConfigurationProblem[] {
  const problems = issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((name) => unknownKey([...issue.path, name], subject))
      : isRefusedAlready(issue, subject)
        ? []
        : [wrongValue(issue, subject)],
  );
  const seen = new Set<string>();
  return problems.filter(({ key, right }) => !seen.has(`${key} ${right}`) && seen.add(`${key} ${right}`));
}

/** Keys as they are written in the file: secrets by their `…File` name. */
export function writtenKeys(leaves: readonly Leaf[]): readonly string[] {
  return leaves.map((leaf) => (leaf.secret ? `${leaf.key}File` : leaf.key));
}

function isRefusedAlready(issue: z.core.$ZodIssue, { gathering }: Case): boolean {
  return gathering.refused.has(issue.path.join('.'));
}

function unknownKey(path: readonly PropertyKey[], { definition, document }: Case): ConfigurationProblem {
  const parent = schemaAt(definition.schema, path.slice(0, -1));
  const siblings = parent ? siblingKeys(path.slice(0, -1), parent, definition) : [];
  const last = String(path.at(-1));
  const sibling =
    closest(last, siblings) ??
    closest(
      `${last}File`,
      siblings.filter((name) => name.endsWith('File')),
    );
  const near = sibling
    ? [...path.slice(0, -1), sibling].join('.')
    : closest(path.join('.'), writtenKeys(definition.keys.leaves));
  return {
    key: path.join('.'),
    where: document.locate(path) ?? 'environment',
    came: 'a key that does not exist',
    right: near
      ? `${near} is the closest key`
      : siblings.length > 0
        ? `one of ${siblings.join(', ')}`
        : 'no such key; remove it',
  };
}

function siblingKeys(
  path: readonly PropertyKey[],
  parent: z.core.$ZodType,
  definition: ConfigurationDefinition,
): string[] {
  const inner = definitionOf(unwrap(parent));
  if (inner.type !== 'object') return [];
  const secrets = definition.keys.leaves.filter((leaf) => leaf.secret).map((leaf) => leaf.key);
  return Object.keys(inner.shape).map((name) => (secrets.includes([...path, name].join('.')) ? `${name}File` : name));
}

function wrongValue(issue: z.core.$ZodIssue, { definition, gathering, document }: Case): ConfigurationProblem {
  const key = issue.path.join('.');
  const leaf = definition.keys.leaves.find(({ path }) => path.every((step, index) => issue.path[index] === step));
  const value = valueAt(gathering.values, issue.path);
  const variable = leaf && gathering.sources.get(leaf.key)?.replace(/^(env|file) /, '');
  const isFromEnvironment = leaf !== undefined && gathering.sources.get(leaf.key)?.startsWith('env ') === true;
  const right = wanted(issue, value, leaf, isFromEnvironment, definition);
  if (value === undefined && (issue.code !== 'custom' || leaf?.secret)) {
    return {
      key: key || definition.process,
      where: 'not set',
      came: 'nothing',
      right: `${right}; ${howToSet(leaf, document)}`,
    };
  }
  const isSecret = leaf?.secret === true;
  return {
    key: key || definition.process,
    where: (isFromEnvironment || isSecret ? variable : undefined) ?? document.locate(issue.path) ?? 'default',
    came: isSecret ? redacted : shown(value),
    right,
  };
}

function wanted(
  issue: z.core.$ZodIssue,
  value: unknown,
  leaf: Leaf | undefined,
  isFromEnvironment: boolean,
  { schema }: ConfigurationDefinition,
): string {
  if (issue.code === 'custom' && issue.message !== 'Invalid input') return issue.message;
  if (leaf?.secret) return secretWords(leaf);
  const target = schemaAt(schema, issue.path);
  if (!target) return issue.message;
  // A message that the schema's author wrote says it better than its pattern would.
  const isOwn = !/^(Invalid|Too|Unrecognized)\b/.test(issue.message);
  const words = isOwn ? issue.message.replace(/^must be /, '') : expectation(target);
  if (isFromEnvironment) {
    return `${words}${leaf && issue.path.length === leaf.path.length ? writingHint(leaf.schema) : ''}`;
  }
  const near = typeof value === 'string' ? closest(value, allowedValues(target)) : undefined;
  return `${words}${near ? `; the closest is ${near}` : ''}${quotesHint(value, target)}`;
}

function secretWords({ schema }: Leaf): string {
  const words = expectation(schema);
  return words === 'a value' || words === '' ? 'a secret' : `a secret: ${words}`;
}

/** YAML's usual slip: quotes too many or too few. Said only where it would help. */
function quotesHint(value: unknown, target: z.core.$ZodType): string {
  if (typeof value === 'string') {
    const coerced = coerce(value, target);
    return typeof coerced !== 'string' && z.safeParse(target, coerced).success ? '; write it without quotes' : '';
  }
  const isBare = typeof value === 'number' || typeof value === 'boolean';
  return isBare && z.safeParse(target, String(value)).success ? '; write it in quotes' : '';
}

function howToSet(leaf: Leaf | undefined, document: ConfigurationDocument): string {
  if (!leaf) return 'set it in the file';
  const file = document.locate([])?.replace(/:\d+$/, '') ?? 'the file given by --config';
  if (leaf.secret) return `set ${leaf.key}File in ${file} to the path of a file (chmod 600), or set ${leaf.variable}`;
  return `set it in ${file}, or set ${leaf.variable}`;
}
