import { isDeepStrictEqual } from 'node:util';

/** What `change` says that `present` does not say already: a change without any raises no revision. Pure. */
export function changesIn<Row extends object>(present: Row, change: Partial<Row>): Partial<Row> {
  const isNews = ([key, value]: [string, unknown]) =>
    value !== undefined && !isDeepStrictEqual(value, present[key as keyof Row]);
  return Object.fromEntries(Object.entries(change).filter(isNews)) as Partial<Row>;
}
