/**
 * A model file as an ordered list of pieces that cover it byte by byte: header, tensors, and the gaps between them.
 * Formats are told apart by their first bytes, never by the file's name.
 */
import type { ByteSource } from '../bytes.ts';
import { type ElementType, elementType } from '../elements.ts';
import { MalformedModelError } from '../errors.ts';

export type FormatName = 'safetensors' | 'gguf' | 'pickle' | 'opaque';

export interface Piece {
  /** `body`: the whole of a file without known structure. */
  readonly kind: 'header' | 'tensor' | 'gap' | 'body';
  /** The tensor's name; for a gap, the name of the tensor before it; otherwise empty. */
  readonly name: string;
  readonly type: ElementType;
  /** The format's own word for the element type, e.g. `BF16`, `Q4_K`; empty for anything but tensors. */
  readonly dtype: string;
  /** Slowest dimension first; empty for a scalar and for anything but tensors. */
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

export interface Layout {
  readonly format: Exclude<FormatName, 'pickle'>;
  readonly size: number;
  /** In the order of the file, without holes or overlaps. */
  readonly pieces: readonly Piece[];
}

/** Most bytes of a header that are read; a model of 10,000 tensors has about 1.5 MB, a large vocabulary 10 MB. */
export const HEADER_BYTES_MAX = 64 * 1024 * 1024;
/** Longest name of a tensor, in characters. */
export const NAME_LENGTH_MAX = 1024;
/** Most dimensions of a tensor. */
export const DIMENSIONS_MAX = 16;

/** A file of no known structure: one piece. */
export function opaqueLayout(source: ByteSource): Layout {
  const body = { ...between('body', '', 0, source.size) };
  return { format: 'opaque', size: source.size, pieces: source.size === 0 ? [] : [body] };
}

/**
 * Adds the header and the gaps to tensors in any order.
 * Throws MalformedModelError where a tensor overlaps another or lies outside `[dataOffset, size)`.
 */
export function coverFile(
  format: 'safetensors' | 'gguf',
  size: number,
  dataOffset: number,
  tensors: readonly Piece[],
): Layout {
  const pieces: Piece[] = [between('header', '', 0, dataOffset)];
  const sorted = [...tensors].sort((left, right) => left.offset - right.offset || left.bytes - right.bytes);
  let at = dataOffset;
  let before = '';
  for (const tensor of sorted) {
    const name = JSON.stringify(tensor.name);
    if (tensor.offset < at) throw new MalformedModelError(format, `tensor ${name} overlaps what lies before it`);
    if (tensor.offset + tensor.bytes > size)
      throw new MalformedModelError(format, `tensor ${name} ends beyond the file`);
    if (tensor.offset > at) pieces.push(between('gap', before, at, tensor.offset - at));
    pieces.push(tensor);
    at = tensor.offset + tensor.bytes;
    before = tensor.name;
  }
  if (at < size) pieces.push(between('gap', before, at, size - at));
  return { format, size, pieces };
}

function between(kind: Piece['kind'], name: string, offset: number, bytes: number): Piece {
  return { kind, name, type: elementType('opaque'), dtype: '', shape: [], offset, bytes };
}

/** Elements in a shape; null where a dimension is no whole number or the product leaves 2^53. */
export function elementsIn(shape: readonly number[]): number | null {
  let elements = 1;
  for (const dimension of shape) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) return null;
    elements *= dimension;
  }
  return Number.isSafeInteger(elements) ? elements : null;
}
