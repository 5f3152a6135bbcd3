import { DefaultNamingStrategy, type ValueTransformer } from 'typeorm';

/** `phaseSince` in code is `phase_since` in the table, without saying so at each column. */
export class SnakeCaseNames extends DefaultNamingStrategy {
  override columnName(propertyName: string, customName: string | undefined, prefixes: string[]): string {
    return super.columnName(propertyName, customName ?? snakeCase(propertyName), prefixes);
  }
}

export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Postgres gives bigint as text; epochs, revisions and byte counts all stay below 2^53. */
export const SAFE_INTEGER: ValueTransformer = {
  from: (stored: string | number | null) => (stored === null ? null : Number(stored)),
  to: (value: number | null) => value,
};
