/**
 * Joins neighbouring stretches, so that ten thousand small tensors do not cost ten thousand blocks: stretches that the
 * base has unchanged become one run of copies whatever their types, changed ones of one type share coder state. Only
 * neighbours in both files are joined, so the result still has one base range. A matrix whose update has a low-rank
 * model keeps to itself.
 */
import { type ByteSource, readExactly } from '../bytes.ts';
import { elementType } from '../elements.ts';
import type { Stretch } from './align.ts';

const FIRST_CHUNK_BYTES = 4096;
const CHUNK_BYTES_MAX = 1024 * 1024;
const NO_MODEL = new Uint8Array(0);

export interface JoinedStretch extends Omit<Stretch, 'columns'> {
  /** The base has these very bytes. */
  readonly isSame: boolean;
  /** The serialised low-rank model of the update; empty without. */
  readonly model: Uint8Array;
}

/** Yields as soon as a stretch is complete; holds one at a time. `modelOf` gives a changed stretch's model, or no bytes. */
export async function* joinStretches(
  stretches: readonly Stretch[],
  base: ByteSource | null,
  next: ByteSource,
  modelOf: (stretch: Stretch) => Promise<Uint8Array>,
): AsyncGenerator<JoinedStretch> {
  let last: JoinedStretch | null = null;
  for (const stretch of stretches) {
    const isSame = base !== null && (await isUnchanged(stretch, base, next));
    const own: JoinedStretch = isSame
      ? { ...stretch, type: elementType('opaque'), isSame, model: NO_MODEL }
      : { ...stretch, isSame, model: await modelOf(stretch) };
    if (last !== null && !canJoin(last, own)) yield last;
    last = last !== null && canJoin(last, own) ? join(last, own) : own;
  }
  if (last !== null) yield last;
}

function canJoin(left: JoinedStretch, right: JoinedStretch): boolean {
  if (left.isSame !== right.isSame || left.type !== right.type) return false;
  if (left.model.length > 0 || right.model.length > 0) return false;
  if (left.base === null || right.base === null) return left.base === right.base;
  if (left.base.offset + left.base.bytes !== right.base.offset) return false;
  // Opaque stretches align by place within their range: joined, every place after the first would shift.
  return left.isSame || left.type.kind !== 'opaque';
}

function join(left: JoinedStretch, right: JoinedStretch): JoinedStretch {
  const base = left.base === null ? null : { offset: left.base.offset, bytes: left.base.bytes + right.base!.bytes };
  return { ...left, bytes: left.bytes + right.bytes, base };
}

/** Stops at the first difference, and looks at little at first: changed tensors mostly differ early. */
async function isUnchanged(stretch: Stretch, base: ByteSource, next: ByteSource): Promise<boolean> {
  if (stretch.base === null || stretch.base.bytes !== stretch.bytes) return false;
  let chunkBytes = FIRST_CHUNK_BYTES;
  for (let at = 0; at < stretch.bytes; ) {
    const length = Math.min(chunkBytes, stretch.bytes - at);
    const was = await readExactly(base, stretch.base.offset + at, length);
    const is = await readExactly(next, stretch.offset + at, length);
    if (Buffer.compare(was, is) !== 0) return false;
    at += length;
    chunkBytes = Math.min(CHUNK_BYTES_MAX, 4 * chunkBytes);
  }
  return true;
}
