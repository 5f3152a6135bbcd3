/**
 * The loops of *grouped* in the module: same planes as codecs/grouped-kernels.ts, for elements of 1, 2 and 4 bytes.
 */
import type { ElementType } from '../elements.ts';
import { CorruptDiffError, InvalidOptionError } from '../errors.ts';
import { shapeOf } from './element-blocks.ts';
import { Arena, bytesAt, checkBlockBytes, kernels, type Shape, wordsAt } from './instance.ts';

const GROUPS = 256;

export interface GroupedPlanes {
  /** Elements of each base exponent, in the planes' order; integers have one group. */
  readonly counts: Uint32Array;
  /** As many planes as an element has bytes, lowest first, one after the other in one buffer. */
  readonly planes: readonly Uint8Array[];
}

export const supportsPlanes = ({ kind, bytes }: ElementType): boolean =>
  (kind === 'float' || kind === 'integer') && bytes <= 4;

/** Zig-zag differences sorted by the base's exponent, in byte planes. Throws InvalidOptionError. */
export function groupedPlanes(base: Uint8Array, next: Uint8Array, type: ElementType): GroupedPlanes {
  checkBlockBytes(next.length);
  if (!supportsPlanes(type) || base.length !== next.length || next.length % type.bytes !== 0)
    throw new InvalidOptionError(
      'type',
      `${next.length} bytes of ${type.name} against ${base.length} cannot be grouped`,
    );
  const arena = new Arena();
  const { count, shape, bases, places, counts } = groupsOf(arena, base, type);
  const nexts = arena.takeCopy(next);
  const planes = arena.take(next.length);
  kernels.groupScatter(bases, nexts, places, planes, count, ...shape);
  return { counts, planes: split(bytesAt(planes, next.length).slice(), type.bytes) };
}

/**
 * Fills `out` from `base` and planes. `fill` gets the counts and the empty planes and must write every byte of them; they
 * are views of the module's memory, so it must not call into this folder. Throws CorruptDiffError.
 */
export function fromGroupedPlanes(
  base: Uint8Array,
  type: ElementType,
  fill: (grouped: GroupedPlanes) => void,
  out: Uint8Array,
): void {
  checkBlockBytes(out.length);
  if (!supportsPlanes(type) || base.length !== out.length || out.length % type.bytes !== 0)
    throw new CorruptDiffError('a grouped block and its base differ in size');
  const arena = new Arena();
  const { count, shape, bases, places, counts } = groupsOf(arena, base, type);
  const planes = arena.take(out.length);
  const output = arena.take(out.length);
  fill({ counts, planes: split(bytesAt(planes, out.length), type.bytes) });
  kernels.groupGather(bases, output, places, planes, count, ...shape);
  out.set(bytesAt(output, out.length));
}

function groupsOf(arena: Arena, base: Uint8Array, type: ElementType) {
  const shape: Shape = shapeOf(type);
  const count = base.length / type.bytes;
  const bases = arena.takeCopy(base);
  const places = arena.takeZeroed(2 * GROUPS * 4);
  kernels.groupCounts(bases, places, count, ...shape);
  const halves = wordsAt(places, 2 * GROUPS);
  const counts = new Uint32Array(shape[2] + 1);
  let start = 0;
  for (let group = 0; group < counts.length; group++) {
    const [first, second] = [halves[group]!, halves[GROUPS + group]!];
    counts[group] = first + second;
    halves[group] = start;
    halves[GROUPS + group] = start + first;
    start += first + second;
  }
  return { count, shape, bases, places, counts };
}

function split(bytes: Uint8Array, planes: number): Uint8Array[] {
  const length = bytes.length / planes;
  return Array.from({ length: planes }, (_, plane) => bytes.subarray(plane * length, (plane + 1) * length));
}
