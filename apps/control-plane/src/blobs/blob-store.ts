// Content-addressed blobs on disk: `sha256/ab/<digest>`, never changed once there. Only whole, verified files get here,
// under their name at once, so a reader sees a blob or nothing.
//
// A blob's file time is when it was last adopted. Collecting and adopting may run at the same time, in several processes
// on one disk: a blob is set aside first, and what was adopted or came into use meanwhile goes back to its place. What a
// crash leaves set aside goes back at the next start.

import { randomUUID } from 'node:crypto';
import { createReadStream, type ReadStream } from 'node:fs';
import { access, constants, link, mkdir, readdir, rename, rm, stat, statfs, utimes } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { SHA256_HEX } from '#domain';
import { syncFolder } from '#files';
import { StartError } from '../errors.ts';
import { type FileSource, openFileSource } from './file-bytes.ts';

export interface StoredBlob {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly adoptedAt: Date;
}

/** A blob may go and come back while it is adopted; it does not do so for ever. */
const ADOPT_ATTEMPTS_MAX = 5;

export class BlobStore {
  /** Others may set the same blob aside on the same disk. */
  readonly #mark = randomUUID();

  private constructor(readonly directory: string) {}

  /** @throws StartError when the folder cannot be made or written */
  static async open(directory: string): Promise<BlobStore> {
    const root = resolve(directory);
    const blobs = new BlobStore(root);
    try {
      await mkdir(join(root, 'sha256'), { recursive: true, mode: 0o750 });
      await mkdir(blobs.#asideDirectory, { recursive: true, mode: 0o750 });
      await access(root, constants.W_OK);
      for (const name of await readdir(blobs.#asideDirectory)) await blobs.#putBack(name);
    } catch (cause) {
      throw new StartError(`blobs.directory ${root} cannot be written; check its owner and mode.`, { cause });
    }
    return blobs;
  }

  /** Bytes of the blob, or null when it is not here. `digest` is 64 lower-case hex digits; the caller has checked. */
  async sizeBytes(digest: string): Promise<number | null> {
    const found = await stat(this.#pathOf(digest)).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return null;
      throw error;
    });
    return found?.isFile() ? found.size : null;
  }

  /** @param range first and last byte, both inclusive; the caller has checked that they are inside */
  read(digest: string, range?: { first: number; last: number }): ReadStream {
    const options = range === undefined ? {} : { start: range.first, end: range.last };
    return createReadStream(this.#pathOf(digest), { ...options, highWaterMark: 262_144 });
  }

  /** The blob for reads in any order, or null when it is not here. The caller closes it. */
  async openSource(digest: string): Promise<FileSource | null> {
    try {
      return await openFileSource(this.#pathOf(digest));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null;
      throw error;
    }
  }

  /**
   * Gives a synced, verified file its place as a blob, or makes the blob that is there young again. The staged file stays
   * (where the file system has no links it is moved). A blob of another size is damaged, and replaced. Repeating it, also
   * after a crash half-way, is harmless.
   */
  async adopt(stagedPath: string, digest: string): Promise<void> {
    const target = this.#pathOf(digest);
    await mkdir(dirname(target), { recursive: true, mode: 0o750 });
    const stagedBytes = await stat(stagedPath).then(
      ({ size }) => size,
      () => null, // moved by an earlier try
    );
    const presentBytes = await this.sizeBytes(digest);
    if (stagedBytes !== null && presentBytes !== null && presentBytes !== stagedBytes) await rename(stagedPath, target);
    for (let attempt = 1; ; attempt += 1) {
      if (await this.#touch(target)) break;
      try {
        await utimes(stagedPath, new Date(), new Date());
        await linkOrMove(stagedPath, target);
        break;
      } catch (error) {
        // It was adopted by somebody else just now, or was set aside and is about to come back.
        if (attempt >= ADOPT_ATTEMPTS_MAX || !['EEXIST', 'ENOENT'].includes(codeOf(error))) throw error;
      }
    }
    await syncFolder(dirname(target));
  }

  /** Makes a blob young again; false when it is not here, or is set aside just now. */
  renew(digest: string): Promise<boolean> {
    return this.#touch(this.#pathOf(digest));
  }

  /** Every blob here, in no order. Those that come or go meanwhile may be missing. */
  async *list(): AsyncGenerator<StoredBlob> {
    const root = join(this.directory, 'sha256');
    for (const folder of await readdir(root)) {
      for (const digest of await readdir(join(root, folder)).catch(() => [])) {
        if (!SHA256_HEX.test(digest)) continue;
        const found = await stat(join(root, folder, digest)).catch(() => null);
        if (found?.isFile()) yield { digest, sizeBytes: found.size, adoptedAt: found.mtime };
      }
    }
  }

  /**
   * Removes those blobs that nobody adopted since `before` and that `readInUse`, asked after they were set aside, does not
   * name. Returns those that are gone.
   */
  async remove(
    blobs: readonly StoredBlob[],
    before: Date,
    readInUse: () => Promise<ReadonlySet<string>>,
  ): Promise<StoredBlob[]> {
    const aside: StoredBlob[] = [];
    for (const blob of blobs) if (await this.#setAside(blob.digest, before)) aside.push(blob);
    if (aside.length === 0) return [];
    let inUse: ReadonlySet<string>;
    try {
      inUse = await readInUse();
    } catch (error) {
      for (const { digest } of aside) await this.#putBack(this.#asideNameOf(digest));
      throw error;
    }
    for (const { digest } of aside) {
      const name = this.#asideNameOf(digest);
      if (inUse.has(digest)) await this.#putBack(name);
      else await rm(join(this.#asideDirectory, name), { force: true });
    }
    return aside.filter(({ digest }) => !inUse.has(digest));
  }

  /** Bytes that may still be written to the disk, and its size. */
  async space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
    const { bavail, blocks, bsize } = await statfs(this.directory);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  get #asideDirectory(): string {
    return join(this.directory, 'aside');
  }

  #asideNameOf(digest: string): string {
    return `${digest}.${this.#mark}`;
  }

  /** False when there is no such file. */
  async #touch(path: string): Promise<boolean> {
    try {
      await utimes(path, new Date(), new Date());
      return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
  }

  /** False when it is gone, or young again and back in its place. */
  async #setAside(digest: string, before: Date): Promise<boolean> {
    const name = this.#asideNameOf(digest);
    const aside = join(this.#asideDirectory, name);
    try {
      await rename(this.#pathOf(digest), aside);
      if ((await stat(aside)).mtime < before) return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
    await this.#putBack(name);
    return false;
  }

  /** Over a blob that was adopted anew meanwhile: the content is the same. */
  async #putBack(asideName: string): Promise<void> {
    const [digest = ''] = asideName.split('.');
    if (!SHA256_HEX.test(digest)) return;
    const target = this.#pathOf(digest);
    await mkdir(dirname(target), { recursive: true, mode: 0o750 });
    await rename(join(this.#asideDirectory, asideName), target).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOENT') throw error;
    });
  }

  #pathOf(digest: string): string {
    return join(this.directory, 'sha256', digest.slice(0, 2), digest);
  }
}

async function linkOrMove(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(codeOf(error))) throw error;
    await rename(from, to);
  }
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? '');
}
