/**
 * The parts of bulk statements that follow from a table's columns: many rows are one parameter, a jsonb array, whatever
 * their number (a row's columns as parameters would end at 65,535 of them). A name in code is its column in snake case.
 */
import { snakeCase } from '../entities/naming.ts';

export type ColumnType =
  | 'uuid'
  | 'text'
  | 'boolean'
  | 'integer'
  | 'bigint'
  | 'double precision'
  | 'jsonb'
  | 'timestamptz';

export interface ColumnParts {
  /** `id, "tenantId"`: as they are called in a recordset. Json's null is SQL's. */
  readonly given: string;
  /** `id, tenant_id`: as an INSERT lists them. */
  readonly names: string;
  /** `id uuid, "tenantId" uuid`: what `jsonb_to_recordset` is told. */
  readonly recordset: string;
  /** `id, tenant_id AS "tenantId"`: what a SELECT lists, so that the driver's row is the noun. Bigints are numbers. */
  readonly selected: string;
}

export function columnParts<Row>(types: Readonly<Record<keyof Row & string, ColumnType>>): ColumnParts {
  const columns = Object.entries<ColumnType>(types).map(([key, type]) => ({ key, type, name: snakeCase(key) }));
  const each = (part: (column: { key: string; type: ColumnType; name: string }) => string) =>
    columns.map(part).join(', ');
  return {
    given: each(({ key, type }) => (type === 'jsonb' ? `nullif("${key}", 'null')` : `"${key}"`)),
    names: each(({ name }) => name),
    recordset: each(({ key, type }) => `"${key}" ${type}`),
    selected: each(({ key, type, name }) => `${type === 'bigint' ? `${name}::double precision` : name} AS "${key}"`),
  };
}

/** `phase = CASE WHEN change ? 'phase' …`: sets the columns that a jsonb `change` names, null too, and leaves the others. */
export function setChanged<Change>(table: string, types: Readonly<Record<keyof Change & string, ColumnType>>): string {
  const value = (key: string, type: ColumnType) =>
    type === 'jsonb' ? `nullif(change -> '${key}', 'null')` : `(change ->> '${key}')::${type}`;
  return Object.entries<ColumnType>(types)
    .map(([key, type]) => ({ key, type, name: snakeCase(key) }))
    .map(({ key, type, name }) => {
      return `${name} = CASE WHEN change ? '${key}' THEN ${value(key, type)} ELSE ${table}.${name} END`;
    })
    .join(', ');
}
