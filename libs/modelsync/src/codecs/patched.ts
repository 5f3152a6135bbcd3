/**
 * The *patched* codec, for bytes without known structure (headers, ONNX, tokenizers): one zstd frame with a stretch of
 * the base as its dictionary, so that what moved or stayed costs a reference.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { CorruptDiffError } from '../errors.ts';

/** 2^23: the block and what is before it in the dictionary, up to three blocks of 4 MiB, in one window. */
const WINDOW_LOG = 24;

export function encodePatched(base: Uint8Array, next: Uint8Array, level: number): Uint8Array {
  return zstdCompressSync(next, {
    dictionary: Buffer.from(base.buffer, base.byteOffset, base.length),
    chunkSize: next.length + 1024,
    pledgedSrcSize: next.length,
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_windowLog]: WINDOW_LOG },
  });
}

export function decodePatched(base: Uint8Array, payload: Uint8Array, out: Uint8Array): void {
  let bytes: Uint8Array;
  try {
    bytes = zstdDecompressSync(payload, {
      dictionary: Buffer.from(base.buffer, base.byteOffset, base.length),
      chunkSize: Math.max(64, out.length),
      maxOutputLength: Math.max(1, out.length),
      params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG },
    });
  } catch (cause) {
    throw new CorruptDiffError('a patched block does not decode', { cause });
  }
  if (bytes.length !== out.length) throw new CorruptDiffError('a patched block has the wrong length');
  out.set(bytes);
}
