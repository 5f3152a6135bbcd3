// Environment overrides: each leaf has one variable, made from the schema. A variable of ours that is nobody's is a
// mistake worth stopping for: it was set to change something, and it does not.
import { coerce } from './coercion.ts';
import { type Gathering, setAt } from './gathering.ts';
import type { Keys } from './keys.ts';
import { closest } from './suggestion.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Overrides plain leaves; secrets are read apart. */
export function applyEnvironment(gathering: Gathering, keys: Keys, env: Environment): void {
  for (const leaf of keys.leaves) {
    const text = env[leaf.variable];
    if (leaf.secret || text === undefined) continue;
    if (setAt(gathering.values, leaf.path, coerce(text, leaf.schema))) {
      gathering.sources.set(leaf.key, `env ${leaf.variable}`);
    }
  }
}

/** `foreign` are names that belong to other programs; one that ends in `*` stands for all names that begin so. */
export function refuseUnknownVariables(
  gathering: Gathering,
  keys: Keys,
  env: Environment,
  foreign: readonly string[],
): void {
  const known = keys.leaves.flatMap((leaf) =>
    leaf.secret ? [leaf.variable, `${leaf.variable}_FILE`] : [leaf.variable],
  );
  for (const name of Object.keys(env).sort()) {
    if (!name.startsWith('ATOLL_') || env[name] === undefined || known.includes(name) || isForeign(name, foreign))
      continue;
    const suggestion = closest(name, known);
    const key = keys.leaves.find((leaf) => suggestion === leaf.variable || suggestion === `${leaf.variable}_FILE`)?.key;
    gathering.problems.push({
      key: name,
      where: 'environment',
      came: 'a variable that sets no key of this process',
      right: suggestion ? `${suggestion}, which sets ${key}, or no such variable` : 'no such variable; unset it',
    });
  }
}

function isForeign(name: string, foreign: readonly string[]): boolean {
  return foreign.some((entry) => (entry.endsWith('*') ? name.startsWith(entry.slice(0, -1)) : name === entry));
}
