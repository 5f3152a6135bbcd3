/**
 * Low-rank models of updates, one for each matrix. Fitting needs the whole matrix at hand, so a large one is first cut
 * into slabs of rows, each with a model of its own: memory stays bounded, and the column factors that every slab repeats
 * are a small share of it.
 */
import { type ByteSource, readExactly } from '../bytes.ts';
import { supportsPredicted } from '../kernels/predicted.ts';
import type { BlockRunner } from '../workers/runner.ts';
import type { Stretch } from './align.ts';

/** Most bytes of a matrix that are fitted at once. */
export const SLAB_BYTES_MAX = 32 * 1024 * 1024;
const SIDE_MIN = 16;

/** Matrices that are larger than a slab, cut into slabs of whole rows of about the same size. */
export function cutSlabs(stretches: readonly Stretch[]): Stretch[] {
  return stretches.flatMap((stretch) => {
    if (!canFit(stretch) || stretch.bytes <= SLAB_BYTES_MAX) return [stretch];
    const rowBytes = stretch.columns * stretch.type.bytes;
    const rows = stretch.bytes / rowBytes;
    const slabs = Math.ceil(stretch.bytes / SLAB_BYTES_MAX);
    const slabBytes = Math.ceil(rows / slabs) * rowBytes;
    return Array.from({ length: Math.ceil(stretch.bytes / slabBytes) }, (_, index) => {
      const start = index * slabBytes;
      const bytes = Math.min(slabBytes, stretch.bytes - start);
      return {
        ...stretch,
        offset: stretch.offset + start,
        bytes,
        base: { offset: stretch.base!.offset + start, bytes },
      };
    });
  });
}

/** The stretch's serialised model; empty where it cannot have one, or where none pays. */
export async function fitStretch(
  stretch: Stretch,
  base: ByteSource | null,
  next: ByteSource,
  runner: BlockRunner,
): Promise<Uint8Array> {
  if (base === null || !canFit(stretch) || stretch.bytes > SLAB_BYTES_MAX) return new Uint8Array(0);
  const { type, bytes, columns } = stretch;
  return runner.fit({
    typeCode: type.code,
    base: await readExactly(base, stretch.base!.offset, bytes),
    next: await readExactly(next, stretch.offset, bytes),
    rows: bytes / (columns * type.bytes),
    columns,
  });
}

function canFit({ type, base, columns, bytes }: Stretch): boolean {
  return base !== null && supportsPredicted(type) && columns >= SIDE_MIN && bytes >= SIDE_MIN * columns * type.bytes;
}
