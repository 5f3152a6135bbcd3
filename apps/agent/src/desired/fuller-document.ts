/**
 * Whether a document is the one that is held with more told of the same items, at the same place. So it is after an update
 * of this agent: what its earlier release did not know it has not kept, and the position of the document is no other (R21).
 * Anything else that differs at one position is another document, of a database that was restored (R20).
 */
import { canonicalJson, type DesiredState } from '#domain';

const LISTS = ['versions', 'replicas', 'tasks'] as const;

export function tellsMore(held: DesiredState, incoming: DesiredState): boolean {
  const isSame = LISTS.every((list) => canonicalJson(held[list]) === canonicalJson(incoming[list]));
  return !isSame && LISTS.every((list) => areWithin(held[list], incoming[list]));
}

function areWithin(held: readonly object[], incoming: readonly object[]): boolean {
  return held.length === incoming.length && held.every((item, index) => isWithin(item, incoming[index]!));
}

/** Every field that is held is the same there. */
function isWithin(held: object, incoming: object): boolean {
  const fields = incoming as Readonly<Record<string, unknown>>;
  return Object.entries(held).every(
    ([name, value]) => value === undefined || canonicalJson(value) === canonicalJson(fields[name] ?? null),
  );
}
