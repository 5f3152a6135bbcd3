/**
 * Which bytes of the base each piece of the next file is written against. Tensors are aligned by name: the same type and
 * shape (or as many elements) align whole, a tensor that grew or shrank in its first dimension aligns by its first
 * rows; the rest has no base. Headers and bodies of unknown structure align with the base's header or body.
 */
import type { ElementType } from '../elements.ts';
import { elementsIn, type Layout, type Piece } from '../formats/layout.ts';

/** A stretch of the next file with its base. */
export interface Stretch {
  readonly type: ElementType;
  readonly offset: number;
  readonly bytes: number;
  /** Null where the base has nothing to compare with. */
  readonly base: { readonly offset: number; readonly bytes: number } | null;
  /** Elements in a row of a matrix; 0 for everything else. */
  readonly columns: number;
}

export function alignLayouts(base: Layout | null, next: Layout): Stretch[] {
  const known = new Map((base?.pieces ?? []).map((piece) => [keyOf(piece), piece]));
  return next.pieces.filter(({ bytes }) => bytes > 0).flatMap((piece) => alignPiece(known.get(keyOf(piece)), piece));
}

/** A tensor's name cannot meet a gap's: they live in different spaces. */
function keyOf({ kind, name }: Piece): string {
  return `${kind}:${name}`;
}

function alignPiece(base: Piece | undefined, piece: Piece): Stretch[] {
  const { type, offset, bytes } = piece;
  const whole = (against: Stretch['base']): Stretch => ({
    type,
    offset,
    bytes,
    base: against,
    columns: columnsOf(piece),
  });
  if (base === undefined || base.bytes === 0) return [whole(null)];
  const against = { offset: base.offset, bytes: base.bytes };
  if (piece.kind !== 'tensor') return [whole(against)];
  if (base.dtype !== piece.dtype) return [whole(null)];
  if (base.bytes === bytes) return [whole(against)];
  const prefix = Math.min(base.bytes, bytes);
  if (!sameRows(base, piece) || prefix % type.bytes !== 0) return [whole(null)];
  const first = { ...whole({ offset: base.offset, bytes: prefix }), bytes: prefix };
  if (prefix === bytes) return [first];
  return [first, { ...whole(null), offset: offset + prefix, bytes: bytes - prefix }];
}

/** Whether two shapes differ in the first dimension only. */
function sameRows(base: Piece, next: Piece): boolean {
  return (
    base.shape.length === next.shape.length &&
    next.shape.length > 0 &&
    next.shape.slice(1).every((dimension, index) => dimension === base.shape[index + 1])
  );
}

function columnsOf({ shape }: Piece): number {
  return shape.length < 2 ? 0 : elementsIn(shape.slice(1))!;
}
