// Files as the bytes that the codecs read and write, at known places and at the same time.

import { type FileHandle, open } from 'node:fs/promises';
import type { ByteSink, ByteSource } from '#modelsync';

export interface FileSource extends ByteSource {
  close(): Promise<void>;
}

/** @throws what `open` throws: ENOENT when it is not there */
export async function openFileSource(path: string): Promise<FileSource> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    return { size, read: (offset, length) => readAt(file, offset, length), close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Fewer bytes than asked for only where the file ends. */
async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let have = 0;
  while (have < length) {
    const { bytesRead } = await file.read(bytes, have, length - have, offset + have);
    if (bytesRead === 0) break;
    have += bytesRead;
  }
  return bytes.subarray(0, have);
}

/** More was written than there is room for. */
export class SinkFullError extends Error {
  override readonly name = 'SinkFullError';
}

/** A new file as a sink that takes fewer than `bytesMax` bytes. */
export class FileSink implements ByteSink {
  private constructor(
    private readonly file: FileHandle,
    private readonly bytesMax: number,
  ) {}

  static async create(path: string, bytesMax: number): Promise<FileSink> {
    return new FileSink(await open(path, 'wx', 0o640), bytesMax);
  }

  /** @throws SinkFullError at the bound */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    if (offset + bytes.length >= this.bytesMax)
      throw new SinkFullError(`no room at ${offset} for ${bytes.length} bytes`);
    for (let written = 0; written < bytes.length; ) {
      const { bytesWritten } = await this.file.write(bytes, written, bytes.length - written, offset + written);
      written += bytesWritten;
    }
  }

  /** What was written is on the disk then. */
  async sync(): Promise<void> {
    await this.file.sync();
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}
