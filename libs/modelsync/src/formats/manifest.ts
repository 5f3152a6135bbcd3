import { createHash } from 'node:crypto';
import { type ByteSource, chunksOf, readExactly } from '../bytes.ts';
import type { FormatName, Layout, Piece } from './layout.ts';
import { readLayout } from './recognise.ts';

const CHUNK_BYTES = 2 * 1024 * 1024;
/** Files without tensors are listed in pieces of this size. */
export const OPAQUE_PIECE_BYTES = 4 * 1024 * 1024;

export interface ManifestPiece {
  readonly kind: Piece['kind'];
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
  /** SHA-256, lower-case hex. */
  readonly digest: string;
}

/** What a file is made of. Its pieces in order are the file, byte by byte. */
export interface FileManifest {
  readonly format: FormatName;
  readonly size: number;
  /** SHA-256 of the whole file, lower-case hex. */
  readonly digest: string;
  readonly pieces: readonly ManifestPiece[];
}

/** Reads the file once. Throws what {@link readLayout} throws. */
export async function buildManifest(source: ByteSource): Promise<FileManifest> {
  const layout = await readLayout(source);
  const whole = createHash('sha256');
  const pieces: ManifestPiece[] = [];
  for (const piece of listed(layout)) {
    const { kind, name, dtype, shape, offset, bytes } = piece;
    const own = createHash('sha256');
    for (const [start, length] of chunksOf(offset, bytes, CHUNK_BYTES)) {
      const chunk = await readExactly(source, start, length);
      own.update(chunk);
      whole.update(chunk);
    }
    pieces.push({ kind, name, dtype, shape, offset, bytes, digest: own.digest('hex') });
  }
  return { format: layout.format, size: layout.size, digest: whole.digest('hex'), pieces };
}

function listed({ pieces }: Layout): Piece[] {
  return pieces.flatMap((piece) =>
    piece.kind === 'body'
      ? [...chunksOf(piece.offset, piece.bytes, OPAQUE_PIECE_BYTES)].map(([offset, bytes]) => ({
          ...piece,
          offset,
          bytes,
        }))
      : [piece],
  );
}
