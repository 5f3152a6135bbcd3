// Numbers that look drawn and are the same each time, from a text.
import { createHash } from 'node:crypto';

/** In [0, 1), evenly. */
export function unitOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32;
}

/** mulberry32 (Tommy Ettinger, public domain): an endless stream of numbers in [0, 1). */
export function streamOf(text: string): () => number {
  let state = Math.floor(unitOf(text) * 2 ** 32);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
