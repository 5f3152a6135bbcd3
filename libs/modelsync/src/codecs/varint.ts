import { CorruptDiffError } from '../errors.ts';

/** Writes a whole number below 2^53 as LEB128 (seven bits a byte, lowest first). Returns the place after it. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  let place = at;
  while (rest >= 128) {
    bytes[place++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  bytes[place++] = rest;
  return place;
}

/** `[value, place after it]`; throws CorruptDiffError at the end of the bytes, and for 2^53 and above. */
export function readVarint(bytes: Uint8Array, at: number): readonly [number, number] {
  let value = 0;
  let scale = 1;
  for (let place = at; place < bytes.length && place < at + 8; place++) {
    const byte = bytes[place]!;
    value += (byte & 127) * scale;
    if (byte < 128) {
      if (value > Number.MAX_SAFE_INTEGER) break;
      return [value, place + 1];
    }
    scale *= 128;
  }
  throw new CorruptDiffError('a length is cut or too large');
}
