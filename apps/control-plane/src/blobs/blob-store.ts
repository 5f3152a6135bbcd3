// Content-addressed blobs on disk: `sha256/ab/<digest>`, never changed once there. Only whole, verified files get here,
// by rename, so a reader sees a blob or nothing.

import { createReadStream, type ReadStream } from 'node:fs';
import { access, constants, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { StartError } from '../errors.ts';

export class BlobStore {
  private constructor(readonly directory: string) {}

  /** @throws StartError when the folder cannot be made or written */
  static async open(directory: string): Promise<BlobStore> {
    const root = resolve(directory);
    try {
      await mkdir(join(root, 'sha256'), { recursive: true, mode: 0o750 });
      await access(root, constants.W_OK);
    } catch (cause) {
      throw new StartError(`blobs.directory ${root} cannot be written; check its owner and mode.`, { cause });
    }
    return new BlobStore(root);
  }

  /** Bytes of the blob, or null when it is not here. `digest` is 64 lower-case hex digits; the caller has checked. */
  async sizeBytes(digest: string): Promise<number | null> {
    const found = await stat(this.#pathOf(digest)).catch(() => null);
    return found?.isFile() ? found.size : null;
  }

  /** @param range first and last byte, both inclusive; the caller has checked that they are inside */
  read(digest: string, range?: { first: number; last: number }): ReadStream {
    const options = range === undefined ? {} : { start: range.first, end: range.last };
    return createReadStream(this.#pathOf(digest), { ...options, highWaterMark: 262_144 });
  }

  /** Moves a staged, synced, verified file to its place. Repeating it, also after a crash half-way, is harmless. */
  async adopt(stagedPath: string, digest: string): Promise<void> {
    const target = this.#pathOf(digest);
    if ((await this.sizeBytes(digest)) !== null) {
      await rm(stagedPath, { force: true });
      return;
    }
    await mkdir(dirname(target), { recursive: true, mode: 0o750 });
    await rename(stagedPath, target);
    await syncDirectory(dirname(target));
  }

  #pathOf(digest: string): string {
    return join(this.directory, 'sha256', digest.slice(0, 2), digest);
  }
}

/** A rename survives a power cut only once its folder is synced. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
