/**
 * Blocks of plain elements, coded against base elements of the same places: the body of *coded*, also used for the
 * scales of quantised blocks. The context of an element is its base's exponent, or bit length.
 */
import type { ElementType } from '../elements.ts';
import { BlockDecoder, STRIP_ELEMENTS } from './decoder.ts';
import { encodeBlock } from './encoder.ts';
import { Arena, bytesAt, kernels, type Shape } from './instance.ts';

/** Contexts of one element: exponents of 8 bits, or bit lengths. */
const CONTEXTS = 256;

/** Shift and mask of the exponent; mask 0 for integers. */
export function shapeOf({ bytes, kind, mantissaBits, exponentBits }: ElementType): Shape {
  return kind === 'float' ? [bytes, mantissaBits, 2 ** exponentBits - 1] : [bytes, 0, 0];
}

/** `base` and `next`: whole elements, at least one. */
export function encodeElements(base: Uint8Array, next: Uint8Array, shape: Shape): Uint8Array {
  const arena = new Arena();
  const count = next.length / shape[0];
  const bases = arena.takeCopy(base);
  const nexts = arena.takeCopy(next);
  const contexts = arena.take(count * 2);
  const differences = arena.take(count * 4);
  kernels.prepare(bases, nexts, contexts, differences, count, ...shape);
  return encodeBlock(arena, { count, stride: CONTEXTS, width: shape[0], contexts, differences });
}

/** Fills `out` from what `encodeElements` returned. Throws CorruptDiffError. */
export function decodeElements(base: Uint8Array, body: Uint8Array, shape: Shape, out: Uint8Array): void {
  const [width, , mask] = shape;
  const arena = new Arena();
  const bases = arena.takeCopy(base);
  const strip = arena.take(STRIP_ELEMENTS * width);
  const count = out.length / width;
  const decoder = new BlockDecoder(arena, body, count, CONTEXTS);
  const { clusters, classes, maps, differences } = decoder;
  for (let first = 0; first < count; first += STRIP_ELEMENTS) {
    const elements = Math.min(STRIP_ELEMENTS, count - first);
    const from = bases + first * width;
    kernels.lookUpChunks(from, maps, CONTEXTS, classes, first, clusters, elements, ...shape);
    const changed = decoder.strip(elements);
    if (changed > 0) kernels.apply(from, differences, strip, elements, width, mask);
    out.set(bytesAt(changed > 0 ? strip : from, elements * width), first * width);
  }
  decoder.end();
}
