/**
 * What the bytes of a tensor mean to a codec: how wide an element is, whether it is ordered as a float or as an
 * integer, and where its exponent sits. The codes are part of the container format (docs/formats/diff-v1.md): add rows,
 * never renumber them.
 */
export interface ElementType {
  /** The byte that stands for this type in a container. */
  readonly code: number;
  readonly name: ElementTypeName;
  /** Bytes of one element; of one block of 32 for `q8_0`. */
  readonly bytes: number;
  /** `opaque` bytes have no numbers in them; `q8_0` is an fp16 scale followed by 32 int8. */
  readonly kind: 'opaque' | 'integer' | 'float' | 'q8_0';
  /** Floats: bits below the exponent. */
  readonly mantissaBits: number;
  /** Floats: bits of the exponent; 0 for everything else, which makes one group of all elements. */
  readonly exponentBits: number;
}

export type ElementTypeName =
  | 'opaque'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'float16'
  | 'bfloat16'
  | 'float32'
  | 'float64'
  | 'float8e4m3'
  | 'float8e5m2'
  | 'q8_0';

/** Unsigned integers share the row of their width: differences are taken modulo 2^bits, so the sign does not matter. */
const ROWS: readonly (readonly [number, ElementTypeName, number, ElementType['kind'], number, number])[] = [
  [0, 'opaque', 1, 'opaque', 0, 0],
  [1, 'int8', 1, 'integer', 0, 0],
  [2, 'int16', 2, 'integer', 0, 0],
  [3, 'int32', 4, 'integer', 0, 0],
  [4, 'int64', 8, 'integer', 0, 0],
  [5, 'float16', 2, 'float', 10, 5],
  [6, 'bfloat16', 2, 'float', 7, 8],
  [7, 'float32', 4, 'float', 23, 8],
  [8, 'float64', 8, 'float', 52, 11],
  [9, 'float8e4m3', 1, 'float', 3, 4],
  [10, 'float8e5m2', 1, 'float', 2, 5],
  [11, 'q8_0', 34, 'q8_0', 0, 0],
];

export const elementTypes: readonly ElementType[] = ROWS.map(([code, name, bytes, kind, mantissaBits, exponentBits]) =>
  Object.freeze({ code, name, bytes, kind, mantissaBits, exponentBits }),
);

const byName = new Map(elementTypes.map((type) => [type.name, type]));

export function elementType(name: ElementTypeName): ElementType {
  return byName.get(name)!;
}
