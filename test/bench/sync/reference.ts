/**
 * The published state of the art, as a yardstick: tensors aligned by name, XOR with the base, words rotated by one bit
 * so that exponent and sign-and-mantissa fields lie in bytes of their own, one zstd −19 frame a byte plane.
 */
import { constants, zstdCompressSync } from 'node:zlib';
import { type ByteSource, type Piece, readLayout } from '#modelsync';

const LEVEL = 19;

/** Bytes that it sends. */
export async function xorByFieldsBytes(base: ByteSource, next: ByteSource): Promise<number> {
  const [baseLayout, nextLayout] = [await readLayout(base), await readLayout(next)];
  const known = new Map(baseLayout.pieces.map((piece) => [`${piece.kind} ${piece.name}`, piece]));
  let total = 0;
  for (const piece of nextLayout.pieces) {
    const against = known.get(`${piece.kind} ${piece.name}`);
    const bytes = await next.read(piece.offset, piece.bytes);
    const was = against === undefined ? new Uint8Array(0) : await base.read(against.offset, against.bytes);
    total += piece.kind === 'tensor' ? tensorBytes(piece, was, bytes) : frameBytes(bytes, was);
  }
  return total;
}

function tensorBytes({ type }: Piece, was: Uint8Array, bytes: Uint8Array): number {
  const shared = Math.min(was.length, bytes.length);
  if (shared === bytes.length && Buffer.compare(was.subarray(0, shared), bytes) === 0) return 1;
  const width = type.kind === 'q8_0' ? 34 : type.bytes;
  const mixed = bytes.map((byte, at) => (at < shared ? byte ^ was[at]! : byte));
  const parts = [mixed.subarray(0, shared), mixed.subarray(shared)].filter((part) => part.length > 0);
  return 1 + parts.reduce((sum, part) => sum + (width === 34 ? quantisedBytes(part) : planesBytes(part, width)), 0);
}

function planesBytes(words: Uint8Array, width: number): number {
  const count = words.length / width;
  let total = 0;
  for (let byte = 0; byte < width; byte++) {
    const below = byte === 0 ? width - 1 : byte - 1;
    const plane = Uint8Array.from({ length: count }, (_, index) =>
      width === 1 ? words[index]! : (words[index * width + byte]! << 1) | (words[index * width + below]! >>> 7),
    );
    total += frameBytes(plane);
  }
  return total;
}

/** Q8_0: scales and quants apart. */
function quantisedBytes(blocks: Uint8Array): number {
  const count = blocks.length / 34;
  const scales = new Uint8Array(count * 2);
  const quants = new Uint8Array(count * 32);
  for (let block = 0; block < count; block++) {
    scales.set(blocks.subarray(block * 34, block * 34 + 2), block * 2);
    quants.set(blocks.subarray(block * 34 + 2, block * 34 + 34), block * 32);
  }
  return planesBytes(scales, 2) + frameBytes(quants);
}

function frameBytes(bytes: Uint8Array, dictionary?: Uint8Array): number {
  const options = { params: { [constants.ZSTD_c_compressionLevel]: LEVEL } };
  const frame =
    dictionary === undefined || dictionary.length === 0
      ? zstdCompressSync(bytes, options)
      : zstdCompressSync(bytes, { ...options, dictionary: Buffer.from(dictionary) });
  return 4 + Math.min(bytes.length, frame.length);
}
