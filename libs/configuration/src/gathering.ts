// What was gathered for one process before its schema judges it: values, where each came from, what was wrong so far.
import type { ConfigurationProblem } from './errors.ts';
import type { Leaf } from './keys.ts';

export interface Gathering {
  readonly values: Record<string, unknown>;
  /** Dotted key → `file gateway.yaml:3`, `env ATOLL_…`; a key that is absent here has its default. */
  readonly sources: Map<string, string>;
  readonly problems: ConfigurationProblem[];
  /** Keys already known to be wrong; the schema's own complaint about them would only repeat it. */
  readonly refused: Set<string>;
}

export function refuse(gathering: Gathering, leaf: Leaf, problem: Omit<ConfigurationProblem, 'key'>): void {
  gathering.refused.add(leaf.key);
  gathering.problems.push({ key: leaf.key, ...problem });
}

export function valueAt(values: unknown, path: readonly PropertyKey[]): unknown {
  let current = values;
  for (const step of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, step)) return undefined;
    current = (current as Record<PropertyKey, unknown>)[step];
  }
  return current;
}

/** Sets a value, making sections on the way. False when a parent is not a section: the schema will refuse that. */
export function setAt(values: Record<string, unknown>, path: readonly string[], value: unknown): boolean {
  let current = values;
  for (const step of path.slice(0, -1)) {
    if (current[step] === undefined) current[step] = {};
    const next = current[step];
    if (!isSection(next)) return false;
    current = next;
  }
  current[path.at(-1)!] = value;
  return true;
}

export function removeAt(values: Record<string, unknown>, path: readonly string[]): void {
  const parent = valueAt(values, path.slice(0, -1));
  if (isSection(parent)) delete parent[path.at(-1)!];
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
