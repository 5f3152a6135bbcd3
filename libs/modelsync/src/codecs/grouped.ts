/**
 * The *grouped* codec: differences between elements, brought together by the base's exponent.
 *
 * 1. Every word is mapped to an integer in the order of its value (for floats: negatives have all bits below the sign
 *    flipped), so that neighbours in value are neighbours in number; then next − base, modulo 2^bits, zig-zag.
 * 2. One unit in the last place is 2^(exponent − bias), so the base's exponent predicts how large a difference is. The
 *    differences are stably sorted by it; the decoder has the base and repeats the sort, so the order costs nothing.
 * 3. The sorted differences are split in byte planes; each run of exponents of at least 8,192 elements (its
 *    statistics pay for a table of their own) gives one strip a plane, lowest byte first (see planes.ts).
 *
 * Integers take the same way with a single group. Specified in docs/formats/diff-v1.md.
 */
import type { ElementType } from '../elements.ts';
import { CorruptDiffError } from '../errors.ts';
import { fromGroupedPlanes, type GroupedPlanes, groupedPlanes } from '../kernels/planes.ts';
import { fromGroupedPlanes64, groupedPlanes64 } from './grouped-64.ts';
import { StripReader, StripWriter } from './planes.ts';

/** Elements that a run of exponents must have for strips of its own. Part of the format. */
export const RUN_ELEMENTS_MIN = 8192;

export function encodeGrouped(type: ElementType, base: Uint8Array, next: Uint8Array, level: number): Uint8Array {
  const split = type.bytes === 8 ? groupedPlanes64 : groupedPlanes;
  const { counts, planes } = split(base, next, type);
  const strips = new StripWriter();
  for (const [start, end] of runsOf(counts)) {
    for (const plane of planes) strips.add(plane.subarray(start, end), level);
  }
  return strips.payload();
}

/** Fills `out`. Throws CorruptDiffError. */
export function decodeGrouped(type: ElementType, base: Uint8Array, payload: Uint8Array, out: Uint8Array): void {
  if (base.length !== out.length) throw new CorruptDiffError('a grouped block and its base differ in size');
  const strips = new StripReader(payload);
  const fill = ({ counts, planes }: GroupedPlanes) => {
    for (const [start, end] of runsOf(counts)) {
      for (const plane of planes) strips.fill(plane.subarray(start, end));
    }
    strips.end();
  };
  const join = type.bytes === 8 ? fromGroupedPlanes64 : fromGroupedPlanes;
  join(base, type, fill, out);
}

/** `[first, after last]` of each run of exponents, in sorted order; a short last run joins no other. */
function* runsOf(counts: Uint32Array): Generator<readonly [number, number]> {
  let start = 0;
  let end = 0;
  for (const count of counts) {
    end += count;
    if (end - start < RUN_ELEMENTS_MIN) continue;
    yield [start, end];
    start = end;
  }
  if (end > start) yield [start, end];
}
