import { inspect } from 'node:util';
import { z } from 'zod';

/** What is shown wherever a secret would be. */
export const redacted = '[redacted]';

/**
 * A secret value that cannot be shown by accident: printing, interpolating, serialising or inspecting it gives
 * `[redacted]`. Only `reveal()` gives the value; call it where the value is used and keep the result nowhere.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
    Object.freeze(this);
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return redacted;
  }

  toJSON(): string {
    return redacted;
  }

  [inspect.custom](): string {
    return redacted;
  }
}

/**
 * The schema of a secret. The key `token: secret()` is set by `tokenFile: <path>` in the YAML file (or
 * `ATOLL_…_TOKEN_FILE`), a file that only its owner may read, or by `ATOLL_…_TOKEN`; never inline in the YAML file.
 * `charactersMin` (default 1) is checked after trimming.
 */
export function secret({ charactersMin = 1 }: { charactersMin?: number } = {}) {
  return z
    .custom<Secret>((value) => value instanceof Secret)
    .refine((value) => value.reveal().length >= charactersMin, {
      error: charactersMin === 1 ? 'a secret that is not empty' : `a secret of at least ${charactersMin} characters`,
    })
    .meta({ secret: true });
}

/** Metadata of zod is inherited by clones, so `secret().describe(…)` is still a secret. */
export function isSecretSchema(schema: z.core.$ZodType): boolean {
  return z.globalRegistry.get(schema as z.ZodType)?.secret === true;
}
