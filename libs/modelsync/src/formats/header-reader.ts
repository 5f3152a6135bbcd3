import { type ByteSource, readExactly } from '../bytes.ts';
import { MalformedModelError } from '../errors.ts';

const WINDOW_BYTES = 256 * 1024;

/** Reads a binary header front to back through a small window; refuses to leave the file or to pass `bytesMax`. */
export class HeaderReader {
  /** The place of the next byte. */
  at = 0;
  private window: Uint8Array = new Uint8Array(0);
  private windowStart = 0;
  private readonly source: ByteSource;
  private readonly format: string;
  private readonly bytesMax: number;

  constructor(source: ByteSource, format: string, bytesMax: number) {
    this.source = source;
    this.format = format;
    this.bytesMax = Math.min(bytesMax, source.size);
  }

  async skip(length: number): Promise<void> {
    if (!Number.isSafeInteger(this.at + length) || this.at + length > this.bytesMax)
      throw new MalformedModelError(this.format, `its header ends beyond the file, or beyond ${this.bytesMax} bytes`);
    this.at += length;
  }

  async uint32(): Promise<number> {
    const bytes = await this.take(4);
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  }

  async uint64(): Promise<number> {
    const bytes = await this.take(8);
    const value = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new MalformedModelError(this.format, `${value} is no possible size or place`);
    return Number(value);
  }

  /** A 64-bit count of things that take at least `bytesMin` each; refused where they cannot fit in what is left. */
  async count(bytesMin: number): Promise<number> {
    const count = await this.uint64();
    if (count * bytesMin > this.bytesMax - this.at)
      throw new MalformedModelError(this.format, `its header says ${count} items where they cannot fit`);
    return count;
  }

  /** A string of a 64-bit length and UTF-8. */
  async text(lengthMax: number): Promise<string> {
    const length = await this.count(1);
    if (length > lengthMax)
      throw new MalformedModelError(this.format, `a name has ${length} bytes; ${lengthMax} at most`);
    return new TextDecoder().decode(await this.take(length));
  }

  private async take(length: number): Promise<Uint8Array> {
    const start = this.at;
    await this.skip(length);
    const from = start - this.windowStart;
    if (from < 0 || from + length > this.window.length) {
      this.windowStart = start;
      this.window = await readExactly(
        this.source,
        start,
        Math.min(Math.max(length, WINDOW_BYTES), this.bytesMax - start),
      );
      return this.window.subarray(0, length);
    }
    return this.window.subarray(from, from + length);
  }
}
