/**
 * The *snapshot* codec: no base. Words are rotated left by one bit, which brings a float's exponent together in the top
 * byte and leaves sign and mantissa, mostly noise, below; then one strip a byte plane, lowest byte first (planes.ts).
 * Integers and opaque bytes are not rotated.
 */
import type { ElementType } from '../elements.ts';
import { StripReader, StripWriter } from './planes.ts';

export function encodeSnapshotBlock(type: ElementType, next: Uint8Array, level: number): Uint8Array {
  const width = type.bytes;
  const elements = next.length / width;
  const strips = new StripWriter();
  const plane = new Uint8Array(elements);
  for (let byte = 0; byte < width; byte++) {
    splitPlane(next, width, byte, type.kind === 'float', plane);
    strips.add(width === 1 ? plane : plane.slice(), level);
  }
  return strips.payload();
}

export function decodeSnapshotBlock(type: ElementType, payload: Uint8Array, out: Uint8Array): void {
  const width = type.bytes;
  const elements = out.length / width;
  const strips = new StripReader(payload);
  const planes = Array.from({ length: width }, () => {
    const plane = new Uint8Array(elements);
    strips.fill(plane);
    return plane;
  });
  strips.end();
  for (let byte = 0; byte < width; byte++) joinPlane(planes, byte, type.kind === 'float', out);
}

/** Byte `byte` of each rotated word: its own upper seven bits' worth, and the top bit of the byte below (cyclic). */
function splitPlane(words: Uint8Array, width: number, byte: number, isRotated: boolean, plane: Uint8Array): void {
  if (!isRotated) {
    for (let index = 0, at = byte; index < plane.length; index++, at += width) plane[index] = words[at]!;
    return;
  }
  const below = byte === 0 ? width - 1 : -1;
  for (let index = 0, at = byte; index < plane.length; index++, at += width) {
    plane[index] = (words[at]! << 1) | (words[at + below]! >>> 7);
  }
}

function joinPlane(planes: readonly Uint8Array[], byte: number, isRotated: boolean, out: Uint8Array): void {
  const width = planes.length;
  const own = planes[byte]!;
  if (!isRotated) {
    for (let index = 0, at = byte; index < own.length; index++, at += width) out[at] = own[index]!;
    return;
  }
  const above = planes[(byte + 1) % width]!;
  for (let index = 0, at = byte; index < own.length; index++, at += width) {
    out[at] = (own[index]! >>> 1) | (above[index]! << 7);
  }
}
