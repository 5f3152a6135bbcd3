// Files that grow by parts and are hashed on the way. What uploads of versions and of jobs' blobs share.
//
// Invariants: one writer a file in this process; what a cut connection left is kept and counted; no byte beyond the
// declared size stays. A prefix that this process did not see is hashed again from disk.

import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { RequestError } from '../errors.ts';

export interface Part {
  readonly offset: number;
  /** Of the whole file. */
  readonly sizeBytes: number;
  readonly source: AsyncIterable<Buffer>;
  /** What is thrown when more comes than the declared size. */
  readonly tooLarge: () => Error;
  /** Looks at the first chunk of the file, and throws when nobody wants the rest. */
  readonly judgeFirst?: (chunk: Buffer) => Promise<void>;
}

const HASHES_MAX = 256;

export class HashedAppends {
  readonly #writing = new Set<string>();
  /** File → hash of its first `bytes` bytes, for the next part of the same upload. */
  readonly #hashes = new Map<string, { readonly bytes: number; readonly hash: Hash }>();

  /** Runs `work` as the file's one writer. @throws what `busy` gives while another one is at it */
  async alone<Result>(path: string, busy: () => Error, work: () => Promise<Result>): Promise<Result> {
    if (this.#writing.has(path)) throw busy();
    this.#writing.add(path);
    try {
      return await work();
    } finally {
      this.#writing.delete(path);
    }
  }

  /**
   * Appends at `offset`, which is the file's length; the bytes are synced then. @returns how long the file is now, and
   * the SHA-256 of all of it once it is whole
   */
  async write(path: string, part: Part): Promise<{ bytes: number; digest: string | null }> {
    const hash = await this.#hashUpTo(path, part.offset);
    const file = await open(path, part.offset === 0 ? 'w' : 'r+', 0o640);
    let bytes = part.offset;
    try {
      for await (const chunk of part.source) {
        if (bytes + chunk.length > part.sizeBytes) {
          await file.truncate(part.offset);
          throw part.tooLarge();
        }
        if (bytes === 0) await part.judgeFirst?.(chunk);
        await writeWhole(file, chunk, bytes);
        hash.update(chunk);
        bytes += chunk.length;
      }
    } catch (cause) {
      if (!(cause instanceof RequestError)) this.#remember(path, bytes, hash);
      throw outOfSpace(cause) ?? cause;
    } finally {
      await file.sync().catch(() => undefined);
      await file.close();
    }
    if (bytes === part.sizeBytes) return { bytes, digest: hash.digest('hex') };
    this.#remember(path, bytes, hash);
    return { bytes, digest: null };
  }

  /** Lets go of what is remembered of files below a folder. */
  forget(folder: string): void {
    for (const path of this.#hashes.keys()) if (path.startsWith(`${folder}/`)) this.#hashes.delete(path);
  }

  async #hashUpTo(path: string, bytes: number): Promise<Hash> {
    const known = this.#hashes.get(path);
    this.#hashes.delete(path);
    if (bytes === 0) return createHash('sha256');
    if (known?.bytes === bytes) return known.hash;
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path, { end: bytes - 1, highWaterMark: 1_048_576 })) hash.update(chunk);
    return hash;
  }

  #remember(path: string, bytes: number, hash: Hash): void {
    this.#hashes.set(path, { bytes, hash });
    if (this.#hashes.size > HASHES_MAX) this.#hashes.delete(this.#hashes.keys().next().value!);
  }
}

async function writeWhole(file: Awaited<ReturnType<typeof open>>, chunk: Buffer, position: number): Promise<void> {
  for (let written = 0; written < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, written, chunk.length - written, position + written);
    written += bytesWritten;
  }
}

function outOfSpace(cause: unknown): RequestError | null {
  const { code } = (cause ?? {}) as { code?: unknown };
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return null;
  return new RequestError(507, 'storage-full', 'The blob storage is full; free some space and resume the upload.');
}
