/**
 * A list as the difference to one that the other side holds, item by item and by content, so that neither side must
 * remember what the other had (R5). What was held and is wanted again is named by its place; the rest is sent.
 */

/** `keep`: so many of the held items, from there on; `put`: these items. */
export type ListDeltaPart<Item> =
  | { readonly keep: { readonly from: number; readonly count: number } }
  | { readonly put: readonly Item[] };

/** `held`: the hash of each item that the other side has, in its order; equal hashes are equal items. */
export function listDelta<Item>(
  held: readonly string[],
  wanted: readonly Item[],
  hashOf: (item: Item) => string,
): ListDeltaPart<Item>[] {
  const places = new Map(held.map((hash, place) => [hash, place]));
  const parts: ListDeltaPart<Item>[] = [];
  let put: Item[] | undefined;
  let keep: { from: number; count: number } | undefined;
  for (const item of wanted) {
    const place = places.get(hashOf(item));
    if (place === undefined) {
      keep = undefined;
      if (put === undefined) {
        put = [];
        parts.push({ put });
      }
      put.push(item);
      continue;
    }
    put = undefined;
    if (keep !== undefined && keep.from + keep.count === place) keep.count += 1;
    else {
      keep = { from: place, count: 1 };
      parts.push({ keep });
    }
  }
  return parts;
}

/** Null when a part names what is not held: the delta is of another list. */
export function applyListDelta<Item>(held: readonly Item[], parts: readonly ListDeltaPart<Item>[]): Item[] | null {
  const made: Item[] = [];
  for (const part of parts) {
    if ('put' in part) {
      made.push(...part.put);
      continue;
    }
    const { from, count } = part.keep;
    if (from + count > held.length) return null;
    made.push(...held.slice(from, from + count));
  }
  return made;
}
