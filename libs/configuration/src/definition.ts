import type { z } from 'zod';
import { type Keys, readKeys } from './keys.ts';

export interface ConfigurationInput<Schema extends z.ZodType> {
  /** Name of the process as users know it: `gateway`, `agent`, `control-plane`. */
  readonly process: string;
  /** A `z.strictObject` of sections (strict objects again) and leaves. Durations carry their unit in the key's name. */
  readonly schema: Schema;
  /**
   * Dotted keys of plain strings that are supplied and redacted like `secret()` but parsed to a string, for values
   * that a foreign library must read out of the object itself. Prefer `secret()`.
   */
  readonly secrets?: readonly string[];
}

export interface ConfigurationDefinition<Schema extends z.ZodType = z.ZodType> {
  readonly process: string;
  readonly schema: Schema;
  readonly keys: Keys;
}

/**
 * Names a process' configuration once, at module load.
 * Throws ConfigurationDefinitionError when the schema is lax, or gives two keys one name in the environment.
 */
export function defineConfiguration<Schema extends z.ZodType>({
  process,
  schema,
  secrets = [],
}: ConfigurationInput<Schema>): ConfigurationDefinition<Schema> {
  return Object.freeze({ process, schema, keys: readKeys(schema, secrets) });
}
