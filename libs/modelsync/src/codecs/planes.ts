/**
 * Byte planes as zstd frames. A plane (every element's lowest byte, say) goes out as one *strip*: a header varint
 * `bytes × 4 + mode`, then `bytes` bytes. The modes: 0 all zeros (no bytes), 1 as it is, 2 one zstd frame.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { CorruptDiffError } from '../errors.ts';
import { readVarint, writeVarint } from './varint.ts';

const ZEROS = 0;
const PLAIN = 1;
const ZSTD = 2;
const VARINT_BYTES_MAX = 8;
/** Room for zstd's own frame and block headers, so that even incompressible bytes come out as one chunk. */
const FRAME_BYTES_EXTRA = 1024;

/**
 * zstd −1 for planes of weights, in which there is nothing to find but short chance matches that cost more than the
 * literals they replace: a tiny hash table and long matches only. 1.5 % smaller than −1 as it is, and faster.
 */
const PLANE_PARAMS = {
  [constants.ZSTD_c_compressionLevel]: 1,
  [constants.ZSTD_c_hashLog]: 7,
  [constants.ZSTD_c_minMatch]: 7,
};

/** One frame; level 1 is tuned for planes of weights. */
export function zstd(bytes: Uint8Array, level: number): Uint8Array {
  return zstdCompressSync(bytes, {
    chunkSize: bytes.length + FRAME_BYTES_EXTRA,
    pledgedSrcSize: bytes.length,
    params: level === 1 ? PLANE_PARAMS : { [constants.ZSTD_c_compressionLevel]: level },
  });
}

/** Exactly `length` bytes out of one zstd frame; throws CorruptDiffError for anything else. */
export function unzstd(frame: Uint8Array, length: number): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = zstdDecompressSync(frame, { chunkSize: Math.max(64, length), maxOutputLength: Math.max(1, length) });
  } catch (cause) {
    throw new CorruptDiffError('a zstd frame does not decode', { cause });
  }
  if (bytes.length !== length) throw new CorruptDiffError(`a zstd frame holds ${bytes.length} bytes, not ${length}`);
  return bytes;
}

/** Collects strips into one payload. */
export class StripWriter {
  private readonly parts: Uint8Array[] = [];
  private length = 0;

  /** Appends `plane`, compressed where that pays. */
  add(plane: Uint8Array, level: number): void {
    const frame = isZero(plane) ? null : zstd(plane, level);
    if (frame === null) this.push(ZEROS, new Uint8Array(0));
    else if (frame.length < plane.length) this.push(ZSTD, frame);
    else this.push(PLAIN, plane);
  }

  private push(mode: number, bytes: Uint8Array): void {
    const header = new Uint8Array(VARINT_BYTES_MAX);
    const headerBytes = writeVarint(header, 0, bytes.length * 4 + mode);
    this.parts.push(header.subarray(0, headerBytes), bytes);
    this.length += headerBytes + bytes.length;
  }

  payload(): Uint8Array {
    const payload = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts) {
      payload.set(part, at);
      at += part.length;
    }
    return payload;
  }
}

/** Reads strips in the order in which they were written; lengths are the caller's knowledge. */
export class StripReader {
  private at = 0;
  private readonly payload: Uint8Array;

  constructor(payload: Uint8Array) {
    this.payload = payload;
  }

  /** Fills `plane` with the next strip. */
  fill(plane: Uint8Array): void {
    const [header, start] = readVarint(this.payload, this.at);
    const mode = header % 4;
    const length = Math.floor(header / 4);
    if (length > this.payload.length - start) throw new CorruptDiffError('a strip ends beyond its block');
    const stored = this.payload.subarray(start, start + length);
    this.at = start + length;
    if (mode === ZSTD) plane.set(unzstd(stored, plane.length));
    else if (mode === PLAIN && length === plane.length) plane.set(stored);
    else if (mode === ZEROS && length === 0) plane.fill(0);
    else throw new CorruptDiffError(`a strip has mode ${mode} and ${length} bytes where ${plane.length} belong`);
  }

  /** Throws unless every byte of the payload was read. */
  end(): void {
    if (this.at !== this.payload.length) throw new CorruptDiffError('a block has bytes left over');
  }
}

function isZero(plane: Uint8Array): boolean {
  if (plane.length > 0 && plane[0] !== 0) return false;
  for (let index = 1; index < plane.length; index++) if (plane[index] !== 0) return false;
  return true;
}
