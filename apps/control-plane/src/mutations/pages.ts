// Cursor pages: the cursor is the last id of the page before.

import type { PageRequest } from '#domain';

export interface Page<Item> {
  readonly items: Item[];
  readonly next: string | null;
}

/** `after` is the last id seen. */
export interface PageQuery {
  readonly limit: number;
  readonly after?: string | undefined;
}

const ROWS_MAX = 200;

/** Reads one row more than asked for, where the bound allows it, to know whether there is a next page. */
export async function readPage<Row extends { readonly id: string }>(
  tenantId: string,
  query: PageQuery,
  list: (page: PageRequest) => Promise<Row[]>,
): Promise<Page<Row>> {
  const limit = Math.min(query.limit + 1, ROWS_MAX);
  const rows = await list({ tenantId, after: query.after ?? null, limit });
  const items = rows.slice(0, query.limit);
  const hasMore = rows.length > query.limit || (query.limit === ROWS_MAX && rows.length === ROWS_MAX);
  return { items, next: hasMore ? (items.at(-1)?.id ?? null) : null };
}
