import type { ElementType } from '../elements.ts';

/**
 * The lengths of a piece's blocks: as few as fit in `blockBytes`, all of them equal but for the last, each a whole number
 * of elements. Part of the format: the reader cuts the same way.
 */
export function blockLength(type: ElementType, bytes: number, blockBytes: number): number {
  if (bytes === 0) return 0;
  const elements = bytes / type.bytes;
  const elementsMax = Math.floor(blockBytes / type.bytes);
  const blocks = Math.ceil(elements / elementsMax);
  return Math.ceil(elements / blocks) * type.bytes;
}

/** The stretch of an opaque piece's base that a block may refer to: its own place, and a block to either side. */
export function surroundingsOf(
  base: { readonly offset: number; readonly bytes: number },
  start: number,
  length: number,
): { readonly offset: number; readonly bytes: number } {
  const from = Math.min(base.bytes, Math.max(0, start - length));
  const to = Math.min(base.bytes, start + 2 * length);
  return { offset: base.offset + from, bytes: to - from };
}
