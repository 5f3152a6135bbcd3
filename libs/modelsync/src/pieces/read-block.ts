import { type ByteSource, readExactly } from '../bytes.ts';
import type { ElementType } from '../elements.ts';
import { surroundingsOf } from './cut.ts';

interface Range {
  readonly offset: number;
  readonly bytes: number;
}

interface BaseBytes {
  /** The base's bytes for exactly this block; empty where the base has none. */
  readonly base: Uint8Array;
  /** Opaque pieces: what lies around; empty otherwise. */
  readonly surroundings: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/** What the base has for the block at `start` of a piece; encoder and decoder read the same. Throws ShortReadError. */
export async function readBaseOf(
  source: ByteSource | null,
  type: ElementType,
  range: Range | null,
  start: number,
  length: number,
  wantsSurroundings: boolean,
): Promise<BaseBytes> {
  if (source === null || range === null) return { base: NOTHING, surroundings: NOTHING };
  const isWhole = start + length <= range.bytes;
  if (type.kind !== 'opaque' || !wantsSurroundings) {
    const base = isWhole ? await readExactly(source, range.offset + start, length) : NOTHING;
    return { base, surroundings: NOTHING };
  }
  const around = surroundingsOf(range, start, length);
  const surroundings = await readExactly(source, around.offset, around.bytes);
  const from = range.offset + start - around.offset;
  return { base: isWhole ? surroundings.subarray(from, from + length) : NOTHING, surroundings };
}
