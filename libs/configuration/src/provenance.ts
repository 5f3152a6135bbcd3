import type { ConfigurationDefinition } from './definition.ts';

export interface Provenance {
  readonly definition: ConfigurationDefinition;
  /** Dotted key → where its value came from; a key that is absent has its default. */
  readonly sources: ReadonlyMap<string, string>;
}

// Kept beside the object rather than in it: the configuration holds what the schema says and nothing else.
const provenances = new WeakMap<object, Provenance>();

export function remember(configuration: object, provenance: Provenance): void {
  provenances.set(configuration, provenance);
}

/** Undefined for an object that `loadConfiguration` did not make. */
export function provenanceOf(configuration: object): Provenance | undefined {
  return provenances.get(configuration);
}
