/** What was read anew and is as before stays the same objects: who keeps what it worked out of them need not do so again. */
import { isDeepStrictEqual } from 'node:util';
import type { Node, Placement } from '#domain';

export function sameIfEqual<Value>(known: Value | undefined, read: Value): Value {
  return known !== undefined && isDeepStrictEqual(known, read) ? known : read;
}

/** With the known ones in the place of equal ones; the known list itself where they are all of it, in the same order. */
export function sameRows<Row extends { readonly id: string }>(
  known: readonly Row[],
  read: readonly Row[],
  same: (known: Row | undefined, read: Row) => Row = sameIfEqual,
): readonly Row[] {
  const before = byId(known);
  return sameList(
    known,
    read.map((row) => same(before.get(row.id), row)),
  );
}

/** The known list where the other one has the same members in the same order. */
export function sameList<Member>(known: readonly Member[], next: readonly Member[]): readonly Member[] {
  return known.length === next.length && next.every((member, index) => member === known[index]) ? known : next;
}

/** The known map where the other one says the same of the same keys. */
export function sameMap<Value>(
  known: ReadonlyMap<string, Value>,
  next: ReadonlyMap<string, Value>,
): ReadonlyMap<string, Value> {
  const isSame = known.size === next.size && [...next].every(([key, value]) => known.get(key) === value);
  return isSame ? known : next;
}

/** All that ever changes about a placement is where it stands. */
export function samePlacement(known: Placement | undefined, read: Placement): Placement {
  const { phase, phaseSince, reason } = read;
  const isSame =
    known?.phase === phase && known.reason === reason && known.phaseSince.getTime() === phaseSince.getTime();
  return isSame ? known : read;
}

/** How busy devices are moves all the time, and nothing is decided from it: where only that moved, they are the known ones. */
export function sameNodes(known: readonly Node[] | undefined, read: readonly Node[]): readonly Node[] {
  return known !== undefined && isDeepStrictEqual(known.map(withoutUse), read.map(withoutUse)) ? known : read;
}

function withoutUse(node: Node) {
  return { ...node, devices: node.devices.map((device) => ({ ...device, utilisation: undefined })) };
}

export function byId<Row extends { readonly id: string }>(rows: readonly Row[]): Map<string, Row> {
  return new Map(rows.map((row) => [row.id, row]));
}
