/**
 * Where bytes come from and go to. Files, HTTP ranges and memory all fit; the library itself opens nothing.
 */
import { ShortReadError } from './errors.ts';

/** Bytes at known places. Reads may run at the same time and in any order. */
export interface ByteSource {
  readonly size: number;
  /** Exactly `length` bytes from `offset`, in a buffer that the caller may keep; fewer only when the source was cut. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Takes bytes at known places. Writes never overlap, may come in any order, and the bytes are the sink's from then on. */
export interface ByteSink {
  write(offset: number, bytes: Uint8Array): Promise<void>;
}

/** Reads, and throws {@link ShortReadError} unless every byte came. */
export async function readExactly(source: ByteSource, offset: number, length: number): Promise<Uint8Array> {
  if (length === 0) return new Uint8Array(0);
  if (offset + length > source.size) throw new ShortReadError(offset, length, source.size - offset);
  const bytes = await source.read(offset, length);
  if (bytes.length !== length) throw new ShortReadError(offset, length, bytes.length);
  return bytes;
}

/** A source over bytes in memory; reads are views of them. */
export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
}

/** A sink that grows in memory, for tests and small files. */
export class MemorySink implements ByteSink {
  private bytes = new Uint8Array(0);
  private length = 0;

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const end = offset + bytes.length;
    if (end > this.bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.bytes.length * 2));
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.bytes.set(bytes, offset);
    this.length = Math.max(this.length, end);
  }

  /** All bytes up to the end of the farthest write. */
  content(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

/** The ranges of at most `bytesMax` that cover `[offset, offset + length)`. */
export function* chunksOf(offset: number, length: number, bytesMax: number): Generator<readonly [number, number]> {
  for (let at = 0; at < length; at += bytesMax) yield [offset + at, Math.min(bytesMax, length - at)];
}
