/**
 * The inner loops of *grouped* for words of 64 bits, as two halves: JavaScript's own 64-bit integers are far slower.
 * (Narrower words have WebAssembly loops, kernels/planes.ts; weights of 64 bits are rare.)
 */
import type { ElementType } from '../elements.ts';
import type { GroupedPlanes } from '../kernels/planes.ts';
import { view32 } from './views.ts';

const PLANES = 8;

/** Zig-zag differences sorted by the base's exponent, in byte planes. */
export function groupedPlanes64(base: Uint8Array, next: Uint8Array, type: ElementType): GroupedPlanes {
  const bases = view32(base);
  const nexts = view32(next);
  const counts = countGroups(bases, type);
  const grouped = { counts, planes: emptyPlanes(next.length) };
  const flip = type.kind === 'float' ? -1 : 0;
  forEachPlace(bases, counts, type, (index, place) => {
    const wasFlip = ((bases[index + 1]! | 0) >> 31) & flip;
    const isFlip = ((nexts[index + 1]! | 0) >> 31) & flip;
    const wasLow = (bases[index]! ^ wasFlip) >>> 0;
    const isLow = (nexts[index]! ^ isFlip) >>> 0;
    const wasHigh = bases[index + 1]! ^ (wasFlip & 0x7fffffff);
    const isHigh = nexts[index + 1]! ^ (isFlip & 0x7fffffff);
    const low = (isLow - wasLow) | 0;
    const high = (isHigh - wasHigh - (isLow < wasLow ? 1 : 0)) | 0;
    const sign = high >> 31;
    splitWord((low << 1) ^ sign, place, grouped.planes, 0);
    splitWord(((high << 1) | (low >>> 31)) ^ sign, place, grouped.planes, 4);
  });
  return grouped;
}

/** The way back: `fill` writes the planes, then `out` is made of them. */
export function fromGroupedPlanes64(
  base: Uint8Array,
  type: ElementType,
  fill: (grouped: GroupedPlanes) => void,
  out: Uint8Array,
): void {
  const bases = view32(base);
  const words = new Uint32Array(bases.length);
  const counts = countGroups(bases, type);
  const planes = emptyPlanes(out.length);
  fill({ counts, planes });
  const flip = type.kind === 'float' ? -1 : 0;
  forEachPlace(bases, counts, type, (index, place) => {
    const zigzagLow = joinWord(place, planes, 0);
    const zigzagHigh = joinWord(place, planes, 4);
    const sign = -(zigzagLow & 1);
    const stepLow = ((zigzagLow >>> 1) | (zigzagHigh << 31)) ^ sign;
    const stepHigh = (zigzagHigh >>> 1) ^ sign;
    const wasFlip = ((bases[index + 1]! | 0) >> 31) & flip;
    const wasLow = (bases[index]! ^ wasFlip) >>> 0;
    const isLow = (wasLow + stepLow) >>> 0;
    const isHigh = ((bases[index + 1]! ^ (wasFlip & 0x7fffffff)) + stepHigh + (isLow < wasLow ? 1 : 0)) | 0;
    const isFlip = (isHigh >> 31) & flip;
    words[index] = isLow ^ isFlip;
    words[index + 1] = isHigh ^ (isFlip & 0x7fffffff);
  });
  out.set(new Uint8Array(words.buffer));
}

/** The exponent is in the upper half; the shift is from there. */
const shiftOf = ({ mantissaBits }: ElementType) => Math.max(0, mantissaBits - 32);

function countGroups(bases: Uint32Array, type: ElementType): Uint32Array {
  const counts = new Uint32Array(2 ** type.exponentBits);
  const shift = shiftOf(type);
  for (let index = 1; index < bases.length; index += 2) counts[(bases[index]! >>> shift) & (counts.length - 1)]!++;
  return counts;
}

/** Calls back with each word's index (of its lower half) and its place in the sorted order. */
function forEachPlace(
  bases: Uint32Array,
  counts: Uint32Array,
  type: ElementType,
  use: (index: number, place: number) => void,
): void {
  const places = new Uint32Array(counts.length);
  for (let group = 1; group < counts.length; group++) places[group] = places[group - 1]! + counts[group - 1]!;
  const shift = shiftOf(type);
  for (let index = 0; index < bases.length; index += 2) {
    use(index, places[(bases[index + 1]! >>> shift) & (counts.length - 1)]!++);
  }
}

function emptyPlanes(bytes: number): Uint8Array[] {
  const elements = bytes / PLANES;
  return Array.from({ length: PLANES }, () => new Uint8Array(elements));
}

function splitWord(word: number, place: number, planes: readonly Uint8Array[], from: number): void {
  for (let plane = 0; plane < 4; plane++) planes[from + plane]![place] = word >>> (8 * plane);
}

function joinWord(place: number, planes: readonly Uint8Array[], from: number): number {
  let word = 0;
  for (let plane = 0; plane < 4; plane++) word |= planes[from + plane]![place]! << (8 * plane);
  return word;
}
