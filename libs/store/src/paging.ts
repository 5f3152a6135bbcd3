import { type FindOptionsWhere, LessThan, MoreThan } from 'typeorm';
import { type PageRequest, RefusedError, refuse, UUID } from '#domain';

export const PAGE_ROWS_MAX = 200;

/** True for what can be an id at all; anything else names no row, and Postgres must not be asked about it. */
export function isId(text: string): boolean {
  return UUID.test(text);
}

/** Throws a refusal for a cursor or limit that no page has. */
export function checkPage(page: Pick<PageRequest, 'after' | 'limit'>): void {
  if (!Number.isInteger(page.limit) || page.limit < 1 || page.limit > PAGE_ROWS_MAX) {
    throw new RefusedError(refuse.invalid('limit', `must be a whole number from 1 to ${PAGE_ROWS_MAX}`));
  }
  if (page.after !== null && !isId(page.after)) {
    throw new RefusedError(refuse.invalid('after', 'must be the `next` of an earlier page'));
  }
}

/** The condition of one keyset page over ids. Throws as `checkPage`. */
export function pageWhere<Row extends { id: string; tenantId: string }>(
  page: PageRequest,
  direction: 'ascending' | 'descending' = 'ascending',
): FindOptionsWhere<Row> {
  checkPage(page);
  if (page.after === null) return { tenantId: page.tenantId } as FindOptionsWhere<Row>;
  const beyond = direction === 'ascending' ? MoreThan(page.after) : LessThan(page.after);
  return { tenantId: page.tenantId, id: beyond } as FindOptionsWhere<Row>;
}
